"""The augmentations of the SAUCIS paper on whole batches: image and mask move together.

Every augmentation draws once for each slice from a stateless seed, is the identity at strength 0
and keeps values in [0, 255]. What a turn or a crop uncovers is filled with 0: air in the image,
background in the mask. Images are resampled bilinearly, masks by the nearest neighbour.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np
import tensorflow as tf

from stroke_tf.config import AugmentStrength

Augmentation = Callable[
    [tf.Tensor, tf.Tensor | None, AugmentStrength, tf.Tensor], tuple[tf.Tensor, tf.Tensor | None]
]
"""(images, masks, strength, seed) -> (images, masks): images float32 (B, H, W, C) in [0, 255],
masks uint8 (B, H, W, 1) or None, seed int32 (2,)."""


def rotate(
    images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Turns each slice about its centre by up to `strength.rotation_deg` either way."""
    return _warp(images, masks, _rotation(tf.shape(images), strength, seed))


def mirror(
    images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Swaps left and right of a slice with probability `strength.mirror`."""
    return _warp(images, masks, _reflection(tf.shape(images), strength, seed))


def crop_roi(
    images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Cuts a region anywhere in each slice and scales it back to the slice's size.

    The region's sides are those of the slice times a factor from [1 - `strength.roi`, 1].
    """
    return _warp(images, masks, _crop(tf.shape(images), strength, seed))


def change_contrast(
    images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Scales each slice about its mean, channel by channel, by 1 +- `strength.contrast`."""
    factor = _contrast(tf.shape(images), strength, seed)
    return _scale_gray(images, factor, tf.zeros_like(factor)), masks


def change_brightness(
    images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Adds to each slice up to `strength.brightness` of the full range, either way."""
    added = _brightness(tf.shape(images), strength, seed)
    return _scale_gray(images, tf.ones_like(added), added), masks


AUGMENTATIONS: dict[str, Augmentation] = {
    "rotate": rotate,
    "contrast": change_contrast,
    "brightness": change_brightness,
    "mirror": mirror,
    "roi": crop_roi,
}
"""The five augmentations of the SAUCIS paper, each to be called by itself."""


def augment_batch(
    images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Applies all augmentations: rotation, mirror image and crop, then contrast and brightness.

    The first three are one resampling, the last two one scaling of the grey values. They come
    last so that what a turn uncovers has the grey of the air around the head.

    Args:
        images: float32, shape (B, H, W, C), values in [0, 255].
        masks: uint8 class ids, shape (B, H, W, 1), or None.
        strength: How far each augmentation may go.
        seed: int32, shape (2,): equal seeds give equal batches.

    Returns:
        Images and masks of the same shapes, dtypes and ranges.
    """
    seeds = [tf.random.fold_in(seed, number) for number in range(len(AUGMENTATIONS))]
    shape = tf.shape(images)
    if strength.rotation_deg or strength.mirror or strength.roi:
        moves = _rotation(shape, strength, seeds[0]) @ _reflection(shape, strength, seeds[1])
        images, masks = _warp(images, masks, moves @ _crop(shape, strength, seeds[2]))
    if strength.contrast or strength.brightness:
        factor = _contrast(shape, strength, seeds[3])
        images = _scale_gray(images, factor, _brightness(shape, strength, seeds[4]))
    return images, masks


def _uniform(shape: tf.Tensor, seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Returns one number for each slice of a batch of the shape given, float32 (B,)."""
    return tf.random.stateless_uniform(shape[:1], seed, low, high)


def _contrast(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> tf.Tensor:
    return _uniform(shape, seed, 1 - strength.contrast, 1 + strength.contrast)


def _brightness(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> tf.Tensor:
    return _uniform(shape, seed, -255 * strength.brightness, 255 * strength.brightness)


def _scale_gray(images: tf.Tensor, factor: tf.Tensor, added: tf.Tensor) -> tf.Tensor:
    """Scales each slice about its mean, channel by channel, and adds to it; both are (B,)."""
    factor, added = factor[:, None, None, None], added[:, None, None, None]
    mean = tf.reduce_mean(images, axis=(1, 2), keepdims=True)
    return tf.clip_by_value(images * factor + (mean * (1 - factor) + added), 0.0, 255.0)


def _matrices(rows: list[list[tf.Tensor]]) -> tf.Tensor:
    """Returns float32 (B, 3, 3) from three rows of three (B,) tensors."""
    return tf.stack([tf.stack(row, axis=-1) for row in rows], axis=-2)


# The matrices take a pixel of the result to where it comes from, (x, y, 1) with the slice's centre
# as the origin; so the product A @ B is "first A, then B" for what is seen.


def _rotation(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> tf.Tensor:
    most = float(np.deg2rad(strength.rotation_deg))
    angle = _uniform(shape, seed, -most, most)
    cos, sin, zero, one = tf.cos(angle), tf.sin(angle), tf.zeros_like(angle), tf.ones_like(angle)
    return _matrices([[cos, -sin, zero], [sin, cos, zero], [zero, zero, one]])


def _reflection(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> tf.Tensor:
    drawn = _uniform(shape, seed, 0, 1)
    zero, one = tf.zeros_like(drawn), tf.ones_like(drawn)
    sign = tf.where(drawn < strength.mirror, -one, one)
    return _matrices([[sign, zero, zero], [zero, one, zero], [zero, zero, one]])


def _crop(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> tf.Tensor:
    drawn = tf.random.stateless_uniform([3, shape[0]], seed)
    side = 1 - strength.roi * drawn[0]
    # The region's centre may lie off the slice's by half of what is cut away.
    free = (1 - side) * tf.cast(shape[1:3, None], tf.float32)
    down, right = tf.unstack(free * (drawn[1:] - 0.5), num=2)
    zero, one = tf.zeros_like(side), tf.ones_like(side)
    return _matrices([[side, zero, right], [zero, side, down], [zero, zero, one]])


def _warp(
    images: tf.Tensor, masks: tf.Tensor | None, matrices: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    return (
        _resample(images, matrices, cv2.INTER_LINEAR),
        None if masks is None else _resample(masks, matrices, cv2.INTER_NEAREST),
    )


def _resample(batch: tf.Tensor, matrices: tf.Tensor, interpolation: int) -> tf.Tensor:
    # OpenCV takes a tenth of the time of TensorFlow's ImageProjectiveTransformV3.
    resample = functools.partial(_resample_slices, interpolation=interpolation)
    result = tf.numpy_function(resample, [batch, matrices], batch.dtype, stateful=False)
    return tf.ensure_shape(result, batch.shape)


def _resample_slices(batch: np.ndarray, matrices: np.ndarray, *, interpolation: int) -> np.ndarray:
    height, width = batch.shape[1:3]
    centre = np.array([width - 1, height - 1]) / 2
    result = np.empty_like(batch)
    for source, matrix, target in zip(batch, matrices.astype(float), result, strict=True):
        linear, shift = matrix[:2, :2], matrix[:2, 2]
        affine = np.column_stack([linear, centre - linear @ centre + shift])
        flags = interpolation | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(source, affine, (width, height), dst=target, flags=flags)
    return result
