"""The improved U-Net of the SAUCIS paper, each improvement a switch; with none it is the plain one.

Built of Keras' own layers only: it trains on any backend and a saved model loads without this
package. Knows nothing of segmentation_models.
"""

from __future__ import annotations

from typing import TypeAlias

import keras
from keras import layers

from stroke_tf.config import IMPROVED_UNET, Improvements
from stroke_tf.models.backbones import SCRATCH_MOMENTUM

Tensor: TypeAlias = keras.KerasTensor


def build_improved_unet(
    improvements: Improvements = IMPROVED_UNET,
    *,
    classes: int = 3,
    image_size: int = 256,
    filters: int = 32,
    depth: int = 4,
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled U-Net with the improvements asked for.

    With `PLAIN_UNET`, 64 filters and depth 4 it is the network of Ronneberger et al. 2015, but for
    same padding and no dropout: two 3x3 convolutions with ReLU at each level, 2x2 max pooling down,
    2x2 up-convolutions that halve the filters, skip connections, a 1x1 convolution last. The
    paper's equations leave room; each improvement is read as follows:

    - attention: the skip connection is weighed by a gate (Oktay et al. 2018) that the feature map
      from below opens.
    - multi_scale, F_i = Concatenate(F_{i-1}, G_i): the encoder's next finer level, max-pooled to
      size, joins the skip connection of a decoder level. The finest level has none.
    - residual, F_i = G_i + Conv(F_{i-1}): the input of a level, through a 1x1 convolution, is added
      to the output of its two before the last ReLU.
    - spatial_dropout, F_i = Dropout(F_{i-1}): on the input of each decoder level.
    - batch_norm, F_i = BatchNorm(Conv(F_{i-1})): in encoder, decoder and shortcuts, before the
      ReLU, with a momentum of 0.9.

    Args:
        improvements: Which improvements to build in.
        classes: Number of classes, background included, for a softmax; 1 for a sigmoid.
        image_size: Side S of the input in pixels, divisible by 2**depth.
        filters: Filters of the finest level, doubled at each deeper one.
        depth: Number of times the image is halved, >= 1.
        seed: Seed of the initial weights and of dropout, set with `keras.utils.set_random_seed`:
            the global seeds of Python, NumPy and the backend are set with it.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities, shape (B, S, S, classes). Saved, it loads without this package.

    Raises:
        ValueError: If an argument is out of range.
    """
    _check_arguments(improvements, classes, image_size, filters, depth)
    keras.utils.set_random_seed(seed)
    images = keras.Input((image_size, image_size, 3), name="image")
    x = layers.Rescaling(1 / 255, name="rescale")(images)
    pooled, skips = [x], []
    for level in range(depth):
        x = _level(x, filters << level, improvements, name=f"encoder{level}")
        skips.append(x)
        x = layers.MaxPooling2D(name=f"pool{level}")(x)
        pooled.append(x)
    x = _level(x, filters << depth, improvements, name="bottom")
    for level in reversed(range(depth)):
        finer = [pooled[level]] if improvements.multi_scale and level > 0 else []
        x = _fuse(x, skips[level], finer, improvements, name=f"decoder{level}")
        x = _level(x, filters << level, improvements, name=f"decoder{level}")
    logits = layers.Conv2D(classes, 1, name="logits")(x)
    head = "softmax" if classes > 1 else "sigmoid"
    probs = layers.Activation(head, dtype="float32", name="probs")(logits)
    return keras.Model(images, probs, name="improved_unet")


def _check_arguments(
    improvements: Improvements, classes: int, image_size: int, filters: int, depth: int
) -> None:
    for name, value in {"classes": classes, "filters": filters, "depth": depth}.items():
        if value < 1:
            raise ValueError(f"`{name}` must be >= 1. Received: {value}")
    step = 2**depth
    if image_size < 1 or image_size % step:
        raise ValueError(
            f"`image_size` must be a multiple of {step} at depth {depth}. Received: {image_size}"
        )
    if not 0 <= improvements.spatial_dropout < 1:
        raise ValueError(
            f"`spatial_dropout` must be in [0, 1). Received: {improvements.spatial_dropout}"
        )


def _level(x: Tensor, filters: int, improvements: Improvements, *, name: str) -> Tensor:
    """Two convolutions, and the shortcut past them."""
    norm = improvements.batch_norm
    y = _conv(x, filters, 3, batch_norm=norm, name=f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _conv(y, filters, 3, batch_norm=norm, name=f"{name}_conv2")
    if improvements.residual:
        shortcut = _conv(x, filters, 1, batch_norm=norm, name=f"{name}_shortcut")
        y = layers.Add(name=f"{name}_add")([y, shortcut])
    return layers.ReLU(name=f"{name}_relu2")(y)


def _conv(x: Tensor, filters: int, size: int, *, batch_norm: bool, name: str) -> Tensor:
    # A 1x1 convolution has no ReLU of its own to make up for.
    start = "he_normal" if size > 1 else "glorot_uniform"
    options = {"padding": "same", "kernel_initializer": start, "use_bias": not batch_norm}
    x = layers.Conv2D(filters, size, **options, name=name)(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=SCRATCH_MOMENTUM, name=f"{name}_bn")(x)
    return x


def _fuse(
    x: Tensor, skip: Tensor, finer: list[Tensor], improvements: Improvements, *, name: str
) -> Tensor:
    """The feature map from below, doubled in size, beside what the encoder hands over."""
    filters = skip.shape[-1]
    x = layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_up")(x)
    if improvements.attention:
        skip = _gated(skip, x, filters // 2 or 1, name=f"{name}_gate")
    x = layers.Concatenate(name=f"{name}_concat")([skip, *finer, x])
    if improvements.spatial_dropout:
        x = layers.SpatialDropout2D(improvements.spatial_dropout, name=f"{name}_dropout")(x)
    return x


def _gated(skip: Tensor, signal: Tensor, filters: int, *, name: str) -> Tensor:
    """Returns the skip connection times a map in [0, 1] of where the signal finds it useful."""
    both = [
        layers.Conv2D(filters, 1, name=f"{name}_{part}")(x)
        for part, x in (("skip", skip), ("signal", signal))
    ]
    x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")(both))
    x = layers.Conv2D(1, 1, activation="sigmoid", name=f"{name}_map")(x)
    return layers.Multiply(name=f"{name}_multiply")([skip, x])
