"""Finds the paint of an overlay; checks that it shows its picture and was stored without loss.

Works on decoded arrays. It must not know of files, folders, classes or borders.
"""

from __future__ import annotations

import cv2
import numpy as np

PAINT_MIN = 24  # spread of RGB from which a pixel is painted: red or border at 10 % opacity
FAINT_MAX = 0.001  # faintly coloured pixels by painted ones; JPEG makes 0.01 to 3, no loss none
ALIKE_MIN = 0.98  # least correlation ratio of overlay and picture; neighbouring slices reach 0.975
# A closed line around bare picture is not a filled lesion if less than this share of the line is
# thicker than a border.
_THICK, _THICK_MIN = np.ones((5, 5), np.uint8), 0.05
_STEP = 2  # every second pixel of a row and a column is enough to see another slice

Box = tuple[slice, slice]


def find_paint(overlay: np.ndarray, picture: np.ndarray | None, *, name: str) -> np.ndarray:
    """Returns where an overlay is coloured, after checks that it can be trusted.

    Args:
        overlay: uint8 RGB, shape (H, W, 3): a grey slice with coloured paint.
        picture: uint8 grey or int16 HU, shape (H, W): the same slice without paint, its window
            another than the overlay's perhaps; or None.
        name: File name or id for the error messages.

    Returns:
        bool, shape (H, W).

    Raises:
        ValueError: If the overlay is faintly coloured, as JPEG, resampling and soft brushes leave
            it; or shows another slice than the picture.
    """
    painted = np.zeros(overlay.shape[:2], bool)
    box = _differing_box(overlay, picture)
    if box is None:
        return painted
    spread = _spread(overlay[box])
    painted[box] = spread >= PAINT_MIN
    paint = np.count_nonzero(painted)
    faint = cv2.countNonZero(spread) - paint
    if faint > FAINT_MAX * paint:
        raise ValueError(
            f"{name}: an overlay must be stored without loss (PNG, never JPEG) at its first size. "
            f"Received: {faint} faintly coloured pixels beside {paint} painted ones"
        )
    if picture is not None:
        _check_same_slice(overlay, picture, painted, box, name=name)
    return painted


def bounding_box(region: np.ndarray, *, margin: int = 0) -> Box | None:
    """Returns the smallest box around a region and a margin, within the picture; None if empty."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )


def channels(overlay: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns red, green and blue of a part of an overlay."""
    red, green, blue = cv2.split(np.ascontiguousarray(overlay))
    return red, green, blue


def _differing_box(overlay: np.ndarray, picture: np.ndarray | None) -> Box | None:
    """Returns the box in which an overlay is not its picture; the whole where that is unknown."""
    if picture is None or picture.dtype != np.uint8:
        return slice(None), slice(None)
    difference = cv2.absdiff(overlay, cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB))
    rows = np.flatnonzero(difference.reshape(len(overlay), -1).max(axis=1))
    if not rows.size:
        return None
    here = slice(rows[0], rows[-1] + 1)
    columns = np.flatnonzero(difference[here].max(axis=0).any(axis=1))
    return here, slice(columns[0], columns[-1] + 1)


def _spread(overlay: np.ndarray) -> np.ndarray:
    # The picture is grey, so it takes the same from all three channels: the spread of OVERLAY
    # minus PNG over the channels is the overlay's own, whatever window the PNG was made with.
    red, green, blue = channels(overlay)
    return cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))


def _check_same_slice(
    overlay: np.ndarray, picture: np.ndarray, painted: np.ndarray, box: Box, *, name: str
) -> None:
    """Raises ValueError if no mapping of grey values makes one of the other, paint aside."""
    bare = ~painted[box]
    if picture.dtype == np.uint8 and not (overlay[box][..., 1] != picture[box])[bare].any():
        return
    thin = slice(None, None, _STEP), slice(None, None, _STEP)
    bare = ~painted[thin]
    pixels, there = picture[thin][bare].astype(np.int64), overlay[thin][..., 1][bare]
    if pixels.size:
        alike = max(explained(pixels - pixels.min(), there), explained(there, pixels))
        if alike < ALIKE_MIN:
            raise ValueError(
                f"{name}: an overlay must show its picture outside the paint, through any window. "
                f"Received: another picture (correlation ratio {alike:.2f}, at least {ALIKE_MIN})"
            )


def explained(given: np.ndarray, values: np.ndarray) -> float:
    """Returns the correlation ratio: the share of the variance that `given` (>= 0) explains.

    If all values are equal, the ratio is 1 where all of `given` are equal too, else 0.
    """
    numbers = np.bincount(given)
    sums = np.bincount(given, weights=values)
    mean = sums.sum() / len(values)
    total = float(np.square(values - mean).sum())
    there = numbers > 0
    between = float((numbers[there] * np.square(sums[there] / numbers[there] - mean)).sum())
    return between / total if total else float(np.ptp(given) == 0)


def check_filled(painted: np.ndarray, *, name: str) -> None:
    """Checks that no lesion is drawn by its contour alone.

    Args:
        painted: bool, shape (H, W): where an overlay is painted.
        name: File name or id for the error message.

    Raises:
        ValueError: For a closed thin line around more bare picture than it covers.
    """
    box = bounding_box(painted)
    if box is None:
        return
    paint = np.ascontiguousarray(painted[box]).view(np.uint8)
    _, regions = cv2.connectedComponents(paint)
    areas = np.bincount(regions.ravel())
    thick = cv2.erode(paint, _THICK).view(bool)
    thin = np.bincount(regions[thick], minlength=len(areas)) < _THICK_MIN * areas
    thin[0] = False  # the bare picture
    for number in np.flatnonzero(thin):
        outlines, _ = cv2.findContours(
            (regions == number).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        filled = cv2.drawContours(np.zeros_like(paint), outlines, -1, 1, cv2.FILLED)
        bare = cv2.countNonZero(filled) - cv2.countNonZero(cv2.bitwise_and(filled, paint))
        if bare > areas[number]:
            raise ValueError(
                f"{name}: a lesion of an overlay must be filled. Received: a line of "
                f"{areas[number]} pixels around {bare} bare ones"
            )
