import cv2
import keras
import numpy as np
import pytest

from stroke_tf.evaluation.grad_cam import grad_cam, mask_grad_cam
from stroke_tf.models import BACKBONES, build_classifier
from stroke_tf.models.segmenters import SEGMENTERS

RED = np.array([[1, 2], [3, 4]], np.float32)
GREEN = np.array([[4, 0], [0, 0]], np.float32)


def _images(red=RED, green=GREEN):
    return np.stack([red, green, np.zeros_like(red)], axis=-1)[None]


def _network(side=2):
    """A backbone that passes the first two channels on, each in a map of its own."""
    pixels = keras.Input((side, side, 3))
    kernel = np.eye(3, 2, dtype=np.float32)[None, None]
    convolution = keras.layers.Conv2D(2, 1, use_bias=False, name="first")
    maps = convolution(pixels)
    convolution.set_weights([kernel])
    return keras.Model(pixels, keras.layers.Activation("linear", name="second")(maps))


def _classifier(weights, *, bias=0.0, activation="sigmoid", network=None):
    network = network or _network()
    pixels = keras.Input(network.input_shape[1:])
    features = keras.layers.GlobalAveragePooling2D(name="pool")(network(pixels))
    weights = np.array(weights, np.float32).reshape(2, -1)
    probs = keras.layers.Dense(weights.shape[1], activation=activation)
    model = keras.Model(pixels, probs(features))
    probs.set_weights([weights, np.full(weights.shape[1], bias, np.float32)])
    return model


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ([1, 0], RED / 4),
        ([2, 1], np.array([[6, 4], [6, 8]]) / 8),  # 2 red + green
        ([1, -1], np.array([[0, 2], [3, 4]]) / 4),  # red - green, -3 cut off
        ([-1, 0], np.zeros((2, 2))),
    ],
)
def test_maps_are_summed_with_the_weights_of_the_head_and_cut_at_zero(weights, expected):
    heatmaps = grad_cam(_classifier(weights), _images())
    assert heatmaps.dtype == np.float32
    np.testing.assert_allclose(heatmaps, expected[None], atol=1e-6)


@pytest.mark.parametrize("bias", [-1000.0, 1000.0])
def test_a_sure_answer_is_explained_like_an_unsure_one(bias):
    model = _classifier([1, 0], bias=bias)
    assert model(_images()).numpy().item() in (0, 1)
    np.testing.assert_allclose(grad_cam(model, _images())[0], RED / 4, atol=1e-6)


def test_a_softmax_is_explained_by_the_odds_of_class_one():
    # class 0 sees red + 3 green, class 1 sees 2 red + green: their difference is red - 2 green
    model = _classifier([[1, 2], [3, 1]], activation="softmax")
    np.testing.assert_allclose(grad_cam(model, _images())[0], [[0, 0.5], [0.75, 1]], atol=1e-6)


def test_each_heatmap_has_a_scale_of_its_own():
    images = np.concatenate([_images(), _images(red=RED * 10), _images(red=RED * 0)])
    expected = np.stack([RED / 4, RED / 4, RED * 0])
    np.testing.assert_allclose(grad_cam(_classifier([1, 0]), images), expected, atol=1e-6)


def test_a_gradient_that_differs_over_the_map_is_averaged():
    pixels = keras.Input((2, 2, 3))
    convolution = keras.layers.Conv2D(2, 1, use_bias=False)
    probs = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(pixels, probs(keras.layers.Flatten()(convolution(pixels))))
    convolution.set_weights([np.eye(3, 2, dtype=np.float32)[None, None]])
    # flattened: (red, green) of each pixel. Mean weight of red (5 - 1 + 0 + 0) / 4 = 1, of green 2
    weights = np.array([5, 8, -1, 0, 0, 0, 0, 0], np.float32)[:, None]
    probs.set_weights([weights, np.zeros(1, np.float32)])
    expected = np.array([[9, 2], [3, 4]]) / 9
    np.testing.assert_allclose(grad_cam(model, _images())[0], expected, atol=1e-6)


def test_a_small_map_is_resized_bilinearly_to_the_image():
    network = _network(4)
    network = keras.Model(network.input, keras.layers.AveragePooling2D(2)(network.output))
    columns = np.tile(np.array([0, 0, 8, 8], np.float32), (4, 1))
    model = _classifier([1, 0], network=network)
    heatmap = grad_cam(model, _images(red=columns, green=columns * 0))[0]
    np.testing.assert_allclose(heatmap, np.tile([0, 0.25, 0.75, 1], (4, 1)), atol=1e-6)


def test_a_layer_inside_the_backbone_can_be_explained():
    network = _network()
    tail = keras.layers.Conv2D(2, 1, use_bias=False, name="tail")
    network = keras.Model(network.input, tail(network.output))
    tail.set_weights([np.array([[0, 1], [1, 0]], np.float32)[None, None]])  # swaps the maps
    model = _classifier([1, 0], network=network)  # sees the second map of "second": green
    np.testing.assert_allclose(grad_cam(model, _images(), layer="second")[0], GREEN / 4, atol=1e-6)
    np.testing.assert_allclose(grad_cam(model, _images())[0], GREEN / 4, atol=1e-6)


def test_a_frozen_backbone_can_be_explained():
    network = _network()
    network.trainable = False
    np.testing.assert_allclose(
        grad_cam(_classifier([1, 0], network=network), _images())[0], RED / 4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("weights", "activation"), [([1, 0], "linear"), ([[1, 2, 3], [4, 5, 6]], "softmax")]
)
def test_another_kind_of_output_is_refused(weights, activation):
    model = _classifier(weights, activation=activation)
    with pytest.raises(ValueError, match="one sigmoid or two softmax units"):
        grad_cam(model, _images())


def test_a_layer_without_a_map_is_refused_with_those_that_have_one():
    with pytest.raises(ValueError, match=r"one of \[.*'first', 'second'\]. Received: 'pool'"):
        grad_cam(_classifier([1, 0]), _images(), layer="pool")


def test_a_model_without_convolutions_is_refused():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    with pytest.raises(ValueError, match="`model` must have a backbone or a convolution"):
        grad_cam(model, np.zeros((1, 2)))


def test_two_backbones_are_refused():
    pixels = keras.Input((2, 2, 3))
    first, second = _network(), _network()
    both = keras.layers.Concatenate()([first(pixels), second(pixels)])
    probs = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(pixels, probs(keras.layers.Flatten()(both)))
    with pytest.raises(ValueError, match="`model` must hold one backbone at most"):
        grad_cam(model, _images())


@pytest.mark.parametrize(
    ("backbone", "options"),
    [
        ("mobilenetv2", {}),
        ("mobilenet025", {"head": "usth-type", "pooling": "avg+max"}),
        ("mobilenet025", {"pooling": "layers"}),
        ("cnn-detect", {}),
        ("cnn-type", {}),
        *(
            pytest.param(name, {"trainable": False}, marks=pytest.mark.slow)
            for name in sorted(BACKBONES)
        ),
    ],
)
def test_every_classifier_can_be_explained(backbone, options):
    size = max(64, getattr(BACKBONES.get(backbone), "min_size", 64))
    model = build_classifier(backbone, image_size=size, **options)
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    heatmaps = grad_cam(model, images)
    assert heatmaps.shape == (2, size, size)
    assert heatmaps.min() >= 0 and set(heatmaps.max(axis=(1, 2))) <= {0.0, 1.0}
    last = model.layers[-1]
    last.set_weights([-weights for weights in last.get_weights()])
    opposite = grad_cam(model, images)
    assert (heatmaps + opposite).any(axis=(1, 2)).all()  # what is not for class 1 is for class 0


def test_the_last_map_is_explained_where_several_are_pooled():
    model = build_classifier("mobilenet025", image_size=64, pooling="layers", head="linear")
    # Of all pooled features the mean of the last map speaks alone, its 256 channels alike.
    dense = model.get_layer("probs")
    kernel = np.zeros(dense.kernel.shape, np.float32)
    kernel[:256] = 1
    dense.set_weights([kernel, np.zeros(1)])
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    maps = keras.Model(model.inputs[0], model.get_layer("pool_avg").input)(images).numpy()
    norm = model.get_layer("batch_norm")
    weights = 1 / np.sqrt(norm.moving_variance.numpy()[:256] + norm.epsilon)
    summed = np.maximum((maps * weights).sum(axis=-1, keepdims=True), 0)
    assert maps.shape == (2, 2, 2, 256)
    expected = np.stack([cv2.resize(each[..., 0], (64, 64)) for each in summed])
    expected /= expected.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(grad_cam(model, images), expected, atol=1e-4)


def test_a_layer_cannot_be_chosen_where_several_maps_are_pooled():
    model = build_classifier("mobilenet025", image_size=32, pooling="layers")
    with pytest.raises(ValueError, match="`layer` must be None .*'layers'. Received: 'conv_pw_5"):
        grad_cam(model, np.zeros((1, 32, 32, 3)), layer="conv_pw_5_relu")


def test_a_layer_of_the_backbone_gives_a_finer_map_and_leaves_the_model_as_it_was(tmp_path):
    model = build_classifier("mobilenet025", image_size=64)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    before = model(images).numpy()
    fine, coarse = grad_cam(model, images, layer="conv_pw_5_relu"), grad_cam(model, images)
    assert fine.shape == coarse.shape
    assert np.abs(np.diff(fine)).max() > np.abs(np.diff(coarse)).max()  # 8x8 beside 2x2
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(images), before, rtol=1e-5)
    np.testing.assert_allclose(grad_cam(loaded, images), coarse, atol=1e-4)


def _segmenter(*, bias):
    """Halves the slice, and takes red for haemorrhage."""
    pixels = keras.Input((4, 4, 3))
    x = keras.layers.Conv2D(2, 2, strides=2, use_bias=False, name="maps")(pixels)
    x = keras.layers.UpSampling2D(2)(x)
    logits = keras.layers.Conv2D(3, 1, name="logits")(x)
    model = keras.Model(pixels, keras.layers.Activation("softmax", name="probs")(logits))
    model.get_layer("maps").set_weights([np.tile(np.eye(3, 2, dtype=np.float32) / 4, (2, 2, 1, 1))])
    kernel = np.array([[0, 0, 1], [0, 0, 0]], np.float32)[None, None]
    model.get_layer("logits").set_weights([kernel, np.array([bias, 0, 0], np.float32)])
    return model


@pytest.mark.parametrize("bias", [-1000.0, 5.0])
def test_masks_rest_on_what_a_map_holds_where_a_lesion_is_seen(bias):
    double = np.ones((2, 2), np.float32)
    images = _images(np.kron([[0, 2], [0, 8]], double), np.kron([[4, 0], [4, 0]], double))
    values = np.array([[0, 2], [0, 8]], np.float64)
    lesion = np.exp(values) / (np.exp(bias) + 1 + np.exp(values))
    counted = values * lesion
    expected = cv2.resize((counted / counted.max()).astype(np.float32), (4, 4))
    np.testing.assert_allclose(mask_grad_cam(_segmenter(bias=bias), images)[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["unet", "composed", "joint", "improved"])
def test_segmentation_networks_can_be_explained(name):
    model = SEGMENTERS[name](image_size=64)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3))
    heatmaps = mask_grad_cam(model, images)
    assert heatmaps.shape == (2, 64, 64) and np.isfinite(heatmaps).all()
    assert ((heatmaps.max(axis=(1, 2)) == 1) | (heatmaps.max(axis=(1, 2)) == 0)).all()


def test_a_classifier_has_no_masks_to_explain():
    with pytest.raises(ValueError, match="must give masks"):
        mask_grad_cam(_classifier([1, 0]), _images())
