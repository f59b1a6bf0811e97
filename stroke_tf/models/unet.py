"""The U-Net, FPN, Linknet and PSPNet of segmentation_models, as models that take raw pixels.

The only module that imports segmentation_models.
"""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import keras

from stroke_tf.config import LibraryArchitecture
from stroke_tf.imagenet_files import check_encoder
from stroke_tf.models.backbones import Preprocessing, preprocess, settle_batch_norms
from stroke_tf.models.composed import probabilities
from stroke_tf.models.weights import Weights, check_shipped, resolve_weights, weight_errors

_FRAMEWORK = "SM_FRAMEWORK"
_DECODER_LAYERS = (
    "aggregation",
    "center_block",
    "decoder_",
    "final_",
    "fpn_",
    "psp_",
    "segm_",
    "upsampling_",
)


def _import_segmentation_models() -> ModuleType:
    # It reads the variable and prints once, when it is imported; Keras 3 works as "tf.keras" only.
    before = os.environ.get(_FRAMEWORK)
    os.environ[_FRAMEWORK] = "tf.keras"
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import segmentation_models
    finally:
        if before is None:
            del os.environ[_FRAMEWORK]
        else:
            os.environ[_FRAMEWORK] = before
    return segmentation_models


sm = _import_segmentation_models()


@dataclass(frozen=True)
class Encoder:
    """One encoder of segmentation_models.

    Attributes:
        preprocessing: What its pretrained weights expect, which is not always what the network of
            the same name in keras.applications does.
        min_size: Smallest side of the input in pixels.
    """

    preprocessing: Preprocessing
    min_size: int = 32


_NAMES: dict[Preprocessing, str] = {
    "tf": "mobilenet mobilenetv2 inceptionresnetv2",
    "torch": "efficientnetb0 efficientnetb1 efficientnetb2 efficientnetb3 efficientnetb4 "
    "efficientnetb5 efficientnetb6 efficientnetb7 seresnet50 seresnet101 seresnet152 "
    "seresnext50 seresnext101 senet154",
    "none": "resnet18 resnet34 resnet50 resnet101 resnet152 seresnet18 seresnet34 resnext50 "
    "resnext101",
    "caffe": "vgg16 vgg19",
}
ENCODERS: dict[str, Encoder] = {
    **{name: Encoder(kind) for kind, names in _NAMES.items() for name in names.split()},
    "inceptionv3": Encoder("tf", min_size=75),
}
"""Every encoder of segmentation_models that works with Keras 3. Its DenseNets do not: Keras refuses
the "/" in the names of their layers."""


@dataclass(frozen=True)
class _Design:
    """One architecture of segmentation_models and the widths of its decoder.

    Attributes:
        constructor: Its name there.
        option: The argument that sets the widths.
        widths: Their defaults.
        as_encoder: Number of decoder blocks before them that are as wide as the encoder.
        size_step: What the side of the input must be a multiple of, in pixels.
    """

    constructor: str
    option: str
    widths: tuple[int, ...]
    as_encoder: int = 0
    size_step: int = 32

    def options(self, widths: tuple[int, ...] | None) -> dict[str, Any]:
        chosen = self.widths if widths is None else tuple(widths)
        if len(chosen) != len(self.widths):
            raise ValueError(
                f"`decoder_filters` of {self.constructor} must be like {self.widths}. "
                f"Received: {widths}"
            )
        values = (None,) * self.as_encoder + chosen
        return {self.option: values if len(values) > 1 else values[0]}


_DESIGNS: dict[str, _Design] = {
    "unet": _Design("Unet", "decoder_filters", (256, 128, 64, 32, 16)),
    "fpn": _Design("FPN", "pyramid_block_filters", (256,)),
    "linknet": _Design("Linknet", "decoder_filters", (16,), as_encoder=4),
    "pspnet": _Design("PSPNet", "psp_conv_filters", (512,), size_step=48),
}


def build_unet(
    encoder: str = "mobilenetv2",
    *,
    architecture: LibraryArchitecture = "unet",
    classes: int = 3,
    image_size: int = 256,
    weights: Weights = None,
    freeze_encoder: bool = False,
    decoder_filters: tuple[int, ...] | None = None,
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled segmentation network with the probabilities of each pixel.

    The encoder's batch norms stay frozen when weights are loaded and have a momentum of 0.9 when
    they are not; the decoder's, never pretrained, always have it: see `settle_batch_norms`.

    Args:
        encoder: A key of ENCODERS.
        architecture: What stands on the encoder: "unet", "fpn", "linknet" or "pspnet".
        classes: Number of classes, background included, for a softmax; 1 for a sigmoid.
        image_size: Side S of the input in pixels, divisible by 32, or by 48 for "pspnet".
        weights: Of the encoder: None for random weights, "imagenet", or a weight file without top.
        freeze_encoder: Whether only the decoder trains.
        decoder_filters: Widths of the decoder, None for the library's: of the five blocks of
            "unet", deepest first (256, 128, 64, 32, 16); of the pyramid of "fpn" (256,); of the
            last block of "linknet" (16,), whose others are as wide as the encoder; of "pspnet"
            (512,).
        seed: Seed of the initial weights, set with `keras.utils.set_random_seed`: the global
            seeds of Python, NumPy and TensorFlow are set with it.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities, shape (B, S, S, classes). Saved, it loads without this package.

    Raises:
        ValueError: If an argument is out of range or the weight file does not fit.
        FileNotFoundError: If the weight file does not exist.
        OSError: If the ImageNet weights cannot be downloaded.

    Example:
        >>> from stroke_tf import build_unet
        >>> model = build_unet("resnet18", image_size=64)
        >>> model.output_shape
        (None, 64, 64, 3)
    """
    keras.utils.set_random_seed(seed)
    network = build_network(
        encoder,
        architecture=architecture,
        classes=classes,
        image_size=image_size,
        weights=weights,
        freeze_encoder=freeze_encoder,
        decoder_filters=decoder_filters,
    )
    images = keras.Input((image_size, image_size, 3), name="image")
    logits = network(preprocess(images, ENCODERS[encoder].preprocessing))
    return keras.Model(images, probabilities(logits), name=f"{architecture}_{encoder}")


def build_network(
    encoder: str,
    *,
    architecture: LibraryArchitecture = "unet",
    classes: int,
    image_size: int,
    weights: Weights = None,
    freeze_encoder: bool = False,
    decoder_filters: tuple[int, ...] | None = None,
) -> keras.Model:
    """Returns the network of `build_unet`, whose arguments it takes, between images and logits.

    Returns:
        A model of Keras' own layers that takes images prepared for the encoder, shape (B, S, S, 3),
        and gives logits, shape (B, S, S, classes).

    Errors are those of `build_unet`.
    """
    _check_arguments(encoder, architecture, classes, image_size)
    design = _DESIGNS[architecture]
    source = resolve_weights(weights)
    check_shipped(source, network=f"{encoder} of segmentation_models")
    with weight_errors(source, network=encoder):
        network = getattr(sm, design.constructor)(
            encoder,
            input_shape=(image_size, image_size, 3),
            classes=classes,
            activation="linear",
            encoder_weights=source if source is None else str(source),
            **design.options(decoder_filters),
        )
    _settle(network, pretrained=source is not None, freeze_encoder=freeze_encoder)
    return _of_builtin_layers(network)


def sm_dice_loss(class_ids: keras.KerasTensor, probs: keras.KerasTensor) -> keras.KerasTensor:
    """Returns `dice_loss` of segmentation_models: 1 - the mean Dice of all classes of a batch.

    The USTH report trains with it. Background counts as a class, and a class absent from the
    batch scores near 0 unless it is also predicted nowhere (smooth 1e-5).

    Args:
        class_ids: Integers, shape (B, H, W, 1), of any dtype.
        probs: float32 probabilities, shape (B, H, W, C); for C = 1 those of class 1, the only one
            that counts then.
    """
    if probs.shape[-1] == 1:
        return sm.losses.dice_loss(keras.ops.cast(class_ids, probs.dtype), probs)
    ids = keras.ops.cast(keras.ops.squeeze(class_ids, axis=-1), "int32")
    one_hot = keras.ops.one_hot(ids, num_classes=probs.shape[-1], dtype=probs.dtype)
    return sm.losses.dice_loss(one_hot, probs)


def _check_arguments(
    encoder: str, architecture: LibraryArchitecture, classes: int, image_size: int
) -> None:
    check_encoder(encoder, architecture=architecture)
    if architecture not in _DESIGNS:
        raise ValueError(
            f"`architecture` must be one of {sorted(_DESIGNS)}. Received: {architecture!r}"
        )
    if classes < 1:
        raise ValueError(f"`classes` must be >= 1. Received: {classes}")
    step, least = _DESIGNS[architecture].size_step, ENCODERS[encoder].min_size
    if image_size < least or image_size % step:
        raise ValueError(
            f"`image_size` must be a multiple of {step} for {architecture} and >= {least} for "
            f"{encoder}. Received: {image_size}"
        )


def _of_builtin_layers(network: keras.Model) -> keras.Model:
    """Returns the network without functions and layers that only its libraries know.

    A saved model that names them cannot be loaded. The efficientnet package makes its swish and
    dropout anew in every call: those of Keras compute the same. A Lambda layer gives way to the
    operations it consists of.
    """
    for layer in network.layers:
        if getattr(getattr(layer, "activation", None), "__name__", None) == "swish":
            layer.activation = keras.activations.silu
        if type(layer).__name__ == "FixedDropout":
            layer.__class__ = keras.layers.Dropout
    if not any(isinstance(layer, keras.layers.Lambda) for layer in network.layers):
        return network
    return keras.models.clone_model(
        network, clone_function=lambda layer: layer, call_function=_call_or_inline
    )


def _call_or_inline(layer: keras.Layer, *args: Any, **options: Any) -> Any:
    if isinstance(layer, keras.layers.Lambda):
        return layer.function(*args, **layer.arguments)
    return layer(*args, **options)


def _settle(network: keras.Model, *, pretrained: bool, freeze_encoder: bool) -> None:
    # The last two layers are the head's, whose convolution Linknet gives no name.
    encoder = [layer for layer in network.layers[:-2] if not layer.name.startswith(_DECODER_LAYERS)]
    decoder = [layer for layer in network.layers if layer not in encoder]
    settle_batch_norms(encoder, pretrained=pretrained)
    settle_batch_norms(decoder, pretrained=False)
    if freeze_encoder:
        for layer in encoder:
            layer.trainable = False
