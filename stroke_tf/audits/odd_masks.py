"""Masks that do not fit those of the slices below and above."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

APART = 0.1
"""Overlap, as Dice of pixels of one class, below which two masks do not show one lesion."""
ALONE = 0.002
"""Least share of a slice for a lesion on one slice alone to be listed: small ones are common."""
RULES = {
    "missing": "no mask, but the slices below and above have masks that overlap each other",
    "apart": f"a mask that overlaps none of those below and above (Dice under {APART})",
    "alone": f"a mask over {ALONE:.1%} of the slice, with none on the slices below and above",
}


def odd_masks(
    masks: NDArray[np.integer], neighbours: NDArray[np.int64], *, known: NDArray[np.bool_]
) -> pd.DataFrame:
    """Returns the masks that break one of `RULES`, the largest ones of each rule first.

    Args:
        masks: Class ids, shape (N, H, W), 0 where there is no lesion.
        neighbours: Shape (N, 2): places of the slices below and above, -1 for none.
        known: Bool, shape (N,): whether a slice's mask is known.

    Returns:
        A row a mask: its `place`; the `rule`; the lesion pixels of the mask and of those below and
        above it, `area_px`, `below_px` and `above_px`; and `overlap`, the larger Dice with these
        two, or theirs for "missing".
    """
    areas = np.count_nonzero(masks, axis=(1, 2))
    rows = []
    for place in np.flatnonzero(compared(masks, neighbours, known=known)):
        below, above = neighbours[place]
        area, *around = (int(areas[at]) for at in (place, below, above))
        pairs = [(place, below), (place, above)] if area else [(below, above)]
        overlap = max(_dice(masks[first], masks[second]) for first, second in pairs)
        if rule := _broken(area / masks[place].size, around, overlap):
            rows.append((int(place), rule, area, *around, overlap))
    names = ["place", "rule", "area_px", "below_px", "above_px", "overlap"]
    found = pd.DataFrame(rows, columns=names)
    found["rule"] = pd.Categorical(found["rule"], categories=list(RULES))
    found["largest"] = found[["area_px", "below_px", "above_px"]].max(axis=1)
    ranked = found.sort_values(["rule", "largest"], ascending=[True, False], ignore_index=True)
    return ranked.drop(columns="largest").astype({"rule": str})


def _broken(area: float, around: Sequence[int], overlap: float) -> str | None:
    """Returns the rule that a mask of a share of its slice breaks, if it does."""
    if not area:
        return "missing" if overlap >= APART else None
    if any(around):
        return "apart" if overlap < APART else None
    return "alone" if area > ALONE else None


def compared(
    masks: NDArray[np.integer], neighbours: NDArray[np.int64], *, known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Returns which slices are judged, shape (N,).

    They lie between two others, the masks of all three are known, and one shows a lesion.
    """
    lesion = np.count_nonzero(masks, axis=(1, 2)) > 0
    here = np.arange(len(masks))[:, None]
    trios = np.concatenate([here, neighbours], axis=1)
    return (neighbours >= 0).all(axis=1) & known[trios].all(axis=1) & lesion[trios].any(axis=1)


def _dice(first: NDArray[np.integer], second: NDArray[np.integer]) -> float:
    """Returns the Dice of the pixels of equal class of two masks; 0 where one is empty."""
    shared = np.count_nonzero((first == second) & (first > 0))
    return 2 * shared / max(int((first > 0).sum() + (second > 0).sum()), 1)
