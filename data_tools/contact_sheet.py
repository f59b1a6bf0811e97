"""Draws what a folder of slices looks like: a row of slices for each class, lesions outlined."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from data_tools.scan import SliceFiles
from data_tools.slices import Reading, Slice, read_slices
from data_tools.sources import Source
from stroke_tf.reading.hu_values import grey_view
from stroke_tf.reading.mask_pictures import MASK_COLOURS
from stroke_tf.square import fit_mask, fit_square

_SIDE = 150
_GAP = 4
_COLUMNS = 8


def contact_sheet(source: Source, source_ids: Sequence[str], reading: Reading) -> np.ndarray:
    """Draws up to 16 of the named slices, evenly picked, lesions outlined in the mask colours.

    All must be readable. The picture is uint8 BGR, shape (H, W, 3).
    """
    files = {slice_.source_id: slice_ for slice_ in source.slices}
    count = min(2 * _COLUMNS, len(source_ids))
    picked = np.unique(np.linspace(0, len(source_ids) - 1, count).round().astype(int))
    tiles = [_thumbnail(source, files, source_ids[index], reading) for index in picked]
    width = min(_COLUMNS, len(tiles))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % width)
    lines = [np.hstack(tiles[start : start + width]) for start in range(0, len(tiles), width)]
    return np.vstack(lines)


def _thumbnail(
    source: Source, files: dict[str, SliceFiles], source_id: str, reading: Reading
) -> np.ndarray:
    parts = files.get(source_id) or files[source_id.rpartition("#")[0]]  # a frame
    slices = read_slices(source.root, parts, reading)
    read = next(read for name, read in slices if name == source_id)
    if not isinstance(read, Slice):
        raise ValueError(f"{source_id}: must be readable. Received: {read[0].reason}")
    tile = cv2.cvtColor(fit_square(grey_view(read.image), size=_SIDE), cv2.COLOR_GRAY2BGR)
    if read.mask is not None:
        mask = fit_mask(read.mask, size=_SIDE)
        for kind, colour in MASK_COLOURS.items():
            outline, _ = cv2.findContours(
                (mask == kind).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(tile, outline, -1, colour[::-1], 1)
    white = (255, 255, 255)
    return cv2.copyMakeBorder(tile, _GAP, _GAP, _GAP, _GAP, cv2.BORDER_CONSTANT, value=white)
