"""Masks and overlays as the organisers paint them: one colour for each class of lesion.

A mask file is named by the id of its slice and painted in `MASK_COLOURS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stroke_tf.files import write_bytes
from stroke_tf.labels import LESION_CLASSES, MASK_CLASSES, StrokeType
from stroke_tf.reading.pictures import decode_colours, encode_png

MASK_COLOURS: dict[StrokeType, tuple[int, int, int]] = {
    StrokeType.NONE: (0, 0, 0),
    StrokeType.ISCHEMIA: (0, 0, 255),
    StrokeType.HEMORRHAGE: (0, 255, 0),
}
"""RGB of each class in a mask, and of the border around its lesions in an overlay."""

_RED_OPACITY = {StrokeType.ISCHEMIA: 0.5, StrokeType.HEMORRHAGE: 0.75}  # of four overlays
_THREE_BY_THREE = np.ones((3, 3), np.uint8)
_PALETTE = np.array([MASK_COLOURS[kind] for kind in MASK_CLASSES], np.uint8)


def write_mask(path: Path, mask: NDArray[np.uint8]) -> None:
    """Writes a mask as the organisers do, a 24-bit RGB PNG, atomically.

    Args:
        path: The file, its name that of the slice's id with the suffix .png.
        mask: Class ids, uint8, shape (H, W).

    Raises:
        ValueError: If the mask is of another type or shape, or holds another class id.
    """
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.max(initial=0) >= len(_PALETTE):
        raise ValueError(
            f"{path.name}: a mask must be uint8 of shape (H, W) with class ids 0 to 2. "
            f"Received: {mask.dtype} of shape {mask.shape}, highest {mask.max(initial=0)}"
        )
    write_bytes(path, encode_png(_PALETTE[mask]))


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Returns the class ids of a mask file, uint8, shape (H, W).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no whole picture, or holds other colours. Names the file.
    """
    return mask_from_colours(decode_colours(path.read_bytes(), name=path.name), name=path.name)


def files_by_id(folder: Path) -> dict[str, Path]:
    """Returns the PNG files of a folder by their names without the suffix, sorted.

    Raises:
        FileNotFoundError: If there is no such folder, or no PNG in it.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.[pP][nN][gG]"))}
    if not files:
        raise FileNotFoundError(f"{folder} must be a folder of PNG files. Received: none in it")
    return files


def mask_from_colours(mask_rgb: np.ndarray, *, name: str = "mask") -> np.ndarray:
    """Returns the class ids of a mask picture painted in exactly `MASK_COLOURS`.

    Args:
        mask_rgb: uint8 RGB, shape (H, W, 3).
        name: File name or id for the error messages.

    Returns:
        uint8, shape (H, W): 0 background, 1 ischaemia, 2 haemorrhage.

    Raises:
        ValueError: If the array is not of that shape and type, or holds any other colour.
    """
    check_rgb(mask_rgb, name=name)
    mask = np.zeros(mask_rgb.shape[:2], np.uint8)
    painted = np.flatnonzero(mask_rgb.reshape(len(mask_rgb), -1).max(axis=1))  # rows, few as a rule
    if not painted.size:
        return mask
    rows = slice(painted[0], painted[-1] + 1)
    # Each is 255, which has the bits of any class id, where its colour is.
    found = {kind: _is_colour(mask_rgb[rows], MASK_COLOURS[kind]) for kind in LESION_CLASSES}
    black = _is_colour(mask_rgb[rows], (0, 0, 0))
    if sum(map(cv2.countNonZero, (black, *found.values()))) < black.size:
        codes = _colour_codes(mask_rgb)
        known = np.isin(codes, [0, *map(_code_of, LESION_CLASSES)])
        unknown = np.unique(codes[~known])
        first = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in unknown[:3]]
        raise ValueError(
            f"{name}: mask colours must be {list(MASK_COLOURS.values())}. Received: "
            f"{unknown.size} other colours on {np.sum(~known)} pixels, first {first}"
        )
    for kind, where in found.items():
        mask[rows] |= where & np.uint8(kind)
    return mask


def mask_from_values(
    grey: np.ndarray, values: Iterable[tuple[int, StrokeType]], *, name: str = "mask"
) -> np.ndarray:
    """Returns the class ids of a mask whose values stand for classes; 0 is background.

    Args:
        grey: Whole numbers, shape (H, W).
        values: Each value with its class.
        name: File name or id for the error messages.

    Returns:
        uint8, shape (H, W): 0 background, 1 ischaemia, 2 haemorrhage.

    Raises:
        ValueError: If it holds any other value.
    """
    mask, known = np.zeros(grey.shape, np.uint8), grey == 0
    for value, kind in values:
        mask[grey == value] = kind
        known |= grey == value
    if not known.all():
        stated = {value: kind.name for value, kind in values}
        unknown = np.unique(grey[~known])[:5].tolist()
        raise ValueError(f"{name}: mask values must be 0 or of {stated}. Received: {unknown}")
    return mask


def is_coloured(rgb: np.ndarray) -> bool:
    """Returns whether any pixel of a uint8 RGB picture of shape (H, W, 3) is not grey."""
    return bool((rgb[..., :1] != rgb[..., 1:]).any())


def _is_colour(rgb: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.asarray(cv2.inRange(rgb, colour, colour), np.uint8)


def _code_of(stroke_type: StrokeType) -> int:
    return int(_colour_codes(np.array(MASK_COLOURS[stroke_type], np.uint8)))


def paint_overlay(picture: np.ndarray, lesion: np.ndarray, stroke_type: StrokeType) -> np.ndarray:
    """Returns a picture with a lesion drawn in as the organisers do.

    Args:
        picture: uint8 RGBA, shape (H, W, 4).
        lesion: bool, shape (H, W).
        stroke_type: ISCHEMIA or HEMORRHAGE.

    Returns:
        uint8 RGBA, shape (H, W, 4): inside the lesion red over the picture; on the lesion's
        outermost pixels (3 x 3 neighbourhood) a border, half of it in the mask colour and half,
        every second pixel here, in the mean of that and red.
    """
    overlay, red = picture.copy(), np.array([255, 0, 0, 255])
    opacity = _RED_OPACITY[stroke_type]
    overlay[lesion] = ((1 - opacity) * picture[lesion] + opacity * red).astype(np.uint8)
    inside = cv2.erode(lesion.astype(np.uint8), _THREE_BY_THREE)
    rows, columns = np.nonzero(lesion & (inside == 0))
    colour = np.array([*MASK_COLOURS[stroke_type], 255])
    second = (rows + columns) % 2 == 1
    overlay[rows, columns] = np.where(second[:, None], (colour + red + [1, 0, 0, 0]) // 2, colour)
    return overlay


def check_rgb(array: np.ndarray, *, name: str) -> None:
    """Raises ValueError, naming the picture, if an array is not uint8 RGB of shape (H, W, 3)."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            f"{name}: must be uint8 RGB of shape (H, W, 3). Received: {array.dtype} {array.shape}"
        )


def _colour_codes(rgb: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb[..., channel].astype(np.int32) for channel in range(3))
    return red << 16 | green << 8 | blue
