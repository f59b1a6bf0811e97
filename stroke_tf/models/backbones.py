"""The image networks: what each expects, how its batch norms train, and how it is unfrozen.

Knows nothing of tasks, heads or decoders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from stroke_tf.models.efficientnet_lite import efficientnet_lite
from stroke_tf.models.weights import check_shipped, weight_errors
from stroke_tf.models.zoo_encoder import give_encoder
from stroke_tf.zoo.shipped import ZOO

Preprocessing = Literal["tf", "caffe", "torch", "none"]
"""How pixels in [0, 255] are prepared, in the words of keras.applications: "tf" scales them to
[-1, 1]; "caffe" swaps to BGR and subtracts the ImageNet means; "torch" standardises each channel;
"none" leaves them, for networks that begin with layers of their own for it."""

SCRATCH_MOMENTUM = 0.9
"""Momentum of batch norms that start untrained. The usual 0.99 or 0.999 takes thousands of steps to
forget where the moving statistics began: a short training looks good, its inference does not."""

PRETRAINED_MOMENTUM = 1.0
"""Momentum of pretrained batch norms: their statistics never move. It also marks them, so that
`unfreeze` leaves them frozen, in a model loaded from disk too."""

HALVINGS = 5
"""How often every network halves its input."""

_IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """One network.

    Attributes:
        constructor: Called like those of keras.applications.
        preprocessing: What it expects its input to be.
        blocks: Its last blocks for `unfreeze`, from the last to earlier ones: each is the name, or
            the beginning of the name, of the layer the block starts with.
        min_size: Smallest side of the input in pixels.
        inverted: Whether it widens its maps inside of its blocks, and each halving lies there: the
            last map of a size is several times as wide as what the blocks hand on.
        options: Further keyword arguments of the constructor.
    """

    constructor: Callable[..., keras.Model]
    preprocessing: Preprocessing
    blocks: tuple[str, ...]
    min_size: int = 32
    inverted: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


def _resnet18(*, weights: str | None, **options: Any) -> keras.Model:
    # Imported when it is built, as the only network from there. Its modules know no Keras of their
    # own: given that of Keras 3, they build a plain Keras 3 model.
    from classification_models.models.resnet import ResNet18

    modules = {name: getattr(keras, name) for name in ("backend", "layers", "models", "utils")}
    network = ResNet18(weights=weights, **options, **modules)
    if weights is None:
        # It takes RGB in [0, 255] as it is: its first layer, a batch norm, knows their statistics.
        first = network.get_layer("bn_data")
        first.moving_mean.assign([255 * mean for mean in _IMAGENET_MEAN])
        first.moving_variance.assign([(255 * std) ** 2 for std in _IMAGENET_STD])
    return network


def _numbered(name: str, last: int, *, first: int = 1) -> tuple[str, ...]:
    return tuple(f"{name}{number}" for number in range(last, first - 1, -1))


_APPS = keras.applications

# The Inception networks name the layers where blocks meet, not those inside: a block there is named
# after the layer it starts from, the last output of the block before it.
BACKBONES: dict[str, Backbone] = {
    "mobilenet025": Backbone(
        _APPS.MobileNet, "tf", _numbered("conv_dw_", 13), options={"alpha": 0.25}
    ),
    "mobilenetv2": Backbone(
        _APPS.MobileNetV2, "tf", ("Conv_1", *_numbered("block_", 16)), inverted=True
    ),
    "mobilenetv3small": Backbone(
        _APPS.MobileNetV3Small, "none", ("conv_1", *_numbered("expanded_conv_", 10)), inverted=True
    ),
    # Given a file of its ImageNet weights, keras.applications leaves out a factor of the
    # preprocessing that it adds for "imagenet".
    "efficientnetb0": Backbone(
        _APPS.EfficientNetB0, "none", ("top", *_numbered("block", 7)), inverted=True
    ),
    "efficientnetv2b0": Backbone(
        _APPS.EfficientNetV2B0, "none", ("top", *_numbered("block", 6)), inverted=True
    ),
    "efficientnetv2s": Backbone(
        _APPS.EfficientNetV2S, "none", ("top", *_numbered("block", 6)), inverted=True
    ),
    **{
        f"efficientnetlite{number}": Backbone(
            efficientnet_lite,
            "none",
            ("head", *_numbered("b", last)),
            inverted=True,
            options={"number": number},
        )
        for number, last in enumerate((15, 20, 20))
    },
    "convnexttiny": Backbone(
        _APPS.ConvNeXtTiny, "none", _numbered("convnext_tiny_stage_", 3, first=0)
    ),
    "resnet18": Backbone(_resnet18, "none", _numbered("stage", 4)),
    "resnet50": Backbone(_APPS.ResNet50, "caffe", _numbered("conv", 5, first=2)),
    "vgg16": Backbone(_APPS.VGG16, "caffe", _numbered("block", 5)),
    "densenet121": Backbone(_APPS.DenseNet121, "torch", _numbered("conv", 5, first=2)),
    "inceptionv3": Backbone(_APPS.InceptionV3, "tf", _numbered("mixed", 9, first=0), min_size=75),
    "xception": Backbone(_APPS.Xception, "tf", _numbered("block", 14), min_size=71),
    "inceptionresnetv2": Backbone(
        _APPS.InceptionResNetV2, "tf", ("conv_7b", "mixed_7a", "mixed_6a", "mixed_5b"), min_size=75
    ),
}


def build_backbone(
    name: str, *, image_size: int, weights: Path | str | None, live_norms: bool = False
) -> keras.Model:
    """Returns a network without its top, its batch norms settled (see `settle_batch_norms`).

    Args:
        name: A key of BACKBONES.
        image_size: Side S of the input in pixels.
        weights: None for random weights, "imagenet", a key of ZOO, whose encoder is taken, or the
            path of an existing file.
        live_norms: Whether pretrained batch norms train too, with the statistics of each batch, as
            untrained ones do. Not for weights whose batch norms were folded away.

    Returns:
        A model named `name` that takes float32 images, shape (B, S, S, 3), prepared by
        `preprocess` with the entry's `preprocessing`, and gives a feature map, shape (B, h, w, C).

    Raises:
        ValueError: If the name is unknown, the image is too small, or the weights do not fit.
        OSError: If the ImageNet weights cannot be downloaded, or the shipped model is not there.
    """
    if name not in BACKBONES:
        raise ValueError(f"`backbone` must be one of {sorted(BACKBONES)}. Received: {name!r}")
    entry = BACKBONES[name]
    if image_size < entry.min_size:
        raise ValueError(
            f"`image_size` must be >= {entry.min_size} for {name}. Received: {image_size}"
        )
    check_shipped(weights, network=name)
    shipped = str(weights) if str(weights) in ZOO else None
    with weight_errors(weights, network=name):
        network = entry.constructor(
            include_top=False,
            input_shape=(image_size, image_size, 3),
            weights=None if weights is None or shipped else str(weights),
            **entry.options,
        )
    if shipped:
        give_encoder(network, shipped)
    settle_batch_norms(network.layers, pretrained=weights is not None and not live_norms)
    # The same layers under our own name, which a saved classifier keeps: `unfreeze` goes by it.
    return keras.Model(network.inputs[0], network.outputs[0], name=name)


def with_earlier_maps(network: keras.Model) -> keras.Model:
    """Returns a backbone that gives the last feature map of each size, the smallest first.

    Args:
        network: A network of `build_backbone`.

    Returns:
        A model of the same layers and name with a list of outputs, shape (B, h, w, C): its last
        feature map and those before each halving, from a quarter of the image's side on.
    """
    side = network.input_shape[1]
    last_of_size: dict[int, keras.KerasTensor] = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.ZeroPadding2D):
            continue  # a copy of a map with a border, of a size of its own
        shape: tuple[int, ...] = getattr(layer.output, "shape", ())
        if len(shape) == 4 and shape[1] <= -(-side // 4):
            last_of_size[shape[1]] = layer.output
    last_of_size[network.output_shape[1]] = network.outputs[0]
    maps = [last_of_size[size] for size in sorted(last_of_size)]
    return keras.Model(network.inputs[0], maps, name=network.name)


def feature_maps(network: keras.Model, *, narrow: bool = False) -> list[keras.KerasTensor | None]:
    """Returns the last feature map of each size, for a decoder, in the order of halvings.

    Unpadded convolutions cut off the border of a map. Such maps get a border of zeros, so that each
    covers the whole image.

    Args:
        network: A network of `build_backbone`, the side S of its input divisible by 32.
        narrow: Whether those of an inverted network are what the last block of each size hands on
            instead, where one does: a third to a sixth as wide.

    Returns:
        Six tensors: number n has the shape (B, S / 2**n, S / 2**n, C). The first is None, as are
        those of sizes that the network skips.

    Raises:
        ValueError: If narrow maps are asked for of a network that is not inverted.
    """
    if narrow and not BACKBONES[network.name].inverted:
        known = sorted(name for name, entry in BACKBONES.items() if entry.inverted)
        raise ValueError(
            f"`narrow_skips` needs an encoder that is one of {known}. Received: {network.name}"
        )
    side, least = network.input_shape[1], network.output_shape[1]
    maps: list[keras.KerasTensor | None] = [None] * (HALVINGS + 1)
    for layer in [*network.layers, *(_block_ends(network) if narrow else [])]:
        shape: tuple[int, ...] = getattr(layer.output, "shape", ())
        if isinstance(layer, keras.layers.ZeroPadding2D) or len(shape) != 4:
            continue
        if least <= shape[1] <= side // 2:
            maps[min(HALVINGS, (side // shape[1]).bit_length() - 1)] = layer.output
    maps[HALVINGS] = network.outputs[0]
    return [
        None if feature_map is None else _bordered(feature_map, side >> n)
        for n, feature_map in enumerate(maps)
    ]


def _block_ends(network: keras.Model) -> list[keras.layers.Layer]:
    """Returns the last layer before each block of a network, in their order."""
    starts = (_start_of(network, block) for block in reversed(BACKBONES[network.name].blocks))
    return [network.layers[start - 1] for start in starts]


def _bordered(image: keras.KerasTensor, side: int) -> keras.KerasTensor:
    missing = side - image.shape[1]
    if not missing:
        return image
    border = (missing // 2, missing - missing // 2)
    return keras.layers.ZeroPadding2D((border, border))(image)


def preprocess(images: keras.KerasTensor, mode: Preprocessing) -> keras.KerasTensor:
    """Returns pixels as a network expects them, by built-in layers that any Keras can load.

    Args:
        images: RGB in [0, 255], shape (B, H, W, 3).
        mode: What the network expects.
    """
    if mode == "tf":
        return keras.layers.Rescaling(1 / 127.5, offset=-1.0)(images)
    if mode == "caffe":
        bgr = keras.ops.flip(images, axis=-1)
        return keras.layers.Rescaling(1.0, offset=[-mean for mean in _IMAGENET_MEAN_BGR])(bgr)
    if mode == "torch":
        scale = [1 / (255 * std) for std in _IMAGENET_STD]
        offset = [-mean / std for mean, std in zip(_IMAGENET_MEAN, _IMAGENET_STD, strict=True)]
        return keras.layers.Rescaling(scale, offset=offset)(images)
    return images


def settle_batch_norms(layers: Iterable[keras.Layer], *, pretrained: bool) -> None:
    """Makes batch norms fit to be trained, in place.

    Pretrained ones are frozen, which in Keras also means that they use their stored statistics
    while training: the usual choice for small batches, and the only one for weights whose batch
    norms were folded into the convolutions, where the statistics of a batch silence every unit.
    They get PRETRAINED_MOMENTUM, untrained ones SCRATCH_MOMENTUM.

    Args:
        layers: Layers of any kind; only BatchNormalization is touched.
        pretrained: Whether they carry loaded weights.
    """
    for layer in layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        layer.momentum = PRETRAINED_MOMENTUM if pretrained else SCRATCH_MOMENTUM
        if pretrained:
            layer.trainable = False


def unfreeze(model: keras.Model, from_block: str) -> None:
    """Makes a backbone trainable from a block to its end and freezes what comes before, in place.

    Pretrained batch norms stay frozen wherever they are. Compile the model after it.

    Args:
        model: A network of `build_backbone`, or a classifier on one, also one loaded from disk.
        from_block: One of the entry's `blocks`, "all" or "none".

    Raises:
        ValueError: If the model has no backbone, or the backbone no such block.
    """
    network = _backbone_of(model)
    blocks = BACKBONES[network.name].blocks
    if from_block not in ("all", "none", *blocks):
        raise ValueError(
            f"`from_block` must be all, none or one of {blocks} for {network.name}. "
            f"Received: {from_block!r}"
        )
    start = _start_of(network, from_block)
    network.trainable = from_block != "none"
    for place, layer in enumerate(network.layers):
        pretrained_norm = getattr(layer, "momentum", None) == PRETRAINED_MOMENTUM
        # False first: Keras skips an assignment that changes nothing, and layers inside with it.
        layer.trainable = False
        layer.trainable = place >= start and not pretrained_norm


def _backbone_of(model: keras.Model) -> keras.Model:
    for candidate in (model, *model.layers):
        if isinstance(candidate, keras.Model) and candidate.name in BACKBONES:
            return candidate
    raise ValueError(
        f"`model` must hold a backbone of BACKBONES: {sorted(BACKBONES)}. Received: {model.name}"
    )


def _start_of(network: keras.Model, from_block: str) -> int:
    names = [layer.name for layer in network.layers]
    if from_block in ("all", "none"):
        return 0 if from_block == "all" else len(names)
    # The whole name first: in InceptionV3 "mixed9_0" lies inside the block that ends in "mixed9".
    if from_block in names:
        return names.index(from_block)
    return next(place for place, name in enumerate(names) if name.startswith(from_block))
