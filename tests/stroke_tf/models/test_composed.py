import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.config import IMPROVED_UNET, PLAIN_DECODER
from stroke_tf.labels import MASK, SLICE
from stroke_tf.models.backbones import BACKBONES, build_backbone, feature_maps
from stroke_tf.models.composed import SUPERVISED, build_composed, supervised_outputs
from stroke_tf.training.losses import LOSSES

SIZE = 32
FILTERS = (8, 8, 4, 4, 4)
QUICK = ("mobilenet025", "inceptionv3")
EVERY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BACKBONES]


def build(encoder="mobilenet025", **options):
    settings = {"image_size": SIZE, "decoder_filters": FILTERS, "slice_head": True}
    return build_composed(encoder, **settings | options)


def network_of(model):
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


@pytest.fixture(scope="module")
def pixels():
    shape = (2, SIZE, SIZE, 3)
    return np.random.default_rng(0).uniform(0, 255, shape).astype(np.float32)


@pytest.fixture(scope="module")
def joint():
    return build()


def test_raw_pixels_give_float32_probabilities_of_pixels_and_slice(joint, pixels):
    probs = joint(pixels)
    assert {name: tuple(value.shape) for name, value in probs.items()} == {
        MASK: (2, SIZE, SIZE, 3),
        SLICE: (2, 3),
    }
    for value in probs.values():
        assert value.dtype == "float32"
        np.testing.assert_allclose(value.numpy().sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("encoder", EVERY)
def test_maps_of_every_backbone_halve_the_image_again_and_again(encoder):
    maps = feature_maps(build_backbone(encoder, image_size=96, weights=None))
    sides = [None if feature_map is None else feature_map.shape[1] for feature_map in maps]
    assert sides[0] is None
    assert all(side in (None, 96 >> n) for n, side in enumerate(sides))
    assert sides.count(None) <= 2
    assert None not in sides[2:]


INVERTED = [name for name, entry in BACKBONES.items() if entry.inverted]


@pytest.mark.parametrize(
    "encoder", [pytest.param(n, marks=[pytest.mark.slow] * (n != INVERTED[0])) for n in INVERTED]
)
def test_narrow_maps_are_those_that_blocks_hand_on(encoder):
    network = build_backbone(encoder, image_size=96, weights=None)
    wide, narrow = feature_maps(network), feature_maps(network, narrow=True)
    assert wide[0] is narrow[0] is None
    assert [part.shape[:3] for part in wide[1:]] == [part.shape[:3] for part in narrow[1:]]
    assert narrow[3].shape[-1] <= 64 < wide[3].shape[-1]
    assert narrow[4].shape[-1] <= 160 < wide[4].shape[-1]
    assert narrow[5] is wide[5]  # what the network gives, with all its weights


def test_narrow_skips_of_a_network_without_wide_ones_are_refused():
    with pytest.raises(ValueError, match="`narrow_skips` needs .* Received: mobilenet025"):
        build(narrow_skips=True)


def test_a_border_that_a_network_lost_comes_back_on_both_sides():
    network = build_backbone("inceptionv3", image_size=96, weights=None)
    outputs = [feature_map for feature_map in feature_maps(network) if feature_map is not None]
    finest = keras.Model(network.inputs[0], outputs)(np.ones((1, 96, 96, 3), np.float32))[0]
    inside = np.abs(finest.numpy()[0]).sum(axis=-1) > 0
    assert not inside[0].any()
    assert not inside[:, 0].any()
    assert not inside[-2:].any()
    assert not inside[:, -2:].any()
    assert inside[1:-2, 1:-2].any()


@pytest.mark.parametrize("encoder", EVERY)
def test_every_backbone_carries_the_decoder(encoder):
    size = max(SIZE, 96 if BACKBONES[encoder].min_size > SIZE else SIZE)
    model = build(encoder, image_size=size, slice_head=False)
    assert model.output_shape == (None, size, size, 3)
    assert model(np.zeros((1, size, size, 3), np.float32)).dtype == "float32"


def test_fewer_widths_end_at_a_smaller_map_that_is_enlarged(pixels):
    half = build(decoder_filters=FILTERS[:4], slice_head=False)
    assert half.get_layer("logits").output.shape[1] == SIZE // 2
    assert half.output_shape == (None, SIZE, SIZE, 3)
    probs = half(pixels).numpy()
    np.testing.assert_allclose(probs.sum(axis=-1), 1, atol=1e-5)


def test_the_improved_decoder_has_gates_shortcuts_finer_maps_and_dropout():
    def parts(improvements):
        model = build(improvements=improvements, slice_head=False)
        return {layer.name.partition("_")[2] for layer in model.layers}

    added = parts(IMPROVED_UNET) - parts(PLAIN_DECODER)
    assert {"gate_map", "shortcut", "finer", "dropout"} < added


def test_the_slice_head_stands_on_the_last_feature_map_of_the_encoder(joint, pixels):
    network = network_of(joint)
    deepest = keras.Model(network.inputs[0], network.outputs[-1])
    pooled = deepest(pixels / 127.5 - 1).numpy().mean(axis=(1, 2))
    kernel, bias = joint.get_layer("slice_logits").get_weights()
    exp = np.exp(pooled @ kernel + bias)
    expected = exp / exp.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(joint(pixels)[SLICE], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("output", [MASK, SLICE])
def test_both_tasks_reach_the_encoder(joint, pixels, output):
    losses = {MASK: LOSSES["dice+ce"](), SLICE: keras.losses.SparseCategoricalCrossentropy()}
    ids = {MASK: np.ones((2, SIZE, SIZE, 1), np.uint8), SLICE: np.ones((2, 1), np.uint8)}
    with tf.GradientTape() as tape:
        loss = losses[output](ids[output], joint(pixels)[output])
    gradient = tape.gradient(loss, network_of(joint).get_layer("conv1").kernel.value)
    assert float(tf.reduce_max(tf.abs(gradient))) > 0


def test_one_step_trains_on_the_weighted_sum_of_both_losses(pixels):
    model = build()
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss={MASK: LOSSES["dice+ce"](), SLICE: "sparse_categorical_crossentropy"},
        loss_weights={MASK: 1.0, SLICE: 0.25},
        run_eagerly=True,
    )
    labels = {MASK: np.ones((2, SIZE, SIZE, 1), np.uint8), SLICE: np.ones((2, 1), np.uint8)}
    logs = model.train_on_batch(pixels, labels, return_dict=True)
    expected = logs["mask_loss"] + 0.25 * logs["slice_loss"]
    assert float(logs["loss"]) == pytest.approx(float(expected), 1e-5)


def test_a_frozen_encoder_leaves_decoder_and_heads_to_train():
    names = {
        variable.path.split("/")[-2] for variable in build(freeze_encoder=True).trainable_variables
    }
    assert {"logits", "slice_logits"} < names
    assert all(name.startswith(("decoder", "logits", "slice_logits")) for name in names)


def test_a_saved_model_loads_without_this_package(joint, pixels, tmp_path):
    joint.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import sys, keras, numpy as np; model = keras.models.load_model('model.keras'); "
        "np.savez('probs.npz', **model(np.load('pixels.npy'))); "
        "sys.exit('stroke_tf' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    saved = np.load(tmp_path / "probs.npz")
    for name, value in joint(pixels).items():
        np.testing.assert_allclose(saved[name], value, atol=1e-5)


def test_equal_seeds_give_equal_weights(joint):
    equal = zip(joint.get_weights(), build().get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in equal)
    assert not np.array_equal(joint.get_weights()[0], build(seed=1).get_weights()[0])


def test_both_outputs_stay_float32_in_mixed_precision(pixels):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build()
    finally:
        keras.config.set_dtype_policy("float32")
    assert network_of(model).get_layer("conv1").compute_dtype == "float16"
    assert {value.dtype.name for value in model(pixels).values()} == {"float32"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "unknown"}, "`backbone` must be one of .* Received: 'unknown'"),
        ({"image_size": 80}, "`image_size` must be a multiple of 32. Received: 80"),
        ({"classes": 0}, "`classes` must be >= 1. Received: 0"),
        ({"decoder_filters": ()}, r"`decoder_filters` must be one to 5 widths .* Received: \(\)"),
        ({"decoder_filters": (4,) * 6}, "`decoder_filters` must be one to 5 widths"),
    ],
)
def test_arguments_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build(**options)


@pytest.mark.parametrize("slice_head", [False, True])
def test_outputs_of_smaller_maps_train_the_deeper_decoder_alone(slice_head, pixels):
    model = build(slice_head=slice_head)
    before = [weight.path for weight in model.weights]
    outputs = supervised_outputs(model)
    assert list(outputs) == [MASK, *([SLICE] if slice_head else []), *SUPERVISED]
    trainee = keras.Model(model.inputs[0], outputs)
    assert [weight.path for weight in model.weights] == before
    with tf.GradientTape() as tape:
        said = trainee(pixels)
        quarter = tf.reduce_mean(said["quarter"][..., 0])
    for name in SUPERVISED:
        assert said[name].shape == (2, SIZE, SIZE, 3)
        np.testing.assert_allclose(said[name].numpy().sum(axis=-1), 1, atol=1e-5)
    kernels = [model.get_layer(f"decoder{level}_conv2").kernel.value for level in (2, 1)]
    deep, fine = tape.gradient(quarter, kernels)
    assert float(tf.reduce_max(tf.abs(deep))) > 0
    assert fine is None


def test_a_decoder_that_ends_early_has_no_smaller_maps_to_spare():
    with pytest.raises(ValueError, match="must have a decoder with level 0"):
        supervised_outputs(build(decoder_filters=FILTERS[:4]))
