import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.fast.layers import fused_convolutions
from stroke_tf.models.unet import build_unet

layers = keras.layers


def padded(border, size=3, **options):
    return lambda images: layers.Conv2D(4, size, **options)(layers.ZeroPadding2D(border)(images))


def doubled(size=2, filters=4, interpolation="nearest", side=3, padding="same", **options):
    def build(images):
        large = layers.UpSampling2D(size, interpolation=interpolation)(images)
        return layers.Conv2D(filters, side, padding=padding, **options)(large)

    return build


def joined(images):
    """A block of a decoder, its skip connection between two doubled images."""
    first, second = (layers.UpSampling2D(2)(layers.Conv2D(2, 1)(images)) for _ in range(2))
    skip = layers.Conv2D(2, 1)(first)
    maps = layers.Concatenate()([first, skip, second])
    return layers.Conv2D(4, 3, padding="same", activation="tanh")(maps)


def model_of(build):
    keras.utils.set_random_seed(1)
    images = keras.Input((8, 10, 3))
    return keras.Model(images, build(images))


def trained(model):
    """Returns all weights after two steps, and the outputs."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (3, *model.input_shape[1:])).astype("float32")
    labels = rng.uniform(-1, 1, (3, *model.output_shape[1:])).astype("float32")
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse", jit_compile=False)
    for _ in range(2):
        model.train_on_batch(images, labels)
    return [*model.get_weights(), model.predict_on_batch(images)]


def operations(model):
    """Returns the kinds of operations that the outputs of a traced model need."""
    traced = tf.function(model).get_concrete_function(tf.zeros((2, *model.input_shape[1:])))
    waiting, needed = [tensor.op for tensor in traced.graph.outputs], {}
    while waiting:
        operation = waiting.pop()
        if operation.name not in needed:
            needed[operation.name] = operation.type
            waiting += [tensor.op for tensor in operation.inputs]
    return list(needed.values())


@pytest.mark.parametrize(
    ("build", "gone", "transposed"),
    [
        (padded(1), "Pad", 0),
        (padded(2, size=5, use_bias=False), "Pad", 0),
        (padded(((0, 0), (1, 1)), size=(1, 3)), "Pad", 0),
        (doubled(), "Tile", 1),
        (doubled(filters=8, use_bias=False, activation="relu"), "Tile", 1),
        (joined, None, 2),
    ],
)
def test_convolutions_train_to_the_same_weights(build, gone, transposed):
    plain, fused = model_of(build), model_of(build)
    with fused_convolutions(fused):
        kinds = operations(fused)
        ours = trained(fused)
    assert gone not in kinds
    assert kinds.count("Conv2DBackpropInput") == transposed
    for found, expected in zip(ours, trained(plain), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("build", "policy"),
    [
        (padded(1, strides=2), "float32"),
        (padded(1, size=2), "float32"),
        (padded(((0, 1), (0, 1))), "float32"),
        (padded(1, padding="same"), "float32"),
        (doubled(filters=9), "float32"),  # 81 weights a channel, 80 pixels
        (doubled(size=3), "float32"),
        (doubled(interpolation="bilinear"), "float32"),
        (doubled(side=5), "float32"),
        (doubled(padding="valid"), "float32"),
        (doubled(dilation_rate=2), "float32"),
        (doubled(), "mixed_float16"),
    ],
)
def test_other_convolutions_stay_as_they_are(build, policy):
    keras.config.set_dtype_policy(policy)
    model = model_of(build)
    keras.config.set_dtype_policy("float32")
    with fused_convolutions(model):
        meanwhile = operations(model)
    assert meanwhile == operations(model)


def test_the_switch_leaves_convolutions_as_they_are(monkeypatch):
    monkeypatch.setenv("STROKE_TF_FAST", "0")
    model = model_of(doubled())
    with fused_convolutions(model):
        assert "Tile" in operations(model)


def test_a_unet_computes_the_same_and_keeps_its_own_layers():
    model = build_unet("resnet18", image_size=64, decoder_filters=(16, 8, 8, 4, 4))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    with fused_convolutions(model):
        traced = tf.function(model).get_concrete_function(images)
        kinds = [operation.type for operation in traced.graph.get_operations()]
        np.testing.assert_allclose(traced(images), model(images), rtol=1e-3, atol=1e-5)
    assert kinds.count("Conv2DBackpropInput") == 2  # of 16 and 32 pixels
    for layer in model._flatten_layers():
        assert not {"call", "convolution_op"} & set(vars(layer))
