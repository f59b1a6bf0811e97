"""Drawn lesions against boxes, where experts boxed lesions and drew none."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from stroke_tf.evaluation.intervals import RESAMPLES, Metric, bootstrap
from stroke_tf.evaluation.lesions import CORNERS

Box = tuple[int, int, int, int]
"""Left, top, right and bottom edge, pixels; the right and the bottom one are outside."""
_COLUMNS = ("drawn_px", "inside_px", "pointed", "boxed_share")


def parse_box(text: str) -> Box:
    """Returns the box of a cell "x0 y0 x1 y1".

    Raises:
        ValueError: If it holds something else, or an empty box.
    """
    try:
        left, top, right, bottom = (int(number) for number in text.split())
    except ValueError:
        raise ValueError(f"a box must be four whole numbers. Received: {text!r}") from None
    if not (0 <= left < right and 0 <= top < bottom):
        raise ValueError(f"a box must be x0 < x1 and y0 < y1, from 0 on. Received: {text!r}")
    return left, top, right, bottom


def against_box(lesion: NDArray[np.bool_], head: NDArray[np.bool_], box: Box) -> dict[str, float]:
    """Returns what one slice counts in `box_metrics`.

    Args:
        lesion: Shape (H, W): the pixels that are drawn.
        head: Shape (H, W): the pixels of the head.
        box: The box of the slice's lesions.
    """
    left, top, right, bottom = box
    boxed = np.zeros(lesion.shape, np.bool_)
    boxed[top:bottom, left:right] = True
    parts, count = ndimage.label(lesion, CORNERS)
    pointed = False
    if count:
        largest = 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
        row, column = ndimage.center_of_mass(parts == largest)
        pointed = bool(boxed[round(row), round(column)])
    share = (boxed & head).sum() / max(int(head.sum()), 1)
    values = (lesion.sum(), (lesion & boxed).sum(), pointed, share)
    return dict(zip(_COLUMNS, map(float, values), strict=True))


def box_metrics(
    slices: Iterable[dict[str, float]],
    groups: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Metric]:
    """Returns how drawn lesions agree with boxes, with 95 % intervals over patients.

    `drawn` is the share of boxed slices on which something is drawn; `pointed` that of those on
    which the centre of the largest drawn lesion lies in the box; `inside` the share of all drawn
    pixels that lie in boxes; `chance` the mean share of the head that the box takes, which is what
    `pointed` would be of lesions drawn anywhere in the head of each slice.

    Args:
        slices: What `against_box` gives of N slices.
        groups: Shape (N,): the patient of each.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    frame = pd.DataFrame(slices, columns=list(_COLUMNS))
    drawn_px, inside_px, pointed, boxed = (frame[name].to_numpy() for name in _COLUMNS)

    def shares(weights: NDArray[np.int64]) -> list[float]:
        total, pixels = weights.sum(), float(weights @ drawn_px)
        return [
            float(weights @ (drawn_px > 0)) / total,
            float(weights @ pointed) / total,
            float(weights @ inside_px) / pixels if pixels else float("nan"),
            float(weights @ boxed) / total,
        ]

    values = bootstrap(shares, groups, seed=seed, resamples=resamples)
    return dict(zip(("drawn", "pointed", "inside", "chance"), values, strict=True))
