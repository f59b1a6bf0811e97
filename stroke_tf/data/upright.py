"""A view of slices in which all heads are alike: upright, centred, the brain at one grey.

Masks go there with their slices, and what a network says of the view goes back.

Classifiers trained on few patients learn how a head was laid and windowed. This view takes that
away, with the grey values alone: no label and no mask is looked at. Knows nothing of TensorFlow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import cv2
import numpy as np
from scipy import ndimage

from stroke_tf.data.head_mask import BONE_GREY, HEAD_GREY, disc, filled, head_mask
from stroke_tf.labels import MASK_CLASSES

HEAD_SIZE = 1.25
"""Side of the slices that views are made from, divided by the side of the views."""

_BRAIN_GREYS = (50, 220)  # where a patient's commonest brain grey is looked for
_BELOW, _RANGE = 40, 120  # greys of the stretched channels: 40 below to 80 above the brain's
_MARGIN = 1.06  # side of the view over that of the patient's largest head
_TURNS_DEG = np.arange(-16, 17, 2)
_CLASSES, _BACKGROUND = len(MASK_CLASSES), (1, 0, 0)
_JUDGED, _JUDGED_SIZE = 6, 64  # slices whose symmetry settles the turn, and their side in pixels


def upright_views(images: np.ndarray, groups: Sequence[str], *, size: int) -> np.ndarray:
    """Returns each slice as three channels of its upright, centred head.

    All slices of a group are turned by one angle, that of best mirror symmetry near the long axis
    of their heads, and scaled alike: the largest head fills the view.

    Args:
        images: uint8 grey as in a brain window, shape (N, S, S).
        groups: The patient of each slice, or what else belongs together.
        size: Side T of the result in pixels.

    Returns:
        uint8, shape (N, T, T, 3): the head without what lies around it; its greys from 40 below to
        80 above the group's commonest brain grey, stretched to 0 to 255; the same inside the skull.
    """
    return upright_heads(images, groups, size=size)[0]


def upright_heads(
    images: np.ndarray, groups: Sequence[str], *, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the views of `upright_views`, and how each slice was moved for its own.

    Arguments are those of `upright_views`.

    Returns:
        The views, and float64, shape (N, 2, 3): each move takes a place (x, y, 1) of a slice to
        that of the view. Both are shares of the side, so that it holds for any size.
    """
    views = np.zeros((len(images), size, size, 3), np.uint8)
    moves = np.zeros((len(images), 2, 3))
    members = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    for places in members.values():
        views[places], moves[places] = _series_views(images[places], size)
    return views, moves


def turn_mask(mask: np.ndarray, move: np.ndarray, *, size: int) -> np.ndarray:
    """Returns the mask of a slice as it lies on the slice's view.

    Args:
        mask: uint8 class ids, shape (S, S).
        move: The slice's, of `upright_heads`.
        size: Side T of the view in pixels.

    Returns:
        uint8 class ids, shape (T, T): of each pixel the class that its neighbours' centres, each
        weighed by how near it is, have most of.
    """
    matrix = _between_pixels(move, len(mask), size)
    planes = np.eye(_CLASSES, dtype=np.float32)[mask]
    there = cv2.warpAffine(planes, matrix, (size, size), borderValue=_BACKGROUND)
    return there.argmax(axis=-1).astype(np.uint8)


def turn_back(
    values: np.ndarray, move: np.ndarray, *, outside: Sequence[float] = _BACKGROUND
) -> np.ndarray:
    """Returns values of a view's pixels turned back onto its slice, of equal size.

    Args:
        values: float32, shape (T, T, C), or (T, T) for one: such as the probabilities of background
            and two lesions.
        move: The slice's, of `upright_heads`.
        outside: C values of what the view does not show; background.

    Returns:
        float32, of the same shape: interpolated.
    """
    size = len(values)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    matrix = _between_pixels(move, size, size)
    return cv2.warpAffine(values, matrix, (size, size), flags=flags, borderValue=tuple(outside))


def _between_pixels(move: np.ndarray, side: int, size: int) -> np.ndarray:
    """Returns a move as OpenCV takes it: from pixel to pixel, their centres at whole numbers."""
    linear = move[:, :2] * size / side
    shift = size * move[:, 2] - 0.5 + linear.sum(axis=1) / 2
    return np.column_stack([linear, shift])


def _series_views(images: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    heads = [head_mask(image) for image in images]
    boxes = [_box(head) for head in heads]
    side = _MARGIN * max(side for _, side in boxes)
    centres = [centre for centre, _ in boxes]
    turn = _turn(images, heads, centres, side)
    views, moves = [], []
    for image, head, centre in zip(images, heads, centres, strict=True):
        moved = _Move(centre, turn, side, size)
        moves.append(moved.in_shares(len(image)))
        inner = moved(_inside_skull(image, head), cv2.INTER_NEAREST)
        views.append((moved(cv2.dilate(head, disc(image, 0.014)) * image), inner))
    grey = _brain_grey(views)
    levels = (np.arange(256) - grey + _BELOW) * 255 / _RANGE
    stretched = [cv2.LUT(head, levels.clip(0, 255).astype(np.uint8)) for head, _ in views]
    channels = [
        np.stack([head, bright, bright * inner], axis=-1)
        for (head, inner), bright in zip(views, stretched, strict=True)
    ]
    return np.stack(channels), np.stack(moves)


class _Move:
    """Turns a picture about a point and scales a square around it to a size."""

    def __init__(self, centre: tuple[float, float], turn_deg: float, side: float, size: int):
        matrix = np.asarray(cv2.getRotationMatrix2D(centre, -turn_deg, size / side))
        self._matrix = matrix + [[0, 0, size / 2 - centre[0]], [0, 0, size / 2 - centre[1]]]
        self._size = (size, size)

    def __call__(self, picture: np.ndarray, interpolation: int = cv2.INTER_LINEAR) -> np.ndarray:
        return cv2.warpAffine(picture, self._matrix, self._size, flags=interpolation)

    def in_shares(self, side: int) -> np.ndarray:
        """Returns the move of a picture of a side in shares of the sides, float64, shape (2, 3)."""
        linear, size = self._matrix[:, :2], self._size[0]
        shift = self._matrix[:, 2] + 0.5 - linear.sum(axis=1) / 2  # of corners, not of centres
        return np.column_stack([linear * side / size, shift / size])


def _box(head: np.ndarray) -> tuple[tuple[float, float], float]:
    """Returns the centre (x, y) of a head and the longer side of its box, at least 1."""
    if not head.any():
        return (len(head) / 2, len(head) / 2), 1.0
    places = np.arange(len(head))
    (left, right), (top, bottom) = (
        np.percentile(np.repeat(places, head.sum(axis, dtype=int)), [0.5, 99.5]) for axis in (0, 1)
    )
    return ((left + right) / 2, (top + bottom) / 2), max(right - left, bottom - top, 1.0)


def _inside_skull(image: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Returns uint8 1 inside the skull: where bone surrounds pixels that are no bone."""
    bone = (image >= BONE_GREY) & (head > 0)
    gap = disc(image, 0.052)
    around = len(gap)
    padded = np.pad(bone.astype(np.uint8), around)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, gap)[around:-around, around:-around]
    inner = (filled(closed) > 0) & ~bone & (image > HEAD_GREY)
    opened = cv2.morphologyEx(inner.astype(np.uint8), cv2.MORPH_OPEN, disc(image, 0.014))
    _, labels, found, _ = cv2.connectedComponentsWithStats(opened)
    large = found[:, cv2.CC_STAT_AREA] > 0.004 * image.size
    large[0] = False
    return large[labels].astype(np.uint8)


def _long_axis_deg(head: np.ndarray) -> tuple[float, float]:
    """Returns the angle of a head's long axis against the vertical, and how clear it is, 0 to 1."""
    spread = cv2.moments(head, binaryImage=True)
    values, axes = np.linalg.eigh(
        [[spread["nu20"], spread["nu11"]], [spread["nu11"], spread["nu02"]]]
    )
    angle = np.degrees(np.arctan2(axes[0, 1], axes[1, 1]))
    return (angle + 90) % 180 - 90, 1 - values[0] / max(values[1], 1e-9)


def _turn(
    images: np.ndarray, heads: list[np.ndarray], centres: list[tuple[float, float]], side: float
) -> float:
    """Returns the angle in degrees that turns a group's heads upright."""
    areas = np.array([np.count_nonzero(head) for head in heads])
    angles, clear = np.array([_long_axis_deg(head) for head in heads]).T
    weight = clear * (areas > areas.max() / 2) + 1e-6
    double = np.radians(2 * angles)  # an axis has no direction
    mean = np.degrees(np.arctan2(weight @ np.sin(double), weight @ np.cos(double))) / 2
    judged = np.argsort(-areas, kind="stable")[: 2 * _JUDGED : 2]
    blurred = {i: cv2.GaussianBlur(images[i], (0, 0), 0.008 * len(images[i])) for i in judged}

    def symmetry(turn: float) -> float:
        moved = (_Move(centres[i], turn, side, _JUDGED_SIZE)(blurred[i]) for i in judged)
        return float(np.mean([_symmetry(picture.astype(np.float32)) for picture in moved]))

    return float(max(mean + _TURNS_DEG, key=symmetry))


def _symmetry(picture: np.ndarray) -> float:
    """Returns the best correlation of a picture with its mirror image, a little off centre too."""
    contrast = picture - picture.mean()
    mirrored = contrast[:, ::-1]
    best = max(np.vdot(contrast, np.roll(mirrored, by, 1)) for by in range(-4, 5, 2))
    return float(best / max(np.vdot(contrast, contrast), 1e-9))


def _brain_grey(views: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Returns the commonest grey inside the skulls of a group, or in its heads without a skull."""
    low, high = _BRAIN_GREYS
    greys = np.concatenate([head[inner > 0] for head, inner in views])
    if not greys.size:
        greys = np.concatenate([head.ravel() for head, _ in views])
    counts = np.bincount(greys, minlength=256).astype(float)
    return low + int(ndimage.gaussian_filter1d(counts[low:high], 3.0).argmax())
