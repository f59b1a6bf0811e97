"""The masks of the slices that audits look at: how large, and where in the head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stroke_tf.data import decode_slices
from stroke_tf.data.selection import is_used
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldRow, read_manifest

_HEAD_GREY = 40  # skin in a brain window; air and foam are below
_MIDDLE = 1 / 3  # of the way from the head's centre to its edge
_MOST_DIGITS = 18  # digits; with so many, different numbers never look alike
SIDES = ("centre", "left in the picture", "right in the picture", "top (front)", "bottom (back)")
"""Where the centre of a lesion may lie."""


def read_masks(
    records: Path, rows: Sequence[FoldRow], *, image_size: int
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Returns the masks of all slices of some folds, and whether each is known.

    Args:
        records: Folder of records.
        rows: The rows of folds.csv of these folds, N, in its order.
        image_size: Side of the masks in pixels.

    Returns:
        Class ids, uint8, shape (N, S, S), 0 where none is known; and bool, shape (N,).
    """
    known = np.array([is_used(row, task=Task.SEGMENT) for row in rows], bool)
    drawn = np.array([is_used(row, task=Task.SEGMENT, lesions_only=True) for row in rows], bool)
    masks = np.zeros((len(rows), image_size, image_size), np.uint8)
    if drawn.any():
        shown = {row.fold for row in rows}
        folds = tuple(fold.fold for fold in read_manifest(records).folds if str(fold.fold) in shown)
        lesions = decode_slices(
            records, folds, task=Task.SEGMENT, image_size=image_size, lesions_only=True
        )
        masks[drawn] = np.asarray(lesions.masks)[..., 0]
    return masks, known


def sizes_of(masks: NDArray[np.integer], ml: NDArray[np.floating]) -> pd.Series:
    """Returns the quarter of all lesions, by size, that each slice's lesion is in.

    Args:
        masks: Class ids, shape (N, H, W).
        ml: Volume of a pixel of each slice, see `ml_per_pixel`, NaN where not known.

    Returns:
        Names such as "0.12 to 0.48 ml", or of % of the slice where a volume is not known; missing
        where there is no lesion.
    """
    areas = np.count_nonzero(masks, axis=(1, 2))
    lesions = areas > 0
    in_ml = bool(np.isfinite(ml[lesions]).all())
    values, unit = (areas * ml, "ml") if in_ml else (areas * 100 / masks[0].size, "% of the slice")
    sizes = pd.Series(np.where(lesions, values, np.nan))
    if not lesions.any():
        return sizes
    quarters = pd.qcut(sizes, 4, duplicates="drop")
    return quarters.cat.rename_categories(_names(list(quarters.cat.categories), unit))


def _names(ranges: Sequence[pd.Interval], unit: str) -> list[str]:
    """Returns names of ranges of sizes, with digits enough to tell them apart."""
    for digits in range(2, _MOST_DIGITS):
        edges = [
            f"{edge:.{digits}g}"
            for interval in ranges
            for edge in (max(interval.left, 0), interval.right)
        ]
        pairs = list(zip(edges[::2], edges[1::2], strict=True))
        if len(set(pairs)) == len(pairs) and all(low != high for low, high in pairs):
            break
    return [f"{low} to {high} {unit}" for low, high in pairs]


def sides_of(masks: NDArray[np.integer], images: NDArray[np.uint8]) -> pd.Series:
    """Returns in which of `SIDES` of its head the centre of each slice's lesion lies.

    The head is what is brighter than air; its box, without the outermost percent, has its edges.
    Up to a third of the way to the edge is the centre; beyond, the side is the one that is nearer
    to the edge. Front and back are so only in slices that lie with the face up.

    Args:
        masks: Class ids, shape (N, H, W).
        images: uint8 grey, shape (N, H, W).

    Returns:
        Missing where there is no lesion or no head.
    """
    sides = [_side(mask, image) for mask, image in zip(masks, images, strict=True)]
    return pd.Series(pd.Categorical(sides, categories=SIDES))


def _side(mask: NDArray[np.integer], image: NDArray[np.uint8]) -> str | None:
    head, lesion = np.argwhere(image > _HEAD_GREY), np.argwhere(mask > 0)
    if not len(head) or not len(lesion):
        return None
    low, high = np.percentile(head, [1, 99], axis=0)
    down, right = (2 * lesion.mean(axis=0) - low - high) / np.maximum(high - low, 1)
    if np.hypot(down, right) <= _MIDDLE:
        return SIDES[0]
    if abs(right) > abs(down):
        return SIDES[2] if right > 0 else SIDES[1]
    return SIDES[4] if down > 0 else SIDES[3]
