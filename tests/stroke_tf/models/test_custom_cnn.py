import keras
import numpy as np
import pytest

from stroke_tf.models.backbones import unfreeze
from stroke_tf.models.classifier import build_classifier
from stroke_tf.models.custom_cnn import CUSTOM_CNNS
from stroke_tf.models.heads import split_head

SIZE = 32


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_the_network_for_types_is_conv_relu_pool_then_flat_dense_dropout_and_two_outputs():
    model = build_classifier("cnn-type", image_size=SIZE, dropout=0.4, dense_units=16)
    stages = ["Conv2D", "MaxPooling2D"] * 4
    assert kinds(model) == ["InputLayer", "Rescaling", *stages, "Flatten", "Dense", "Dropout"] + [
        "Dense"
    ]
    convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [32, 64, 128, 128]
    assert {layer.activation for layer in convolutions} == {keras.activations.relu}
    assert model.get_layer("flatten").output.shape == (None, 2 * 2 * 128)
    assert model.get_layer("dense").units == 16
    assert model.get_layer("dropout").rate == 0.4
    assert model.output_shape == (None, 2)


def test_the_network_that_detects_ends_in_one_sigmoid():
    model = build_classifier("cnn-detect", image_size=SIZE)
    assert model.output_shape == (None, 1)
    assert model.get_layer("probs").activation is keras.activations.sigmoid


def test_another_head_can_be_asked_for():
    assert build_classifier("cnn-detect", image_size=SIZE, head="usth-cnn").output_shape[-1] == 2


@pytest.mark.parametrize(
    ("name", "black", "white"),
    [
        ("cnn-detect", [-1, -1, -1], [1, 1, 1]),
        # (0 - mean) / std and (1 - mean) / std of ImageNet
        ("cnn-type", [-2.1179, -2.0357, -1.8044], [2.2489, 2.4286, 2.64]),
    ],
)
def test_the_first_layer_scales_raw_pixels(name, black, white):
    model = build_classifier(name, image_size=SIZE)
    prepared = keras.Model(model.inputs[0], model.get_layer("conv1").input)
    pixels = np.zeros((2, SIZE, SIZE, 3), np.float32)
    pixels[1] = 255
    np.testing.assert_allclose(prepared(pixels)[:, 0, 0], [black, white], atol=1e-3)


@pytest.mark.parametrize("name", CUSTOM_CNNS)
@pytest.mark.parametrize(
    ("argument", "value", "only"),
    [
        ("weights", "imagenet", "None"),
        ("trainable", False, "True"),
        ("pooling", "avg+max", "'avg'"),
    ],
)
def test_what_needs_a_backbone_is_refused(name, argument, value, only):
    with pytest.raises(ValueError, match=f"`{argument}` must be {only} for {name}"):
        build_classifier(name, image_size=SIZE, **{argument: value})


def test_images_that_vanish_in_the_stages_are_refused():
    with pytest.raises(ValueError, match="`image_size` must be >= 16 for cnn-detect. Received: 15"):
        build_classifier("cnn-detect", image_size=15)


def test_neither_splits_nor_unfreezes():
    model = build_classifier("cnn-type", image_size=SIZE)
    with pytest.raises(ValueError, match="custom CNNs flatten their features.*cnn-type"):
        split_head(model)
    with pytest.raises(ValueError, match="must hold a backbone"):
        unfreeze(model, "all")


def test_it_learns_to_tell_dark_from_bright():
    random = np.random.default_rng(0)
    labels = np.arange(16) % 2
    pixels = random.uniform(0, 100, (16, SIZE, SIZE, 3)) + 150 * labels[:, None, None, None]
    model = build_classifier("cnn-type", image_size=SIZE, dense_units=8, dropout=0.0)
    loss = keras.losses.SparseCategoricalCrossentropy()
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss, run_eagerly=True)
    model.fit(x=pixels, y=labels, epochs=8, batch_size=16, verbose=0)
    probs = model(pixels).numpy()[:, -1]
    np.testing.assert_array_equal(probs > 0.5, labels == 1)
