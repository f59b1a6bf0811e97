"""Augmentations on whole batches: those of the SAUCIS paper, and three of practice.

Image and mask move together. Every augmentation draws once for each slice from a stateless seed, is
the identity at strength 0 and keeps values in [0, 255]. What a turn or a crop uncovers is filled
with 0: air in the image, background in the mask. Images are resampled bilinearly, masks by the
nearest pixel centre.

Drawing and changing are separate steps: TensorFlow draws a `Change` for a batch, and OpenCV carries
it out slice by slice. It works on 8 bits and one channel where the slice has them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from stroke_tf.config import AugmentStrength

_KNOTS = 6  # on each side of a bending field
_LEVELS = np.arange(256, dtype=np.float32)[:, None]


class Change(NamedTuple):
    """The random changes of the slices of a batch.

    Attributes:
        moves: float32, shape (B, 3, 3): each takes a pixel of the result to where it comes from,
            both (x, y, 1) with the slice's centre as the origin. So the product A @ B is
            "first A, then B" for what is seen.
        bend: float32, shape (B,): how far pixels move apart from that, as a share of the side.
        seed: int32, shape (B,): of the field that bends a slice, and of its noise.
        factor: float32, shape (B,): grey values are scaled by it about the slice's mean.
        added: float32, shape (B,): added to the grey values.
        gamma: float32, shape (B,): exponent of the grey values over 255.
        noise: float32, shape (B,): standard deviation of the noise on the grey values.
    """

    moves: tf.Tensor
    bend: tf.Tensor
    seed: tf.Tensor
    factor: tf.Tensor
    added: tf.Tensor
    gamma: tf.Tensor
    noise: tf.Tensor


OF_MASKS = 3
"""How many of the parts of a `Change` move masks: the first ones."""

Draw = Callable[[tf.Tensor, AugmentStrength, tf.Tensor], Change]
"""(shape, strength, seed) -> change: the shape of a batch, (B, H, W) and maybe more, int32; the
seed int32 (2,)."""


@dataclass(frozen=True)
class Augmentation:
    """An augmentation by itself: a function of a batch."""

    draw: Draw

    def __call__(
        self, images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Changes images and masks; arguments and result as those of `augment_batch`."""
        return _change_batch(images, masks, self.draw(tf.shape(images), strength, seed))


def draw_rotation(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Turns each slice about its centre by up to `strength.rotation_deg` either way."""
    most = float(np.deg2rad(strength.rotation_deg))
    angle = _uniform(shape, seed, -most, most)
    cos, sin = tf.cos(angle), tf.sin(angle)
    return _moved([[cos, -sin, 0], [sin, cos, 0]])


def draw_mirror(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Swaps left and right of a slice with probability `strength.mirror`."""
    drawn = _uniform(shape, seed, 0, 1)
    sign = tf.where(drawn < strength.mirror, -1.0, 1.0)
    return _moved([[sign, 0, 0], [0, 1, 0]])


def draw_crop(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Cuts a region anywhere in each slice and scales it back to the slice's size.

    The region's sides are those of the slice times a factor from [1 - `strength.roi`, 1].
    """
    drawn = tf.random.stateless_uniform([3, shape[0]], seed)
    side = 1 - strength.roi * drawn[0]
    # The region's centre may lie off the slice's by half of what is cut away.
    free = (1 - side) * tf.cast(shape[1:3, None], tf.float32)
    down, right = tf.unstack(free * (drawn[1:] - 0.5), num=2)
    return _moved([[side, 0, right], [0, side, down]])


def draw_contrast(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Scales each slice about its mean, channel by channel, by 1 +- `strength.contrast`."""
    factor = _uniform(shape, seed, 1 - strength.contrast, 1 + strength.contrast)
    return _unchanged(factor)._replace(factor=factor)


def draw_brightness(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Adds to each slice up to `strength.brightness` of the full range, either way."""
    added = _uniform(shape, seed, -255 * strength.brightness, 255 * strength.brightness)
    return _unchanged(added)._replace(added=added)


def draw_gamma(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Takes grey values over 255 to a power from [1 / (1 + x), 1 + x], x = `strength.gamma`."""
    most = float(np.log1p(strength.gamma))
    gamma = tf.exp(_uniform(shape, seed, -most, most))
    return _unchanged(gamma)._replace(gamma=gamma)


def draw_noise(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Adds Gaussian noise of a deviation up to `strength.noise` of the full range."""
    noise = _uniform(shape, seed, 0, 255 * strength.noise)
    return _unchanged(noise)._replace(noise=noise, seed=_seeds(shape, seed))


def draw_bend(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Bends each slice by a smooth field of up to `strength.elastic` of its side (elastic)."""
    bend = _uniform(shape, seed, 0, strength.elastic)
    return _unchanged(bend)._replace(bend=bend, seed=_seeds(shape, seed))


AUGMENTATIONS: dict[str, Augmentation] = {
    "rotate": Augmentation(draw_rotation),
    "mirror": Augmentation(draw_mirror),
    "roi": Augmentation(draw_crop),
    "contrast": Augmentation(draw_contrast),
    "brightness": Augmentation(draw_brightness),
    "gamma": Augmentation(draw_gamma),
    "noise": Augmentation(draw_noise),
    "elastic": Augmentation(draw_bend),
}
"""The five augmentations of the SAUCIS paper and three more, each to be called by itself.

`augment_batch` takes them in this order; an entry's place decides which numbers it draws.
"""


def augment_batch(
    images: tf.Tensor, masks: tf.Tensor | None, strength: AugmentStrength, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor | None]:
    """Applies all augmentations: those that move pixels, then those of grey values.

    Rotation, mirror image, crop and elastic field are one resampling; contrast, brightness and
    gamma are one change of the grey values, which comes later so that what a turn uncovers has the
    grey of the air around the head; noise is last.

    Args:
        images: uint8 or float32, shape (B, H, W, C), C at most 4, values in [0, 255]. Of uint8, the
            resampling and the scaling each round to whole grey values.
        masks: uint8 class ids, shape (B, H, W, 1), or None.
        strength: How far each augmentation may go.
        seed: int32, shape (2,): equal seeds give equal batches.

    Returns:
        Images and masks of the same shapes, dtypes and ranges.
    """
    return _change_batch(images, masks, draw_change(tf.shape(images), strength, seed))


def draw_change(shape: tf.Tensor, strength: AugmentStrength, seed: tf.Tensor) -> Change:
    """Draws all augmentations of a batch as one change.

    Args:
        shape: int32, shape of the batch: (B, H, W) and maybe more.
        strength: How far each augmentation may go.
        seed: int32, shape (2,).
    """
    changes = [
        augmentation.draw(shape, strength, tf.random.fold_in(seed, number))
        for number, augmentation in enumerate(AUGMENTATIONS.values())
    ]
    return functools.reduce(_followed_by, changes)


def change_image(
    image: np.ndarray,
    moves: np.ndarray,
    bend: np.ndarray,
    seed: np.ndarray,
    factor: np.ndarray,
    added: np.ndarray,
    gamma: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """Carries out one slice's part of a `Change`.

    The image is uint8 or float32, shape (H, W) or (H, W, C), values in [0, 255], and so is the
    result.
    """
    changed = _resample(image, moves, bend, seed, cv2.INTER_LINEAR)
    if (factor, added, gamma) != (1, 0, 1):
        changed = _change_gray(changed, factor, added, gamma)
    return _noisy(changed, noise, seed) if noise > 0 else changed


def change_mask(
    mask: np.ndarray, moves: np.ndarray, bend: np.ndarray, seed: np.ndarray
) -> np.ndarray:
    """Moves a slice's mask, uint8, shape (H, W) or (H, W, 1), as `change_image` moves the slice."""
    # Most slices have no lesion: an empty mask stays the same however it is moved.
    return _resample(mask, moves, bend, seed, cv2.INTER_NEAREST) if cv2.hasNonZero(mask) else mask


def _uniform(shape: tf.Tensor, seed: tf.Tensor, low: float, high: float) -> tf.Tensor:
    """Returns one number for each slice of a batch of the shape given, float32 (B,)."""
    return tf.random.stateless_uniform(shape[:1], seed, low, high)


def _seeds(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape[:1], seed, 1, 2**31 - 1, tf.int32)


def _moved(rows: list[list[tf.Tensor | int]]) -> Change:
    """Returns a change of place alone, from two rows of three (B,) tensors or numbers."""
    zero = tf.zeros_like(rows[0][0])
    filled = [tf.stack([zero + value for value in row], axis=-1) for row in [*rows, [0, 0, 1]]]
    return _unchanged(zero)._replace(moves=tf.stack(filled, axis=-2))


def _unchanged(drawn: tf.Tensor) -> Change:
    """Returns a change that changes nothing, of as many slices as there are numbers."""
    zero, one = tf.zeros_like(drawn), tf.ones_like(drawn)
    return Change(
        moves=tf.eye(3, batch_shape=tf.shape(drawn)),
        bend=zero,
        seed=tf.zeros(tf.shape(drawn), tf.int32),
        factor=one,
        added=zero,
        gamma=one,
        noise=zero,
    )


def _followed_by(first: Change, second: Change) -> Change:
    """Returns two changes as one; grey values are changed after both moves, about one mean."""
    return Change(
        moves=first.moves @ second.moves,
        bend=first.bend + second.bend,
        seed=tf.bitwise.bitwise_xor(first.seed, second.seed),
        factor=first.factor * second.factor,
        added=first.added + second.added,
        gamma=first.gamma * second.gamma,
        noise=first.noise + second.noise,
    )


def _change_batch(
    images: tf.Tensor, masks: tf.Tensor | None, change: Change
) -> tuple[tf.Tensor, tf.Tensor | None]:
    def change_slices(images: np.ndarray, *change: np.ndarray) -> np.ndarray:
        return np.stack([*map(change_image, images, *change)])

    def move_masks(masks: np.ndarray, *moves: np.ndarray) -> np.ndarray:
        return np.stack([*map(change_mask, masks, *moves)])

    return (
        _with_numpy(change_slices, images, *change),
        None if masks is None else _with_numpy(move_masks, masks, *change[:OF_MASKS]),
    )


def _with_numpy(
    function: Callable[..., np.ndarray], batch: tf.Tensor, *others: tf.Tensor
) -> tf.Tensor:
    # OpenCV takes a tenth of the time of TensorFlow's ImageProjectiveTransformV3.
    result = tf.numpy_function(function, [batch, *others], batch.dtype, stateful=False)
    return tf.ensure_shape(result, batch.shape)


def _resample(
    image: np.ndarray, moves: np.ndarray, bend: np.ndarray, seed: np.ndarray, interpolation: int
) -> np.ndarray:
    if bend <= 0 and np.array_equal(moves, np.eye(3)):
        return image
    height, width = image.shape[:2]
    centre = np.array([width - 1, height - 1]) / 2
    linear, shift = moves[:2, :2].astype(float), moves[:2, 2]
    affine = np.column_stack([linear, centre - linear @ centre + shift])
    if bend > 0:
        places = _bent(affine, (height, width), float(bend), int(seed))
        return cv2.remap(image, *places, interpolation).reshape(image.shape)
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, affine, (width, height), flags=flags).reshape(image.shape)


def _bent(
    affine: np.ndarray, shape: tuple[int, int], bend: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns where each pixel comes from, x and y: a move, and a smooth field beside it."""
    height, width = shape
    field = np.random.default_rng(seed).uniform(-bend, bend, (_KNOTS, _KNOTS, 2))
    field[[0, -1]] = field[:, [0, -1]] = 0  # the border stays
    smooth = cv2.resize(field.astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    matrix = affine.astype(np.float32)
    return (
        matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2] + width * smooth[..., 0],
        matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2] + height * smooth[..., 1],
    )


def _change_gray(
    image: np.ndarray, factor: np.ndarray, added: np.ndarray, gamma: np.ndarray
) -> np.ndarray:
    """Scales a slice about its mean, channel by channel, adds to it, and takes it to a power."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    mean = np.array(cv2.mean(image)[:channels], np.float32)
    values = _LEVELS if image.dtype == np.uint8 else image
    scaled = (values * factor + (mean * (1 - factor) + added)).clip(0, 255)
    if gamma != 1:
        scaled = 255 * (scaled / 255) ** gamma
    if image.dtype != np.uint8:
        return scaled
    table = scaled.round().astype(np.uint8).reshape(1, 256, channels)
    return cv2.LUT(image, table).reshape(image.shape)


def _noisy(image: np.ndarray, noise: np.ndarray, seed: np.ndarray) -> np.ndarray:
    """Adds noise that is equal in all channels."""
    random = np.random.default_rng(int(seed))
    drawn = random.standard_normal(image.shape[:2], np.float32) * noise
    noisy = (image + (drawn if image.ndim == 2 else drawn[..., None])).clip(0, 255)
    return noisy.round().astype(np.uint8) if image.dtype == np.uint8 else noisy
