import keras
import numpy as np
import pytest

from stroke_tf.models.backbones import BACKBONES, build_backbone, preprocess, settle_batch_norms

MODULES = {
    "MobileNet": keras.applications.mobilenet,
    "MobileNetV2": keras.applications.mobilenet_v2,
    "EfficientNetB0": keras.applications.efficientnet,
    "EfficientNetV2B0": keras.applications.efficientnet_v2,
    "ResNet50": keras.applications.resnet50,
    "VGG16": keras.applications.vgg16,
    "DenseNet121": keras.applications.densenet,
    "InceptionV3": keras.applications.inception_v3,
    "Xception": keras.applications.xception,
    "InceptionResNetV2": keras.applications.inception_resnet_v2,
}


@pytest.mark.parametrize("name", BACKBONES)
def test_preprocessing_is_that_of_keras_applications(name):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 5, 3)).astype(np.float32)
    images = keras.Input((4, 5, 3))
    first_layers = keras.Model(images, preprocess(images, BACKBONES[name].preprocessing))
    expected = MODULES[BACKBONES[name].constructor].preprocess_input(pixels.copy())
    np.testing.assert_allclose(first_layers(pixels), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", BACKBONES)
def test_smallest_size_is_what_keras_applications_accepts(name):
    entry = BACKBONES[name]
    constructor = getattr(keras.applications, entry.constructor)
    too_small = (entry.min_size - 1,) * 2 + (3,)
    with pytest.raises(ValueError, match=f"at least {entry.min_size}"):
        constructor(include_top=False, input_shape=too_small, weights=None, **entry.options)


def test_an_unknown_backbone_lists_the_known_ones():
    with pytest.raises(ValueError, match="mobilenet025.*vgg16.*Received: 'alexnet'"):
        build_backbone("alexnet", image_size=64, weights=None)


def test_an_image_too_small_is_refused_with_the_limit():
    with pytest.raises(ValueError, match=">= 75 for inceptionv3. Received: 74"):
        build_backbone("inceptionv3", image_size=74, weights=None)


def test_batch_norms_are_frozen_when_pretrained_and_quick_when_not():
    frozen, quick = keras.layers.BatchNormalization(), keras.layers.BatchNormalization()
    dense = keras.layers.Dense(2)
    settle_batch_norms([frozen, dense], pretrained=True)
    settle_batch_norms([quick, dense], pretrained=False)
    assert (frozen.trainable, frozen.momentum) == (False, 0.99)
    assert (quick.trainable, quick.momentum) == (True, 0.9)
    assert dense.trainable
