import numpy as np
import pytest
from shipped import BACKBONE

from stroke_tf.deploy.load import load_network
from stroke_tf.models.backbones import build_backbone
from stroke_tf.models.classifier import build_classifier
from stroke_tf.models.composed import build_composed
from stroke_tf.models.unet import build_unet
from stroke_tf.models.weights import resolve_weights
from stroke_tf.zoo.shipped import DEFAULT, ZOO


def weights_of(network):
    return {
        f"{layer.name} {place}": value
        for layer in network.layers
        for place, value in enumerate(layer.get_weights())
    }


@pytest.fixture
def encoder(shipped):
    """The weights of the shipped model's encoder by layer."""
    whole = load_network(shipped.folder / "network.keras")
    return weights_of(whole.get_layer(BACKBONE))


def build(kind, size):
    if kind == "backbone":
        return build_backbone(BACKBONE, image_size=size, weights=resolve_weights(DEFAULT))
    if kind == "classifier":
        return build_classifier(BACKBONE, image_size=size, weights=DEFAULT).get_layer(BACKBONE)
    options = {"weights": DEFAULT, "image_size": size, "decoder_filters": (4, 4)}
    return build_composed(BACKBONE, slice_head=kind == "joint", **options).get_layer(BACKBONE)


@pytest.mark.parametrize("kind", ["backbone", "classifier", "composed", "joint"])
def test_a_network_starts_from_the_encoder_of_the_shipped_model(encoder, kind):
    found = weights_of(build(kind, 64))  # another size than the model's own
    assert found.keys() == encoder.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(value, encoder[name])


def test_its_batch_norms_are_frozen_as_those_of_other_weights(shipped):
    norms = [layer for layer in build("backbone", 32).layers if "bn" in layer.name]
    assert norms and not any(norm.trainable for norm in norms)


@pytest.mark.parametrize(
    "build_other",
    [
        lambda: build_classifier("mobilenetv2", image_size=32, weights=DEFAULT),
        lambda: build_composed("mobilenetv2", image_size=32, weights=DEFAULT),
        lambda: build_unet("mobilenetv2", image_size=32, weights=DEFAULT),
    ],
)
def test_another_backbone_is_told_which_one_fits(shipped, build_other):
    with pytest.raises(ValueError, match=f"{DEFAULT} are of the backbone {BACKBONE}.*mobilenetv2"):
        build_other()


def test_an_installation_without_the_model_is_told_how_to_make_it(not_shipped):
    with pytest.raises(FileNotFoundError, match="experiments.make_zoo"):
        build_backbone(not_shipped.backbone, image_size=32, weights=DEFAULT)


def test_the_backbone_that_is_stated_is_one_of_ours():
    from stroke_tf.models.backbones import BACKBONES

    assert {entry.backbone for entry in ZOO.values()} <= BACKBONES.keys()
