"""Slices of any size as squares of one size, and back."""

from __future__ import annotations

import cv2
import numpy as np

from stroke_tf.records import AIR_HU


def fit_square(image: np.ndarray, *, size: int, nearest: bool = False) -> np.ndarray:
    """Pads a slice with air to a square about its centre and resizes it.

    Args:
        image: uint8 grey, int16 HU or uint8 class ids, shape (H, W).
        size: Side of the result in pixels.
        nearest: Whether to take the nearest value (class ids) instead of averaging.

    Returns:
        Shape (size, size), same dtype.
    """
    height, width = image.shape
    side = max(height, width)
    if height != width:
        top, left = _margins(height, width)
        around = (top, side - height - top, left, side - width - left)
        air = AIR_HU if image.dtype == np.int16 else 0
        image = cv2.copyMakeBorder(image, *around, cv2.BORDER_CONSTANT, value=[air])
    return image if side == size else _resize(image, size, nearest=nearest)


def undo_square(square: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Returns what `fit_square` made a square of, at its own size.

    Args:
        square: float32 probabilities, shape (S, S, 3).
        height: Rows of the slice, in pixels.
        width: Columns of the slice, in pixels.

    Returns:
        float32, shape (height, width, 3).
    """
    side = max(height, width)
    whole = square if side == len(square) else _resize(square, side)
    top, left = _margins(height, width)
    return whole[top : top + height, left : left + width]


def _margins(height: int, width: int) -> tuple[int, int]:
    """Returns the rows and columns of air before a slice."""
    side = max(height, width)
    return (side - height) // 2, (side - width) // 2


def _resize(image: np.ndarray, size: int, *, nearest: bool = False) -> np.ndarray:
    smooth = cv2.INTER_AREA if size < len(image) else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST if nearest else smooth)
