"""HU from files that are no DICOM, pictures of 16 bits and volumes; and HU as grey values.

Knows arrays only. The proofs are imported when they are needed: they bring SciPy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stroke_tf.config import BRAIN, Window

_AIR_BELOW = -500  # HU
_INT16 = np.iinfo(np.int16)


def window_hu(hu: np.ndarray, windows: tuple[Window, ...]) -> np.ndarray:
    """Returns HU as grey values, one channel for each window.

    Args:
        hu: HU of any number type, shape (..., 1).
        windows: (centre, width) of each window in HU.

    Returns:
        uint8, shape (..., number of windows): 0 at the window's lower end and below, 255 at its
        upper end and above, rounded to whole grey values in between.
    """
    centre, width = np.array(windows, float).T
    gray = (hu - (centre - width / 2)) * 255 / width
    return gray.clip(0, 255).round().astype(np.uint8)


def grey_view(pixels: np.ndarray, *, window: Window = BRAIN) -> NDArray[np.uint8]:
    """Returns a slice, uint8 grey or int16 HU, shape (H, W), as uint8 grey; HU through a window."""
    if pixels.dtype == np.uint8:
        return pixels
    centre, width = window
    scaled = (pixels.astype(np.float32) - (centre - width / 2)) * (255 / width)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def hu_of_16_bits(values: NDArray[np.uint16], *, offset: int, name: str) -> NDArray[np.int16]:
    """Returns the HU of a grey picture of 16 bits: int16, shape (H, W), padding as air.

    Args:
        values: uint16, shape (H, W).
        offset: By how much its values are above HU.
        name: Where they come from, for the error messages.

    Raises:
        ValueError: If the values hold no air, or no head in HU looks like that.
    """
    from stroke_tf.reading.known_readings import cleared, judge_whole

    hu = values.astype(np.int32) - offset
    if hu.min() >= _AIR_BELOW or judge_whole(hu) == "wrong":
        raise _no_head(hu, name)
    return cleared(hu).astype(np.int16)


def hu_of_volume(values: np.ndarray, *, name: str) -> NDArray[np.int16]:
    """Returns the HU of a volume: int16, shape (slices, H, W), padding as air.

    Args:
        values: Shape (slices, H, W).
        name: Where they come from, for the error messages.

    Raises:
        ValueError: If no slice is proved to show a head in HU, or one is proved not to.
    """
    from stroke_tf.reading.known_readings import cleared, judge_whole

    low, high = values.min(), values.max()
    if not (_INT16.min <= low and high <= _INT16.max):
        raise ValueError(f"{name}: must hold HU, air near -1000. Received: {low:g} to {high:g}")
    hu = np.rint(values).astype(np.int32)
    verdicts = [judge_whole(plane) for plane in hu]
    if "wrong" in verdicts or "proved" not in verdicts:
        worst = verdicts.index("wrong") if "wrong" in verdicts else len(hu) // 2
        raise _no_head(hu[worst], name)
    return cleared(hu).astype(np.int16)


def _no_head(hu: np.ndarray, name: str) -> ValueError:
    from stroke_tf.reading.hu_proof import describe

    return ValueError(
        f"{name}: must show a head in HU, air near -1000 outside and tissue inside. "
        f"Received: {describe(hu)}"
    )
