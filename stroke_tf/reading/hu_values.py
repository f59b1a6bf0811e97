"""HU from files that are no DICOM: pictures of 16 bits and volumes.

Knows arrays only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_AIR_BELOW, _METAL = -500, 32767  # HU


def hu_of_16_bits(values: NDArray[np.uint16], *, offset: int, name: str) -> NDArray[np.int16]:
    """Returns the HU of a grey picture of 16 bits: int16, shape (H, W).

    Args:
        values: uint16, shape (H, W).
        offset: What its values are more than HU.
        name: Where they come from, for the error messages.

    Raises:
        ValueError: If the values are no HU with air.
    """
    return check_hu(values.astype(np.int32) - offset, name=name)


def check_hu(values: np.ndarray, *, name: str) -> NDArray[np.int16]:
    """Returns values as int16 HU.

    Raises:
        ValueError: If they cannot be HU of a slice with air around it.
    """
    low, high = values.min(), values.max()
    if not (-32768 <= low < _AIR_BELOW and high <= _METAL):
        raise ValueError(f"{name}: must hold HU, air near -1000. Received: {low:g} to {high:g}")
    return np.rint(values).astype(np.int16)
