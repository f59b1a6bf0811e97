"""Masks as PNG files named by the id of their slice, painted in `MASK_COLOURS`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data_tools.overlays import MASK_COLOURS, mask_from_colours
from data_tools.pictures import decode_colours
from stroke_tf.labels import MASK_CLASSES
from stroke_tf.reporting.runs import replacing

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
    _, data = cv2.imencode(".png", cv2.cvtColor(_PALETTE[mask], cv2.COLOR_RGB2BGR))
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


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
