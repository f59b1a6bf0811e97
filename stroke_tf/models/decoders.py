"""The decoder of a U-Net, plain or with the improvements of the SAUCIS paper, on any feature maps.

Built of Keras' own layers only. Knows nothing of encoders.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeAlias

import keras
from keras import layers

from stroke_tf.config import Improvements
from stroke_tf.models.backbones import HALVINGS, SCRATCH_MOMENTUM

Tensor: TypeAlias = keras.KerasTensor

FIRST_UP = f"decoder{HALVINGS - 1}_up"
"""Name of the layer that takes the deepest feature map of a backbone."""


def decode(
    maps: Sequence[Tensor | None], filters: Sequence[int], improvements: Improvements
) -> Tensor:
    """Returns the feature map that a segmentation head takes.

    At each level the map from below is doubled in size by an up-convolution, joins the encoder's
    map of that size, where there is one, and goes through two 3x3 convolutions with ReLU. The
    SAUCIS paper's equations leave room; each improvement is read as follows:

    - attention: the encoder's map is weighed by a gate (Oktay et al. 2018) that the map from below
      opens.
    - multi_scale, F_i = Concatenate(F_{i-1}, G_i): the encoder's next finer map, max-pooled to
      size, joins too, where there is one.
    - residual, F_i = G_i + Conv(F_{i-1}): the input of a level, through a 1x1 convolution, is added
      to the output of its two before the last ReLU.
    - spatial_dropout, F_i = Dropout(F_{i-1}): on the input of each level.
    - batch_norm, F_i = BatchNorm(Conv(F_{i-1})): in convolutions and shortcuts, before the ReLU,
      with a momentum of 0.9.

    Args:
        maps: What the encoder gives: number n has the shape (B, S / 2**n, S / 2**n, C); None where
            it gives nothing. The last is decoded first.
        filters: Widths of the levels, the deepest first. Fewer than there are levels end the
            decoder early: its result is smaller than the image then.
        improvements: Which improvements to build in.
    """
    deepest = len(maps) - 1
    x = maps[deepest]
    for level, width in zip(reversed(range(deepest)), filters, strict=False):
        finer = maps[level - 1] if improvements.multi_scale and level > 0 else None
        name = f"decoder{level}"
        x = _fuse(x, width, maps[level], finer, improvements, name=name)
        x = convolve_twice(x, width, improvements, name=name)
    return x


def convolve_twice(x: Tensor, filters: int, improvements: Improvements, *, name: str) -> Tensor:
    """Returns a level of a U-Net: two convolutions, and the shortcut past them if asked for."""
    norm = improvements.batch_norm
    y = _conv(x, filters, 3, batch_norm=norm, name=f"{name}_conv1")
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _conv(y, filters, 3, batch_norm=norm, name=f"{name}_conv2")
    if improvements.residual:
        shortcut = _conv(x, filters, 1, batch_norm=norm, name=f"{name}_shortcut")
        y = layers.Add(name=f"{name}_add")([y, shortcut])
    return layers.ReLU(name=f"{name}_relu2")(y)


def level_output(model: keras.Model, level: int) -> Tensor:
    """Returns the output, of side S / 2**level, of a level of a model's decoder, made by `decode`.

    Raises:
        ValueError: If the decoder ended before that level.
    """
    name = f"decoder{level}_relu2"
    if name not in {layer.name for layer in model.layers}:
        raise ValueError(f"`model` must have a decoder with level {level}. Received: {model.name}")
    return model.get_layer(name).output


def _conv(x: Tensor, filters: int, size: int, *, batch_norm: bool, name: str) -> Tensor:
    # He initialisation allows for a ReLU, which follows no 1x1 convolution.
    start = "he_normal" if size > 1 else "glorot_uniform"
    options = {"padding": "same", "kernel_initializer": start, "use_bias": not batch_norm}
    x = layers.Conv2D(filters, size, **options, name=name)(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=SCRATCH_MOMENTUM, name=f"{name}_bn")(x)
    return x


def _fuse(
    x: Tensor,
    filters: int,
    skip: Tensor | None,
    finer: Tensor | None,
    improvements: Improvements,
    *,
    name: str,
) -> Tensor:
    """Returns the map from below, doubled in size, joined with the encoder's maps."""
    x = layers.Conv2DTranspose(filters, 2, strides=2, name=f"{name}_up")(x)
    joined = []
    if skip is not None:
        gate = partial(_gated, signal=x, filters=filters // 2 or 1, name=f"{name}_gate")
        joined.append(gate(skip) if improvements.attention else skip)
    if finer is not None:
        joined.append(layers.MaxPooling2D(name=f"{name}_finer")(finer))
    if joined:
        x = layers.Concatenate(name=f"{name}_concat")([*joined, x])
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
