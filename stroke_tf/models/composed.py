"""A U-Net put together of any backbone, a decoder and heads: masks, and what the slice shows."""

from __future__ import annotations

import keras
from keras import layers

from stroke_tf.config import PLAIN_DECODER, Improvements
from stroke_tf.labels import MASK, SLICE
from stroke_tf.models.backbones import (
    BACKBONES,
    HALVINGS,
    build_backbone,
    feature_maps,
    preprocess,
    unfreeze,
)
from stroke_tf.models.decoders import decode, level_output
from stroke_tf.models.weights import Weights, resolve_weights

DECODER_FILTERS = (256, 128, 64, 32, 16)
"""Widths of the decoder's levels, the deepest first, as segmentation_models has them."""
SUPERVISED = {"half": 0.5, "quarter": 0.25}
"""Outputs of deep supervision and the weights of their losses: half the side, then a quarter."""
_STEP = 32


def build_composed(
    encoder: str = "mobilenetv2",
    *,
    classes: int = 3,
    image_size: int = 256,
    weights: Weights = None,
    freeze_encoder: bool = False,
    live_norms: bool = False,
    decoder_filters: tuple[int, ...] | None = None,
    narrow_skips: bool = False,
    improvements: Improvements = PLAIN_DECODER,
    slice_head: bool = False,
    dropout: float = 0.3,
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled U-Net on a backbone of keras.applications or of this package.

    The encoder's batch norms stay frozen when weights are loaded, unless `live_norms` is set, and
    have a momentum of 0.9 when they are not; the decoder's always have it: see
    `settle_batch_norms`. With `slice_head` the network also names what the slice as a whole shows,
    from the mean of the deepest feature map: the USTH report's future work, one model for both
    tasks of its phase 2. Compile that one with a loss and a weight for each output, as
    `{"mask": ..., "slice": ...}`.

    Args:
        encoder: A key of BACKBONES.
        classes: Number of classes, background included, for a softmax; 1 for a sigmoid.
        image_size: Side S of the input in pixels, divisible by 32.
        weights: Of the encoder: None for random weights, "imagenet", "ct-ich-haemorrhage", whose
            encoder is taken, or a weight file without top.
        freeze_encoder: Whether only the decoder trains.
        live_norms: Whether the encoder's pretrained batch norms train too, see `build_backbone`.
        decoder_filters: Widths of the decoder's levels, the deepest first; None for
            DECODER_FILTERS. Each level doubles the side, from S / 32; fewer than five end early,
            and the probabilities are those of a smaller map, enlarged: four halve the side, which
            saves the decoder's most expensive level.
        narrow_skips: Whether the decoder joins what the encoder's blocks hand on, not the wide maps
            inside of them, see `feature_maps`; for MobileNetV2 and 3 and EfficientNets.
        improvements: What the decoder has of the improved U-Net.
        slice_head: Whether the network also names what the slice shows.
        dropout: Share of the pooled features that the slice's head drops in training, in [0, 1).
        seed: Seed of the initial weights and of dropout, set with `keras.utils.set_random_seed`:
            the global seeds of Python, NumPy and the backend are set with it.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities, shape (B, S, S, classes); with `slice_head` a dict of these as "mask" and
        of "slice", shape (B, classes). Saved, it loads without this package.

    Raises:
        ValueError: If an argument is out of range or the weight file does not fit.
        FileNotFoundError: If the weight file does not exist.
        OSError: If the ImageNet weights cannot be downloaded.
    """
    filters = DECODER_FILTERS if decoder_filters is None else tuple(decoder_filters)
    _check_arguments(classes, image_size, filters)
    keras.utils.set_random_seed(seed)
    network = build_backbone(
        encoder,
        image_size=image_size,
        weights=resolve_weights(weights),
        live_norms=live_norms,
    )
    unfreeze(network, "none" if freeze_encoder else "all")
    images = keras.Input((image_size, image_size, 3), name="image")
    prepared = preprocess(images, BACKBONES[encoder].preprocessing)
    maps = _maps(network, prepared, narrow=narrow_skips)
    x = decode(maps, filters, improvements)
    logits = layers.Conv2D(classes, 3, padding="same", name="logits")(x)
    if (times := image_size // logits.shape[1]) > 1:
        logits = layers.UpSampling2D(times, interpolation="bilinear", name="enlarge")(logits)
    if not slice_head:
        return keras.Model(images, probabilities(logits), name=f"composed_{encoder}")
    pooled = layers.GlobalAveragePooling2D(name="pool")(maps[-1])
    pooled = layers.Dropout(dropout, name="dropout")(pooled)
    of_slice = layers.Dense(classes, name="slice_logits")(pooled)
    outputs = {MASK: probabilities(logits, name=MASK), SLICE: probabilities(of_slice, name=SLICE)}
    return keras.Model(images, outputs, name=f"joint_{encoder}")


def probabilities(logits: keras.KerasTensor, *, name: str = "probs") -> keras.KerasTensor:
    """Returns float32 probabilities: a softmax over the classes, or a sigmoid if there is one."""
    head = "softmax" if logits.shape[-1] > 1 else "sigmoid"
    return layers.Activation(head, dtype="float32", name=name)(logits)


def supervised_outputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """Returns a model's outputs, and two more for training only (deep supervision).

    The further ones are probabilities like those of "mask", from the decoder's maps of half and of
    a quarter of the side, each by a convolution of its own, enlarged to the whole side. Their
    losses reach the decoder's deeper levels by a short path.

    Args:
        model: Of `build_composed`, its decoder with all levels.

    Returns:
        "mask", "slice" where the model has it, and the keys of SUPERVISED.

    Raises:
        ValueError: If the decoder ends before the whole side.
    """
    outputs = dict(model.output) if isinstance(model.output, dict) else {MASK: model.output}
    level_output(model, 0)  # else the mask is itself that of a smaller map
    for level, name in enumerate(SUPERVISED, start=1):
        logits = layers.Conv2D(outputs[MASK].shape[-1], 3, padding="same", name=f"{name}_logits")(
            level_output(model, level)
        )
        logits = layers.UpSampling2D(2**level, interpolation="bilinear", name=f"{name}_enlarge")(
            logits
        )
        outputs[name] = probabilities(logits, name=name)
    return outputs


def _maps(
    network: keras.Model, images: keras.KerasTensor, *, narrow: bool
) -> list[keras.KerasTensor | None]:
    """Returns the feature maps of a backbone, one layer of the model, in the order of halvings."""
    known = feature_maps(network, narrow=narrow)
    outputs = [feature_map for feature_map in known if feature_map is not None]
    encode = keras.Model(network.inputs[0], outputs, name=network.name)
    computed = iter(encode(images))
    return [None if feature_map is None else next(computed) for feature_map in known]


def _check_arguments(classes: int, image_size: int, filters: tuple[int, ...]) -> None:
    if classes < 1:
        raise ValueError(f"`classes` must be >= 1. Received: {classes}")
    if image_size < _STEP or image_size % _STEP:
        raise ValueError(f"`image_size` must be a multiple of {_STEP}. Received: {image_size}")
    if not 1 <= len(filters) <= HALVINGS or min(filters) < 1:
        raise ValueError(
            f"`decoder_filters` must be one to {HALVINGS} widths like {DECODER_FILTERS}. "
            f"Received: {filters}"
        )
