"""The proof that a picture holds a head in HU: air is air, water is water, nothing is at the end.

Looks at HU alone, thinned out to about 128 x 128 pixels; knows nothing of files.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import ndimage

from stroke_tf.records import AIR_HU

Verdict = Literal["proved", "open", "odd", "wrong"]
"""proved: air outside, tissue inside. wrong: no head looks like that. odd: something inside lies
below air, as near metal or where bone has the wrong sign, or the edge is of one value that is not
air's. open: nothing of all that."""

PADDING = -(1 << 15)
"""Stands for pixels that were not measured; whatever lies below `LOWEST_HU` is taken for such."""
LOWEST_HU = -1024  # nothing measured lies below; padding often does (-1500, -2000)

_SIDE = 128
_AIR_WITHIN = 150  # of -1000: calibration and noise, not yet another intercept
_OUTSIDE = -700  # between air and skin
# Unclipped noise of air ends here; dense bone of the wrong sign lies lower.
_NOISE_BELOW = -1500
_FAR = 2500  # above all bone; wrapped air is at least this
_INT16 = 1 << 15
_LEAST_AIR, _LEAST_INSIDE, _LEAST_TISSUE, _MUCH_INSIDE = 0.01, 0.02, 0.25, 0.08
_MOST_FAR_AT_EDGE, _MOST_FAR = 0.01, 0.1
_MOST_AT_EDGE = 0.05
_ONE_VALUE = 0.9
_MOSTLY, _SURROUNDED, _LEAST_RIM = 0.5, 0.8, 0.01
_BIN = 100
_SHIFT = 1024


def thin_out(picture: np.ndarray) -> np.ndarray:
    """Returns every n-th pixel of a picture, so many that the rest is about 128 x 128."""
    step = max(1, round(max(picture.shape) / _SIDE))
    return picture[step // 2 :: step, step // 2 :: step]


def judge(hu: np.ndarray) -> Verdict:
    """Returns what a thinned-out picture tells, int32 HU of shape (H, W)."""
    if _is_far(hu):
        return "wrong"
    outside = touching_edge(hu < _OUTSIDE)
    inside = hu[~outside]
    if _is_head(hu, outside, inside):
        return "proved"
    if _is_dense(hu, outside, inside) or _is_shifted(hu):
        return "wrong"
    return "odd" if _has_holes(hu, inside) or _has_rim(hu, outside) else "open"


def describe(hu: np.ndarray) -> str:
    """Returns what was seen, for a message: the edge, the middle, the ends."""
    edge, (rows, columns) = _edge(hu), hu.shape
    middle = hu[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    return (
        f"HU {int(hu.min())} to {int(hu.max())}, at the edge near {int(np.median(edge))}, in the "
        f"middle near {int(np.median(middle))}"
    )


def one_valued_rim(hu: np.ndarray) -> np.ndarray:
    """Returns where the value that is most frequent at the edge reaches in, if it reaches far."""
    values, counts = np.unique(_edge(hu), return_counts=True)
    rim = touching_edge(hu == values[counts.argmax()])
    return rim if rim.mean() >= _LEAST_RIM else np.zeros_like(rim)


def touching_edge(chosen: np.ndarray) -> np.ndarray:
    """Returns the regions of a bool picture that touch its edge."""
    if not _edge(chosen).any():
        return np.zeros_like(chosen)
    regions, count = ndimage.label(chosen)
    kept = np.zeros(count + 1, bool)
    kept[_edge(regions)] = True
    kept[0] = False
    return kept[regions]


def _edge(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])


def _is_far(hu: np.ndarray) -> bool:
    """Returns whether an area lies at the far end of the scale."""
    far = hu > _FAR
    if not far.any():
        return False
    if hu.max() >= _INT16 or far.mean() > _MOST_FAR:
        return True
    return bool(touching_edge(far).mean() > _MOST_FAR_AT_EDGE)


def _is_head(hu: np.ndarray, outside: np.ndarray, inside: np.ndarray) -> bool:
    """Returns whether air surrounds something that is mostly like water."""
    if _air(hu, outside).mean() < _LEAST_AIR or inside.size < _LEAST_INSIDE * hu.size:
        return False
    if _edge(outside).mean() < _MOSTLY or _has_holes(hu, inside) or _has_rim(hu, outside):
        return False
    tissue, commonest = _tissue(inside)
    return tissue >= _LEAST_TISSUE and abs(commonest) <= _AIR_WITHIN


def _has_holes(hu: np.ndarray, inside: np.ndarray) -> bool:
    """Returns whether something lies below air that is not padding: inside, or of many values."""
    low = hu[hu < _NOISE_BELOW]
    if low.size == 0:
        return False
    return bool((inside < _NOISE_BELOW).any()) or _share_of_one_value(low) < 0.5


def _has_rim(hu: np.ndarray, outside: np.ndarray) -> bool:
    """Returns whether the edge has one value and is not air: whatever is measured has noise."""
    at_edge = _edge(hu)[~_edge(outside)]
    return at_edge.size > _MOST_AT_EDGE * _edge(hu).size and _share_of_one_value(at_edge) > 0.5


def _is_dense(hu: np.ndarray, outside: np.ndarray, inside: np.ndarray) -> bool:
    """Returns whether air surrounds much that is not like water."""
    if _edge(outside).mean() < _SURROUNDED or inside.size < _MUCH_INSIDE * hu.size:
        return False
    tissue, commonest = _tissue(inside)
    return tissue < _LEAST_TISSUE and abs(commonest) > _AIR_WITHIN


def _is_shifted(hu: np.ndarray) -> bool:
    """Returns whether the picture would be a head if it were 1024 HU lower or higher."""
    for shifted in (hu - _SHIFT, hu + _SHIFT):
        outside = touching_edge(shifted < _OUTSIDE)
        if _is_head(shifted, outside, shifted[~outside]):
            # Air of one value may be padding (-2000); the true air then passes for tissue.
            return _share_of_one_value(shifted[_air(shifted, outside)]) < _ONE_VALUE
    return False


def _air(hu: np.ndarray, outside: np.ndarray) -> np.ndarray:
    return outside & (np.abs(hu - AIR_HU) <= _AIR_WITHIN)


def _tissue(inside: np.ndarray) -> tuple[float, int]:
    """Returns the share of values like water, and the middle of the commonest bin of values."""
    bins = np.bincount((inside - inside.min()) // _BIN)
    commonest = int(bins.argmax()) * _BIN + int(inside.min()) + _BIN // 2
    return float((np.abs(inside) <= _AIR_WITHIN).mean()), commonest


def _share_of_one_value(values: np.ndarray) -> float:
    return int(np.unique(values, return_counts=True)[1].max()) / values.size
