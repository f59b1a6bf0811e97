"""Slices of any size as squares of one size, and back.

Picture and mask keep one geometry: both get the same margins, and a pixel of the result stands for
the same area of the slice in both.
"""

from __future__ import annotations

import cv2
import numpy as np

from stroke_tf.labels import LESION_CLASSES
from stroke_tf.records import AIR_HU


def fit_square(image: np.ndarray, *, size: int) -> np.ndarray:
    """Pads a slice with air to a square about its centre and resizes it.

    A pixel of a smaller result is the mean of its area; a larger result is interpolated between
    the centres of pixels.

    Args:
        image: uint8 grey, uint16 or int16 HU, shape (H, W).
        size: Side of the result in pixels.

    Returns:
        Shape (size, size), same dtype.
    """
    square = _pad(image, value=AIR_HU if image.dtype == np.int16 else 0)
    return _resize(square, size)


def fit_mask(mask: np.ndarray, *, size: int) -> np.ndarray:
    """Pads a mask with background as `fit_square` pads its picture, and resizes it.

    A pixel of a smaller result has the class with the largest share of its area; of equal shares
    the higher class id wins, so that a lesion wins against background. A lesion that would be lost
    whole keeps the pixel where its centre lies, or one beside it if that is all of another lesion.
    A larger result takes the class of the nearest centre.

    Args:
        mask: uint8 class ids (0 background, 1 ischaemia, 2 haemorrhage), shape (H, W).
        size: Side of the result in pixels.

    Returns:
        uint8 class ids, shape (size, size), with all the classes of `mask` where `size` >= 2.
    """
    square = _pad(mask, value=0)
    if size == len(square):
        return square
    if size > len(square):
        return cv2.resize(square, (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return _shrink_mask(square, size)


def undo_square(square: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """Returns probabilities at their slice's own size: the reverse of `fit_square`.

    Args:
        square: float32 probabilities, shape (S, S, 3).
        height: Rows of the slice, in pixels.
        width: Columns of the slice, in pixels.

    Returns:
        float32, shape (height, width, 3).
    """
    whole = _resize(square, max(height, width))
    top, left = _margins(height, width)
    return whole[top : top + height, left : left + width]


def _margins(height: int, width: int) -> tuple[int, int]:
    """Returns the rows and columns of air before a slice."""
    side = max(height, width)
    return (side - height) // 2, (side - width) // 2


def _pad(image: np.ndarray, *, value: int) -> np.ndarray:
    height, width = image.shape
    if height == width:
        return image
    side, (top, left) = max(height, width), _margins(height, width)
    around = (top, side - height - top, left, side - width - left)
    return cv2.copyMakeBorder(image, *around, cv2.BORDER_CONSTANT, value=[value])


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    if size == len(image):
        return image
    smooth = cv2.INTER_AREA if size < len(image) else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=smooth)


def _shrink_mask(mask: np.ndarray, size: int) -> np.ndarray:
    result = np.zeros((size, size), np.uint8)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return result
    box, side = mask[top : top + height, left : left + width], len(mask)
    rows, columns = _Axis(top, height, side, size), _Axis(left, width, side, size)
    small = result[rows.range, columns.range]
    planes = {int(kind): box == kind for kind in LESION_CLASSES if (box == kind).any()}
    areas = {kind: columns.sums(rows.sums(plane).T).T for kind, plane in planes.items()}
    most = side**2 - sum(areas.values())  # of background
    for kind, area in areas.items():
        small[area >= most] = kind
        most = np.maximum(area, most)
    for kind, plane in planes.items():
        _restore_lost(result, kind, plane, rows.places, columns.places)
    return result


class _Axis:
    """The rows or columns of a mask that hold lesions, and those of the smaller result.

    Attributes:
        places: int, shape (length,): the pixels of the result in which their centres lie.
        range: From the first place to the last; others are covered by less than half.
    """

    def __init__(self, start: int, length: int, side: int, size: int) -> None:
        self.places = (2 * np.arange(start, start + length) + 1) * size // (2 * side)
        self.range = slice(self.places[0], self.places[-1] + 1)
        # Whole numbers: a pixel of the mask is `size` long, a pixel of the result `side`.
        edges = np.arange(self.range.start, self.range.stop + 1) * side - start * size
        self._size = size
        self._whole, part = np.divmod(edges.clip(0, length * size), size)
        self._part = part[:, None]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Returns the sums of (length, N) over each pixel of `range`: int64, shape (range, N)."""
        padded = np.pad(values, ((1, 1), (0, 0)))
        before = np.cumsum(padded, axis=0, dtype=np.int64)[self._whole] * self._size
        return np.diff(before + padded[self._whole + 1] * self._part, axis=0)


def _restore_lost(
    result: np.ndarray, kind: int, plane: np.ndarray, rows: np.ndarray, columns: np.ndarray
) -> None:
    """Gives each lesion that has no pixel in the result the one in which its centre lies."""
    count, lesions, _, centres = cv2.connectedComponentsWithStats(plane.view(np.uint8))
    there = lesions[plane & (result[rows[:, None], columns] == kind)]
    for number in np.flatnonzero(np.bincount(there, minlength=count)[1:] == 0) + 1:
        pixels = np.argwhere(lesions == number)
        y, x = pixels[np.square(pixels - centres[number, ::-1]).sum(axis=1).argmin()]
        result[_free_place(result, kind, (int(rows[y]), int(columns[x])))] = kind


def _free_place(result: np.ndarray, kind: int, place: tuple[int, int]) -> tuple[int, int]:
    """Returns the pixel nearest to a place, or the place, that is not all of another lesion.

    There is one: nine pixels of another class are neighbours of each other.
    """
    rows, columns = (range(max(at - 1, 0), min(at + 2, len(result))) for at in place)
    around = [(y, x) for y in rows for x in columns]
    around.sort(key=lambda at: (at[0] - place[0]) ** 2 + (at[1] - place[1]) ** 2)
    for y, x in around:
        alike = result[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] == result[y, x]
        if result[y, x] in (0, kind) or alike.sum() > 1:
            return y, x
    return place  # a result of one pixel
