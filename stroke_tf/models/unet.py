"""The U-Net of segmentation_models, as a model that takes raw pixels.

The only module that imports segmentation_models.
"""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass
from types import ModuleType

import keras

from stroke_tf.models.backbones import Preprocessing, preprocess, settle_batch_norms
from stroke_tf.models.weights import Weights, resolve_weights, weight_errors

_FRAMEWORK = "SM_FRAMEWORK"
_DECODER_LAYERS = ("decoder_", "center_block", "final_conv", "linear")


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
        name: Its name there.
        preprocessing: What its pretrained weights expect, which is not always what the network of
            the same name in keras.applications does.
    """

    name: str
    preprocessing: Preprocessing


ENCODERS: dict[str, Encoder] = {
    "mobilenetv2": Encoder("mobilenetv2", "tf"),
    "resnet18": Encoder("resnet18", "none"),
    "resnet50": Encoder("resnet50", "none"),
    "efficientnetb3": Encoder("efficientnetb3", "torch"),
    "vgg16": Encoder("vgg16", "caffe"),
}


def build_unet(
    encoder: str = "mobilenetv2",
    *,
    classes: int = 3,
    image_size: int = 256,
    weights: Weights = None,
    freeze_encoder: bool = False,
    decoder_filters: tuple[int, ...] = (256, 128, 64, 32, 16),
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled U-Net with a softmax over the classes of each pixel.

    The encoder's batch norms stay frozen when weights are loaded and have a momentum of 0.9 when
    they are not; the decoder's, never pretrained, always have it: see `settle_batch_norms`.

    Args:
        encoder: A key of ENCODERS.
        classes: Number of classes, background included.
        image_size: Side S of the input in pixels, divisible by 32.
        weights: Of the encoder: None for random weights, "imagenet", or a weight file without top.
        freeze_encoder: Whether only the decoder trains.
        decoder_filters: Filters of the five decoder blocks, deepest first.
        seed: Seed of the initial weights, set with `keras.utils.set_random_seed`: the global
            seeds of Python, NumPy and TensorFlow are set with it.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities, shape (B, S, S, classes). Saved, it loads without this package.

    Raises:
        ValueError: If an argument is out of range or the weight file does not fit.
        FileNotFoundError: If the weight file does not exist.
        OSError: If the ImageNet weights cannot be downloaded.
    """
    _check_arguments(encoder, classes, image_size, decoder_filters)
    source = resolve_weights(weights)
    keras.utils.set_random_seed(seed)
    with weight_errors(source, network=encoder):
        network = sm.Unet(
            ENCODERS[encoder].name,
            input_shape=(image_size, image_size, 3),
            classes=classes,
            activation="linear",
            encoder_weights=source if source is None else str(source),
            decoder_filters=decoder_filters,
        )
    _use_builtin_layers(network)
    _settle(network, pretrained=source is not None, freeze_encoder=freeze_encoder)
    images = keras.Input((image_size, image_size, 3), name="image")
    logits = network(preprocess(images, ENCODERS[encoder].preprocessing))
    probs = keras.layers.Softmax(dtype="float32", name="probs")(logits)
    return keras.Model(images, probs, name=f"unet_{encoder}")


def sm_dice_loss(class_ids: keras.KerasTensor, probs: keras.KerasTensor) -> keras.KerasTensor:
    """Returns `dice_loss` of segmentation_models: 1 - the mean Dice of all classes of a batch.

    The USTH report trains with it. Background counts as a class, and a class absent from the
    batch scores near 0 unless it is also predicted nowhere (smooth 1e-5).

    Args:
        class_ids: Integers, shape (B, H, W, 1), of any dtype.
        probs: float32 probabilities, shape (B, H, W, C).
    """
    ids = keras.ops.cast(keras.ops.squeeze(class_ids, axis=-1), "int32")
    one_hot = keras.ops.one_hot(ids, num_classes=probs.shape[-1], dtype=probs.dtype)
    return sm.losses.dice_loss(one_hot, probs)


def _check_arguments(
    encoder: str, classes: int, image_size: int, decoder_filters: tuple[int, ...]
) -> None:
    if encoder not in ENCODERS:
        raise ValueError(f"`encoder` must be one of {sorted(ENCODERS)}. Received: {encoder!r}")
    if classes < 2:
        raise ValueError(f"`classes` must be >= 2, background included. Received: {classes}")
    if image_size < 32 or image_size % 32:
        raise ValueError(f"`image_size` must be a multiple of 32. Received: {image_size}")
    if len(decoder_filters) != 5:
        raise ValueError(f"`decoder_filters` must be five numbers. Received: {decoder_filters}")


def _use_builtin_layers(network: keras.Model) -> None:
    # The efficientnet package makes its swish and dropout anew in every call: a saved model that
    # names them cannot be loaded. Those of Keras compute the same.
    for layer in network.layers:
        if getattr(getattr(layer, "activation", None), "__name__", None) == "swish":
            layer.activation = keras.activations.silu
        if type(layer).__name__ == "FixedDropout":
            layer.__class__ = keras.layers.Dropout


def _settle(network: keras.Model, *, pretrained: bool, freeze_encoder: bool) -> None:
    decoder = [layer for layer in network.layers if layer.name.startswith(_DECODER_LAYERS)]
    encoder = [layer for layer in network.layers if not layer.name.startswith(_DECODER_LAYERS)]
    settle_batch_norms(encoder, pretrained=pretrained)
    settle_batch_norms(decoder, pretrained=False)
    if freeze_encoder:
        for layer in encoder:
            layer.trainable = False
