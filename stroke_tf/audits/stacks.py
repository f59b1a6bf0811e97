"""Which slices lie on each other, told by their ids alone. Knows no pixels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stroke_tf.manifest import FoldRow, natural_key

_LEAST = 5  # slices of a stack that has a bottom and a top
_WHOLE = 0.8  # share of the numbers from its first to its last slice that such a stack holds


def stacks_of(rows: Sequence[FoldRow]) -> list[dict[int, int]]:
    """Returns the stacks of slices: the place of each slice among the rows by its number.

    A stack is the slices of one group whose ids differ in their last number alone, as "s-9" and
    "s-10" do. Copies and ids without a number belong to none.
    """
    stacks: dict[tuple, dict[int, int]] = defaultdict(dict)
    for place, row in enumerate(rows):
        *start, number, end = ["", *natural_key(row.source_id)]
        if isinstance(number, int) and not row.copy:
            stacks[row.group_id, *start, end][number] = place
    return [dict(sorted(stack.items())) for stack in stacks.values()]


def neighbours_of(rows: Sequence[FoldRow]) -> NDArray[np.int64]:
    """Returns the places of the slices below and above each slice, shape (N, 2), -1 for none.

    They are those of its stack whose numbers are one less and one more: a missing slice has no
    stand-in.
    """
    around = np.full((len(rows), 2), -1, np.int64)
    for stack in stacks_of(rows):
        for number, place in stack.items():
            around[place] = stack.get(number - 1, -1), stack.get(number + 1, -1)
    return around


def heights_of(rows: Sequence[FoldRow]) -> NDArray[np.float64]:
    """Returns how high in its stack each slice lies: 0 for the first number, 1 for the last.

    NaN where the ids are no heights: in stacks of fewer than 5 slices, or with less than 80 % of
    the numbers between their first and last slice.
    """
    heights = np.full(len(rows), np.nan)
    for stack in stacks_of(rows):
        numbers = np.array(list(stack))
        span = numbers[-1] - numbers[0]
        if len(numbers) >= max(_LEAST, _WHOLE * (span + 1)):
            heights[list(stack.values())] = (numbers - numbers[0]) / span
    return heights


def ml_per_pixel(rows: Sequence[FoldRow], *, size: int) -> NDArray[np.float64]:
    """Returns the volume of a pixel of each slice, stored as a square, NaN without spacing.

    Args:
        rows: N rows of folds.csv.
        size: Side of the masks in pixels, whatever that of the records.

    Returns:
        float64, shape (N,), in ml.
    """
    spacings = [[float(mm) for mm in row.spacing_mm.split("x") if mm] for row in rows]
    zooms = [max(row.width, row.height) / size for row in rows]
    volumes = [
        np.prod(spacing) * zoom**2 / 1000 if len(spacing) == 3 else np.nan
        for spacing, zoom in zip(spacings, zooms, strict=True)
    ]
    return np.array(volumes, dtype=np.float64)
