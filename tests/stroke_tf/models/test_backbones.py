import sys

import keras
import numpy as np
import pytest

from stroke_tf.models.backbones import (
    BACKBONES,
    build_backbone,
    preprocess,
    settle_batch_norms,
    unfreeze,
    with_earlier_maps,
)

MODULES = {
    "mobilenet025": keras.applications.mobilenet,
    "mobilenetv2": keras.applications.mobilenet_v2,
    "mobilenetv3small": keras.applications.mobilenet_v3,
    "efficientnetb0": keras.applications.efficientnet,
    "efficientnetv2b0": keras.applications.efficientnet_v2,
    "efficientnetv2s": keras.applications.efficientnet_v2,
    "convnexttiny": keras.applications.convnext,
    "resnet50": keras.applications.resnet50,
    "vgg16": keras.applications.vgg16,
    "densenet121": keras.applications.densenet,
    "inceptionv3": keras.applications.inception_v3,
    "xception": keras.applications.xception,
    "inceptionresnetv2": keras.applications.inception_resnet_v2,
}

QUICK = ("mobilenet025", "resnet18")
SLOWLY = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in BACKBONES]

MEAN = 255 * np.array([0.485, 0.456, 0.406])
STD = 255 * np.array([0.229, 0.224, 0.225])


def trainable_layers(network):
    return [layer.name for layer in network.layers if layer.trainable_weights]


def small(name):
    return build_backbone(name, image_size=BACKBONES[name].min_size, weights=None)


@pytest.fixture(scope="module")
def vgg16():
    return small("vgg16")


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("name", MODULES)
def test_preprocessing_is_that_of_keras_applications(name, pixels):
    images = keras.Input((32, 32, 3))
    first_layers = keras.Model(images, preprocess(images, BACKBONES[name].preprocessing))
    expected = MODULES[name].preprocess_input(pixels.copy())
    np.testing.assert_allclose(first_layers(pixels), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "first_conv", "prepared"),
    [
        ("resnet18", "conv0", lambda x: (x - MEAN) / STD),
        ("mobilenetv3small", "conv", lambda x: x / 127.5 - 1),
        pytest.param(
            "convnexttiny",
            "convnext_tiny_stem",
            lambda x: (x - MEAN) / STD,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "efficientnetv2b0", "stem_conv", lambda x: (x - MEAN) / STD, marks=pytest.mark.slow
        ),
        pytest.param("efficientnetv2s", "stem_conv", lambda x: x / 128 - 1, marks=pytest.mark.slow),
    ],
)
def test_networks_with_preprocessing_of_their_own_prepare_raw_pixels(
    name, first_conv, prepared, pixels
):
    network = small(name)
    # A padding of zeros may come in between: it leaves the middle as it is.
    seen = keras.Model(network.inputs[0], network.get_layer(first_conv).input)(pixels).numpy()
    margin = (seen.shape[1] - 32) // 2
    seen = seen[:, margin : margin + 32, margin : margin + 32]
    np.testing.assert_allclose(seen, prepared(pixels), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", MODULES)
def test_smallest_size_is_what_keras_applications_accepts(name):
    entry = BACKBONES[name]
    too_small = (entry.min_size - 1,) * 2 + (3,)
    with pytest.raises(ValueError, match=f"at least {entry.min_size}"):
        entry.constructor(include_top=False, input_shape=too_small, weights=None, **entry.options)


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
    assert (frozen.trainable, frozen.momentum) == (False, 1.0)
    assert (quick.trainable, quick.momentum) == (True, 0.9)
    assert dense.trainable


@pytest.mark.parametrize("name", SLOWLY)
def test_a_network_is_named_by_its_key_and_made_of_keras_layers_alone(name):
    network = small(name)
    assert network.name == name
    assert {type(layer).__module__.split(".")[0] for layer in network.layers} == {"keras"}
    assert network.output.shape[-1] >= 256


@pytest.mark.skipif("segmentation_models" in sys.modules, reason="it loads the same library")
def test_resnet18_is_that_of_he_et_al_with_11_million_weights():
    network = small("resnet18")
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    # The first, two in each of eight units, and one in the shortcut of each of four stages.
    assert len(convolutions) == 1 + 8 * 2 + 4
    assert network.output.shape == (None, 1, 1, 512)
    assert 11.1e6 < network.count_params() < 11.3e6


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("none", []),
        ("block5", ["block5_conv1", "block5_conv2", "block5_conv3"]),
        (
            "block4",
            [f"block{block}_conv{conv}" for block in (4, 5) for conv in (1, 2, 3)],
        ),
        (
            "all",
            [f"block{block}_conv{conv}" for block in (1, 2) for conv in (1, 2)]
            + [f"block{block}_conv{conv}" for block in (3, 4, 5) for conv in (1, 2, 3)],
        ),
    ],
)
def test_a_network_trains_from_the_named_block_to_its_end(block, expected, vgg16):
    unfreeze(vgg16, block)
    assert trainable_layers(vgg16) == expected


def test_one_block_is_not_taken_for_another_that_begins_alike():
    network = small("mobilenetv2")
    unfreeze(network, "block_1")
    assert trainable_layers(network)[0] == "block_1_expand"
    unfreeze(network, "block_16")
    assert trainable_layers(network) == [
        "block_16_expand",
        "block_16_expand_BN",
        "block_16_depthwise",
        "block_16_depthwise_BN",
        "block_16_project",
        "block_16_project_BN",
        "Conv_1",
        "Conv_1_bn",
    ]


@pytest.mark.slow
def test_the_last_block_of_inceptionv3_has_nine_convolutions():
    network = small("inceptionv3")
    unfreeze(network, "mixed9")
    kernels = [weight for weight in network.trainable_weights if weight.name == "kernel"]
    # 1x1; 1x1 to 1x3 and 3x1; 1x1 to 3x3 to 1x3 and 3x1; pooled 1x1 (Szegedy et al. 2015, fig. 7)
    assert len(kernels) == 1 + 3 + 4 + 1


@pytest.mark.parametrize("name", SLOWLY)
def test_each_earlier_block_adds_to_what_trains(name):
    network = small(name)
    before = set()
    for block in BACKBONES[name].blocks:
        unfreeze(network, block)
        now = {weight.path for weight in network.trainable_weights}
        assert now > before
        before = now
    unfreeze(network, "all")
    assert {weight.path for weight in network.trainable_weights} >= before


def test_the_last_map_of_each_size_comes_out_the_smallest_first():
    several = with_earlier_maps(build_backbone("vgg16", image_size=64, weights=None))
    # Its five stages end at 64, 32, 16, 8 and 4 pixels; a quarter of the side is 16.
    layers = ["block5_pool", "block5_conv3", "block4_conv3", "block3_conv3"]
    assert several.name == "vgg16"
    assert several.output_shape == [
        (None, 2, 2, 512),
        (None, 4, 4, 512),
        (None, 8, 8, 512),
        (None, 16, 16, 256),
    ]
    names = [output._keras_history.operation.name for output in several.outputs]
    assert names == layers


@pytest.mark.parametrize("name", SLOWLY)
def test_every_network_has_earlier_maps_and_ends_with_the_same(name):
    network = small(name)
    several = with_earlier_maps(network)
    assert several.outputs[0] is network.outputs[0]
    sides = [output.shape[1] for output in several.outputs]
    assert sides == sorted(set(sides)) and len(sides) >= 2
    assert several.count_params() == network.count_params()


def test_unknown_blocks_are_refused_with_the_known_ones(vgg16):
    with pytest.raises(ValueError, match="all, none or one of .*block5.*block1.* 'block6'"):
        unfreeze(vgg16, "block6")


def test_a_model_without_a_backbone_cannot_be_unfrozen():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="plain")
    with pytest.raises(ValueError, match="must hold a backbone.*vgg16.*Received: plain"):
        unfreeze(model, "all")


@pytest.mark.parametrize(
    ("name", "size", "channels"),
    [("mobilenet025", 64, [256, 128, 64, 32]), ("mobilenetv2", 75, [1280, 576, 192, 144])],
)
def test_a_map_with_a_border_of_zeros_is_not_taken_for_one_of_another_size(name, size, channels):
    several = with_earlier_maps(build_backbone(name, image_size=size, weights=None))
    assert [output.shape[-1] for output in several.outputs] == channels
