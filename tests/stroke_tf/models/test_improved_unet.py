import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

import stroke_tf
from stroke_tf.config import IMPROVED_UNET, PLAIN_UNET
from stroke_tf.models.improved_unet import build_improved_unet
from stroke_tf.training.losses import LOSSES

SIZE = 16
SWITCHES = {
    "attention": {"attention": True},
    "multi-scale": {"multi_scale": True},
    "residual": {"residual": True},
    "spatial dropout": {"spatial_dropout": 0.5},
    "batch norm": {"batch_norm": True},
}


def build(improvements=IMPROVED_UNET, **options):
    return build_improved_unet(
        improvements, **{"image_size": SIZE, "filters": 4, "depth": 2} | options
    )


def only(**switch):
    return build(replace(PLAIN_UNET, **switch))


def conv(size, inputs, outputs):
    return (size * size * inputs + 1) * outputs


def plain_parameters(f, depth, classes):
    """Two 3x3 at each level, a 2x2 up-convolution and two 3x3 on the way up, and a 1x1."""
    total, inputs = 0, 3
    for level in range(depth + 1):
        total += conv(3, inputs, f * 2**level) + conv(3, f * 2**level, f * 2**level)
        inputs = f * 2**level
    for level in range(depth):
        out = f * 2**level
        total += conv(2, 2 * out, out) + conv(3, 2 * out, out) + conv(3, out, out)
    return total + conv(1, f, classes)


def count(model, kind):
    return sum(isinstance(layer, kind) for layer in model.layers)


@pytest.fixture(scope="module")
def pixels():
    shape = (2, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def plain():
    return build(PLAIN_UNET)


@pytest.fixture(scope="module")
def improved():
    return build()


@pytest.mark.parametrize(("filters", "depth", "classes"), [(4, 2, 3), (3, 3, 1), (64, 4, 2)])
def test_plain_unet_has_the_parameters_of_its_convolutions_and_no_more(filters, depth, classes):
    model = build(PLAIN_UNET, filters=filters, depth=depth, classes=classes)
    assert model.count_params() == plain_parameters(filters, depth, classes)


def test_plain_unet_has_23_convolutions_as_ronneberger_counts_them():
    model = build(PLAIN_UNET, depth=4)
    kinds = (keras.layers.Conv2D, keras.layers.Conv2DTranspose)
    assert count(model, kinds) == 23
    assert {type(layer) for layer in model.layers} == {
        keras.layers.InputLayer,
        keras.layers.Rescaling,
        *kinds,
        keras.layers.ReLU,
        keras.layers.MaxPooling2D,
        keras.layers.Concatenate,
        keras.layers.Activation,
    }


def test_a_first_layer_scales_pixels_to_one(plain, pixels):
    rescale = plain.get_layer("rescale")
    np.testing.assert_allclose(rescale(pixels), pixels / 255, rtol=1e-6)
    assert rescale is plain.layers[1]


def test_attention_adds_a_gate_to_each_skip_connection_and_nothing_else(plain):
    model = only(attention=True)
    # Level 1: 8 maps to 4 twice, 4 to 1; level 0: 4 to 2 twice, 2 to 1.
    gates = 2 * conv(1, 8, 4) + conv(1, 4, 1) + 2 * conv(1, 4, 2) + conv(1, 2, 1)
    assert model.count_params() - plain.count_params() == gates
    assert count(model, keras.layers.Multiply) == 2


def test_a_gate_weighs_the_skip_connection_by_a_share(pixels):
    model = only(attention=True)
    names = ("decoder0_gate_multiply", "encoder0_relu2", "decoder0_gate_map")
    out, skip, share = keras.Model(
        model.inputs[0], [model.get_layer(name).output for name in names]
    )(pixels)
    assert share.shape == (2, SIZE, SIZE, 1)
    assert 0 < float(keras.ops.min(share)) and float(keras.ops.max(share)) < 1
    np.testing.assert_allclose(out, skip * share, rtol=1e-6)


def test_multi_scale_adds_the_finer_level_to_all_decoder_levels_but_the_finest(plain):
    model = only(multi_scale=True)
    shapes = [
        [tensor.shape[1:] for tensor in model.get_layer(f"decoder{level}_concat").input]
        for level in (0, 1)
    ]
    assert shapes == [[(16, 16, 4), (16, 16, 4)], [(8, 8, 8), (8, 8, 4), (8, 8, 8)]]
    # The first convolution of decoder level 1 sees 4 maps more and gives 8.
    assert model.count_params() - plain.count_params() == 3 * 3 * 4 * 8


def test_residual_adds_a_shortcut_past_the_convolutions_of_each_level(plain, pixels):
    model = only(residual=True)
    shortcuts = [(3, 4), (4, 8), (8, 16), (16, 8), (8, 4)]
    added = sum(conv(1, *channels) for channels in shortcuts)
    assert model.count_params() - plain.count_params() == added
    assert count(model, keras.layers.Add) == len(shortcuts)
    names = ("encoder1_relu2", "encoder1_conv2", "encoder1_shortcut")
    out, convs, shortcut = keras.Model(
        model.inputs[0], [model.get_layer(name).output for name in names]
    )(pixels)
    np.testing.assert_allclose(out, np.maximum(convs + shortcut, 0), rtol=1e-5, atol=1e-6)


def test_spatial_dropout_drops_whole_maps_before_each_decoder_level(plain):
    model = only(spatial_dropout=0.5)
    assert model.count_params() == plain.count_params()
    assert count(model, keras.layers.SpatialDropout2D) == 2
    layer = model.get_layer("decoder0_dropout")
    assert layer.rate == 0.5 and layer.input is model.get_layer("decoder0_concat").output
    dropped = keras.ops.convert_to_numpy(layer(np.ones((1, 4, 4, 64), np.float32), training=True))
    assert set(np.unique(dropped)) == {0, 2}
    assert (dropped == dropped[:, :1, :1]).all()


def test_batch_norm_follows_each_convolution_and_replaces_its_bias(plain):
    model = only(batch_norm=True)
    widths = (4, 8, 16, 8, 4)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 2 * len(widths)
    assert all(norm.momentum == 0.9 for norm in norms)
    # Four numbers for each map (scale, offset, mean, variance) where there was one bias.
    assert model.count_params() - plain.count_params() == 2 * sum(widths) * 3
    assert model.get_layer("bottom_relu1").input is model.get_layer("bottom_conv1_bn").output


@pytest.mark.parametrize("switch", [*SWITCHES, "all", "none"])
def test_raw_pixels_give_float32_probabilities_that_sum_to_one(switch, pixels, improved, plain):
    model = {"all": improved, "none": plain}.get(switch) or only(**SWITCHES[switch])
    probs = model(pixels).numpy()
    assert probs.shape == (2, SIZE, SIZE, 3) and probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=1e-5)


def test_one_class_gives_a_sigmoid(pixels):
    model = build(classes=1)
    assert model(pixels).shape == (2, SIZE, SIZE, 1)
    assert model.get_layer("probs").activation is keras.activations.sigmoid


def test_all_layers_are_those_of_keras(improved):
    assert {type(layer).__module__.split(".")[0] for layer in improved.layers} == {"keras"}


@pytest.mark.slow
def test_a_saved_model_loads_without_this_package(improved, pixels, tmp_path):
    improved.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import sys, keras, numpy as np; model = keras.models.load_model('model.keras'); "
        "np.save('probs.npy', model(np.load('pixels.npy'))); "
        "sys.exit('stroke_tf' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    np.testing.assert_allclose(np.load(tmp_path / "probs.npy"), improved(pixels), atol=1e-6)


def test_a_training_step_changes_every_weight_and_lowers_the_loss(pixels):
    model = build()
    ids = (pixels[..., :1] > 128).astype(np.uint8)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), loss=LOSSES["dice+ce"](), run_eagerly=True)
    before = [weight.numpy() for weight in model.trainable_weights]
    losses = model.fit(x=pixels, y=ids, epochs=4, verbose=0).history["loss"]
    changed = zip(before, model.trainable_weights, strict=True)
    assert all(not np.array_equal(a, b.numpy()) for a, b in changed)
    assert losses[-1] < losses[0]


def test_equal_seeds_give_equal_weights(improved):
    same, other = build(), build(seed=1)
    equal = zip(improved.get_weights(), same.get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in equal)
    assert not np.array_equal(improved.get_weights()[0], other.get_weights()[0])


def test_the_output_stays_float32_in_mixed_precision(pixels):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("encoder0_conv1").compute_dtype == "float16"
    assert model(pixels).dtype == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 0}, "`classes` must be >= 1. Received: 0"),
        ({"filters": 0}, "`filters` must be >= 1. Received: 0"),
        ({"depth": 0}, "`depth` must be >= 1. Received: 0"),
        ({"image_size": 18}, "multiple of 4 at depth 2. Received: 18"),
        ({"image_size": 0}, "multiple of 4 at depth 2. Received: 0"),
        (
            {"improvements": replace(PLAIN_UNET, spatial_dropout=1.0)},
            r"`spatial_dropout` must be in \[0, 1\). Received: 1.0",
        ),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.slow
def test_every_own_loss_trains_an_epoch_on_jax(tmp_path):
    pytest.importorskip("jax")
    code = """
import keras, numpy as np
from stroke_tf.config import IMPROVED_UNET, PLAIN_UNET
from stroke_tf.models.improved_unet import build_improved_unet
from stroke_tf.training.losses import LOSSES
ids = np.random.default_rng(0).integers(0, 3, (4, 16, 16, 1)).astype(np.uint8)
images = np.repeat(ids, 3, axis=-1).astype(np.float32) * 100
for name in LOSSES.keys() - {"sm-dice"}:
    improvements = IMPROVED_UNET if name == "dice" else PLAIN_UNET
    model = build_improved_unet(improvements, image_size=16, filters=2, depth=1)
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss=LOSSES[name]())
    before = model.get_weights()[0]
    history = model.fit(x=images, y=ids, batch_size=2, epochs=1, verbose=0).history
    changed = not np.array_equal(before, model.get_weights()[0])
    print(keras.backend.backend(), name, changed and np.isfinite(history["loss"][0]))
"""
    root = str(Path(stroke_tf.__file__).parents[1])
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": root}
    printed = subprocess.check_output(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, text=True, timeout=600
    )
    expected = {f"jax {name} True" for name in LOSSES if name != "sm-dice"}
    assert set(printed.splitlines()) == expected
