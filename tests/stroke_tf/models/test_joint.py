import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.models.joint import MASK, SLICE, build_joint
from stroke_tf.models.unet import build_unet
from stroke_tf.training.losses import LOSSES

pytestmark = pytest.mark.slow

SIZE = 32
FILTERS = (8, 8, 4, 4, 4)


def build(encoder="mobilenetv2", **options):
    return build_joint(encoder, image_size=SIZE, decoder_filters=FILTERS, **options)


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


def test_the_mask_is_that_of_the_unet_with_the_same_weights(joint, pixels):
    unet = build_unet("mobilenetv2", image_size=SIZE, decoder_filters=FILTERS, seed=1)
    network_of(unet).set_weights(network_of(joint).get_weights())
    np.testing.assert_allclose(joint(pixels)[MASK], unet(pixels), atol=1e-5)


def test_the_slice_head_stands_on_the_last_feature_map_of_the_encoder(joint, pixels):
    network = network_of(joint)
    deepest = keras.Model(network.inputs[0], network.get_layer("out_relu").output)
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
    gradient = tape.gradient(loss, network_of(joint).get_layer("Conv1").kernel.value)
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
    assert {"final_conv", "slice_logits"} < names
    assert all(name.startswith(("decoder_", "final_conv", "slice_logits")) for name in names)


def test_a_saved_model_loads_without_this_package(pixels, tmp_path):
    model = build("seresnet18")  # one whose layers are replaced
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "pixels.npy", pixels)
    code = (
        "import sys, keras, numpy as np; model = keras.models.load_model('model.keras'); "
        "np.savez('probs.npz', **model(np.load('pixels.npy'))); "
        "sys.exit('segmentation_models' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)
    saved = np.load(tmp_path / "probs.npz")
    for name, value in model(pixels).items():
        np.testing.assert_allclose(saved[name], value, atol=1e-5)


def test_equal_seeds_give_equal_weights(joint):
    equal = zip(joint.get_weights(), build().get_weights(), strict=True)
    assert all(np.array_equal(a, b) for a, b in equal)
    assert not np.array_equal(joint.get_weights()[0], build(seed=1).get_weights()[0])


def test_both_outputs_stay_float32_in_mixed_precision(pixels):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = build("resnet18")
    finally:
        keras.config.set_dtype_policy("float32")
    assert network_of(model).get_layer("conv0").compute_dtype == "float16"
    assert {value.dtype.name for value in model(pixels).values()} == {"float32"}


def test_an_unknown_encoder_is_refused():
    with pytest.raises(ValueError, match="`encoder` must be one of .* Received: 'unknown'"):
        build("unknown")
