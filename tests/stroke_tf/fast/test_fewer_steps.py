import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.fast import fewer_steps
from stroke_tf.fast.graphs import inference_graph
from stroke_tf.models.improved_unet import build_improved_unet
from stroke_tf.models.joint import build_joint
from stroke_tf.models.unet import build_unet


def decoder(*, size=(2, 2), interpolation="nearest", **convolution):
    """Two stages: one with a skip connection between two upsampled images, one without any."""
    keras.utils.set_random_seed(1)
    images = keras.Input((6, 4, 3))

    def up():
        return keras.layers.UpSampling2D(size, interpolation=interpolation)

    skip = keras.layers.ZeroPadding2D(((0, 6 * (size[0] - 1)), (0, 4 * (size[1] - 1))))(images)
    joined = keras.layers.Concatenate()([up()(images), skip, up()(-2 * images)])
    options = {"padding": "same", "bias_initializer": "normal", "activation": "relu"} | convolution
    maps = keras.layers.Conv2D(6, 3, **options)(joined)
    last = keras.layers.Conv2D(2, 3, use_bias=False, padding="same")
    return keras.Model(images, last(up()(maps)))


@pytest.fixture
def convolved_small(monkeypatch):
    """Shapes of the small images that are convolved in place of their doubles."""
    shapes = []

    def convolved(image, kernel, ours=fewer_steps._convolve_doubled):
        shapes.append(tuple(image.shape[1:]))
        return ours(image, kernel)

    monkeypatch.setattr(fewer_steps, "_convolve_doubled", convolved)
    return shapes


@pytest.mark.parametrize(
    ("options", "small"),
    [
        ({}, [(6, 4, 3), (6, 4, 3), (12, 8, 6)]),
        ({"strides": 2}, [(6, 4, 6)]),
        ({"dilation_rate": 2}, [(12, 8, 6)]),
        ({"groups": 3}, [(12, 8, 6)]),
        ({"padding": "valid"}, [(10, 6, 6)]),
        ({"size": (2, 3)}, []),
        ({"interpolation": "bilinear"}, []),
    ],
)
def test_an_inference_graph_convolves_what_was_doubled_before_it_was(
    options, small, convolved_small
):
    model = decoder(**options)
    images = tf.random.stateless_normal((3, 6, 4, 3), seed=(0, 1))
    graph = inference_graph(model)
    assert convolved_small == small
    np.testing.assert_allclose(graph(images), model(images), rtol=1e-4, atol=1e-5)
    assert not any("call" in vars(layer) for layer in model.layers)


def test_an_inference_graph_of_a_model_in_a_model_in_half_precision(convolved_small):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inner = decoder()
        images = keras.Input((6, 4, 3))
        float32 = keras.layers.Activation("linear", dtype="float32")
        model = keras.Model(images, float32(inner(images)))
    finally:
        keras.config.set_dtype_policy(before)
    values = tf.random.stateless_normal((2, 6, 4, 3), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(values), model(values), atol=0.05)
    assert len(convolved_small) == 3


@pytest.mark.parametrize(("channels", "small"), [(255, 1), (256, 0)])
def test_many_channels_of_half_precision_are_convolved_as_they_are(
    channels, small, convolved_small
):
    images = keras.Input((4, 6, channels))
    maps = keras.layers.UpSampling2D(2, dtype="mixed_bfloat16")(images)
    model = keras.Model(images, keras.layers.Conv2D(2, 3, padding="same", dtype="bfloat16")(maps))
    values = tf.random.stateless_normal((2, 4, 6, channels), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(values), model(values), atol=0.2)
    assert len(convolved_small) == small


def test_a_doubled_image_of_any_size_is_convolved_as_it_is(convolved_small):
    images = keras.Input((None, None, 3))
    maps = keras.layers.UpSampling2D(2)(images)
    model = keras.Model(images, keras.layers.Conv2D(2, 3, padding="same")(maps))
    values = tf.random.stateless_normal((2, 4, 6, 3), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(values), model(values), rtol=1e-4, atol=1e-5)
    assert not convolved_small


def test_a_layer_in_two_places_is_changed_once_and_as_before_afterwards():
    images = keras.Input((4, 6, 3))
    shared = [
        keras.layers.UpSampling2D(2),
        keras.layers.Conv2D(3, 3, padding="same"),
        keras.layers.BatchNormalization(),
    ]
    inner = keras.Sequential([keras.Input((4, 6, 3)), *shared])
    maps = inner(images)
    for layer in shared:
        maps = layer(inputs=maps)
    model = keras.Model(images, maps)
    values = tf.random.stateless_normal((2, 4, 6, 3), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(values), model(values), rtol=1e-4, atol=1e-5)
    assert not any("call" in vars(layer) for layer in shared)


@pytest.mark.parametrize("channels", [1, 5, 255, 256])
@pytest.mark.parametrize("shape", [(1, 1), (3, 4)])
def test_few_and_many_channels_of_a_doubled_image_are_convolved_alike(channels, shape):
    rng = np.random.default_rng(0)
    image = tf.constant(rng.normal(size=(2, *shape, channels)).astype("float32"))
    kernel = rng.normal(size=(3, 3, channels, 2)).astype("float32")
    doubled = tf.repeat(tf.repeat(image, 2, axis=1), 2, axis=2)
    np.testing.assert_allclose(
        fewer_steps._convolve_doubled(image, kernel),
        tf.nn.conv2d(doubled, kernel, strides=1, padding="SAME"),
        rtol=1e-4,
        atol=1e-4,
    )


def normalised(*, skip=True, dtype="float32", activation=None, **options):
    """A convolution of a doubled image with a trained batch norm behind it."""
    keras.utils.set_random_seed(2)
    images = keras.Input((4, 6, 2))
    maps = keras.layers.UpSampling2D(2, dtype=dtype)(images)
    if skip:
        maps = keras.layers.Concatenate(dtype=dtype)([maps, keras.layers.Activation("relu")(maps)])
    maps = keras.layers.Conv2D(
        3, 3, padding="same", bias_initializer="normal", activation=activation, dtype=dtype
    )(maps)
    norm = keras.layers.BatchNormalization(dtype=dtype, **options)
    model = keras.Model(images, norm(maps))
    rng = np.random.default_rng(0)
    norm.set_weights([rng.uniform(0.5, 2, it.shape) for it in norm.get_weights()])
    return model


def operations(model, monkeypatch):
    """Kinds of the operations of an inference graph."""
    found = []
    monkeypatch.setattr("stroke_tf.fast.graphs._shared_by_cores", found.append)
    inference_graph(model)
    return [it.type for it in found[0].get_concrete_function().graph.get_operations()]


@pytest.mark.parametrize(
    "options",
    [{}, {"scale": False}, {"center": False}, {"skip": False}, {"activation": "relu"}],
)
def test_a_batch_norm_behind_a_convolution_of_doubled_pixels_gives_the_same(options):
    model = normalised(**options)
    images = tf.random.stateless_normal((3, 4, 6, 2), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(images), model(images), rtol=1e-4, atol=1e-5)


def test_a_batch_norm_is_part_of_the_weights_before_it(monkeypatch):
    assert "FusedBatchNormV3" not in operations(normalised(), monkeypatch)
    assert "DepthwiseConv2dNative" not in operations(normalised(), monkeypatch)
    assert "DepthwiseConv2dNative" in operations(normalised(activation="relu"), monkeypatch)


def test_a_batch_norm_of_half_precision_stays(monkeypatch):
    model = normalised(dtype="mixed_bfloat16")
    images = tf.random.stateless_normal((3, 4, 6, 2), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(images), model(images), atol=0.2)
    assert "FusedBatchNormV3" in operations(model, monkeypatch)


def test_a_softmax_of_pixels_is_kept_with_large_logits_and_few_pixels():
    logits = keras.Input((None, None, 3))
    model = keras.Model(logits, keras.layers.Activation("softmax")(logits))
    values = np.array([[0, 200, 100], [-300, -300, -301], [5, 5, 5]], "float32").reshape(1, 1, 3, 3)
    probs = inference_graph(model)(tf.constant(values)).numpy()
    np.testing.assert_allclose(probs, keras.ops.softmax(values), rtol=1e-6)
    assert inference_graph(model)(tf.zeros((2, 1, 5, 3))).shape == (2, 1, 5, 3)


def test_the_layers_are_as_before_when_the_graph_is_made():
    model = normalised()
    inference_graph(model)
    assert not any("call" in vars(layer) for layer in model.layers)


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
def test_a_batch_norm_that_no_convolution_precedes_is_one_of_its_own(options, monkeypatch):
    keras.utils.set_random_seed(2)
    images = keras.Input((4, 6, 2))
    added = images + keras.layers.Conv2D(2, 3, padding="same", name="before")(images)
    norm = keras.layers.BatchNormalization(**options)
    model = keras.Model(images, keras.layers.ReLU()(norm(added)))
    rng = np.random.default_rng(0)
    norm.set_weights([rng.uniform(0.5, 2, it.shape) for it in norm.get_weights()])
    values = tf.random.stateless_normal((3, 4, 6, 2), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(values), model(values), rtol=1e-5, atol=1e-6)
    kinds = operations(model, monkeypatch)
    assert "DepthwiseConv2dNative" in kinds
    assert "FusedBatchNormV3" not in kinds


def test_a_batch_norm_behind_a_convolution_is_left_to_tensorflow(monkeypatch):
    images = keras.Input((4, 6, 2))
    for layer in (keras.layers.Conv2D(2, 3), keras.layers.DepthwiseConv2D(3)):
        model = keras.Model(images, keras.layers.BatchNormalization()(layer(images)))
        assert "FusedBatchNormV3" in operations(model, monkeypatch)


@pytest.mark.parametrize("shape", [(5,), (4, 6, 2)])
def test_batch_norms_of_features_and_of_another_axis_stay(shape):
    values = keras.Input(shape)
    norm = keras.layers.BatchNormalization(axis=1)
    model = keras.Model(values, norm(values))
    norm.set_weights([np.full(it.shape, 0.5 + n) for n, it in enumerate(norm.get_weights())])
    data = tf.random.stateless_normal((3, *shape), seed=(0, 1))
    np.testing.assert_allclose(inference_graph(model)(data), model(data), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "build",
    [
        lambda: build_unet("resnet18", image_size=64, weights=None),
        lambda: build_unet("efficientnetb0", image_size=64, weights=None),
        lambda: build_unet("mobilenetv2", image_size=64, weights=None, architecture="fpn"),
        lambda: build_unet("seresnet18", image_size=64, weights=None, architecture="linknet"),
        lambda: build_joint("mobilenetv2", image_size=64, weights=None),
        lambda: build_improved_unet(image_size=64, filters=4),
    ],
)
def test_networks_of_the_package_predict_the_same(build):
    model = build()
    rng = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.1, 0.4, it.shape) for it in layer.get_weights()])
    images = tf.constant(rng.uniform(0, 255, (3, *model.input_shape[1:])).astype("float32"))
    ours, theirs = inference_graph(model)(images), model(images, training=False)
    for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
