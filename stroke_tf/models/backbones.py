"""The image networks of keras.applications: what each expects, and how its batch norms train.

Knows nothing of tasks, heads or decoders.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras

from stroke_tf.models.weights import weight_errors

Preprocessing = Literal["tf", "caffe", "torch", "none"]
"""How pixels in [0, 255] are prepared, in the words of keras.applications: "tf" scales them to
[-1, 1]; "caffe" swaps to BGR and subtracts the ImageNet means; "torch" standardises each channel;
"none" leaves them, for networks that begin with layers of their own for it."""

SCRATCH_MOMENTUM = 0.9
"""Momentum of batch norms that start untrained. The usual 0.99 or 0.999 takes thousands of steps to
forget where the moving statistics began: a short training looks good, its inference does not."""

_IMAGENET_MEAN_BGR = (103.939, 116.779, 123.68)
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Backbone:
    """One network of keras.applications.

    Attributes:
        constructor: Its name in keras.applications, looked up when the network is built.
        preprocessing: What it expects its input to be.
        min_size: Smallest side of the input in pixels.
        default_size: Side of the input in pixels it was pretrained with.
        options: Further keyword arguments of the constructor.
    """

    constructor: str
    preprocessing: Preprocessing
    min_size: int = 32
    default_size: int = 224
    options: Mapping[str, Any] = field(default_factory=dict)


BACKBONES: dict[str, Backbone] = {
    "mobilenet025": Backbone("MobileNet", "tf", options={"alpha": 0.25}),
    "mobilenetv2": Backbone("MobileNetV2", "tf"),
    "efficientnetb0": Backbone("EfficientNetB0", "none"),
    "efficientnetv2b0": Backbone("EfficientNetV2B0", "none"),
    "resnet50": Backbone("ResNet50", "caffe"),
    "vgg16": Backbone("VGG16", "caffe"),
    "densenet121": Backbone("DenseNet121", "torch"),
    "inceptionv3": Backbone("InceptionV3", "tf", min_size=75, default_size=299),
    "xception": Backbone("Xception", "tf", min_size=71, default_size=299),
    "inceptionresnetv2": Backbone("InceptionResNetV2", "tf", min_size=75, default_size=299),
}


def build_backbone(name: str, *, image_size: int, weights: Path | str | None) -> keras.Model:
    """Returns a network without its top, its batch norms settled (see `settle_batch_norms`).

    Args:
        name: A key of BACKBONES.
        image_size: Side S of the input in pixels.
        weights: None for random weights, "imagenet", or the path of an existing file.

    Returns:
        A model that takes float32 images, shape (B, S, S, 3), prepared by `preprocess` with the
        entry's `preprocessing`, and gives a feature map, shape (B, h, w, C).

    Raises:
        ValueError: If the name is unknown, the image is too small, or the file does not fit.
        OSError: If the ImageNet weights cannot be downloaded.
    """
    if name not in BACKBONES:
        raise ValueError(f"`backbone` must be one of {sorted(BACKBONES)}. Received: {name!r}")
    entry = BACKBONES[name]
    if image_size < entry.min_size:
        raise ValueError(
            f"`image_size` must be >= {entry.min_size} for {name}. Received: {image_size}"
        )
    with weight_errors(weights, network=name):
        network = getattr(keras.applications, entry.constructor)(
            include_top=False,
            input_shape=(image_size, image_size, 3),
            weights=weights if weights is None else str(weights),
            **entry.options,
        )
    settle_batch_norms(network.layers, pretrained=weights is not None)
    return network


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
    Untrained ones get SCRATCH_MOMENTUM.

    Args:
        layers: Layers of any kind; only BatchNormalization is touched.
        pretrained: Whether they carry loaded weights.
    """
    for layer in layers:
        if not isinstance(layer, keras.layers.BatchNormalization):
            continue
        if pretrained:
            layer.trainable = False
        else:
            layer.momentum = SCRATCH_MOMENTUM
