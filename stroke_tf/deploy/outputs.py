"""The output for each slice: pictures, a row of the table, and the mask to read again.

Files are named after the slice: by its number in a series, by its own name among loose pictures.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stroke_tf.deploy.volumes import CLASS_NAMES
from stroke_tf.files import write_bytes, write_text
from stroke_tf.labels import LESION_CLASSES
from stroke_tf.reading.hu_values import grey_view
from stroke_tf.reading.mask_pictures import paint_overlay, read_mask, write_mask
from stroke_tf.reading.pictures import encode_png

LESIONS = tuple(CLASS_NAMES.values())

KINDS = ("pictures", "masks", "overlays")
"""Folders of the pictures of a series."""

_SUFFIX = re.compile(r"\.(png|jpe?g|bmp|tiff?|webp|dcm)(?=#|$)", re.IGNORECASE)
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 90)


@dataclass(frozen=True, kw_only=True)
class SliceRow:
    """The results of one slice.

    Attributes:
        file: Its name, as the input has it.
        series: Name of its series.
        stem: Name of the files written for it.
        position_mm: Its place along the normal of its series.
        scores: The model's scores; empty for one that only draws masks.
        spread: Standard deviation over the networks of an ensemble.
        positive: Whether its score reaches the threshold; None where there is none.
        lesion_px: Pixels of each class of lesion; empty where the model draws no masks.
        lesion_mm2: The same in square millimetres; empty without masks or spacing.
        note: How it was read otherwise than its header says.
        fault: Why there is no prediction.
    """

    file: str
    series: str
    stem: str
    position_mm: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    positive: bool | None = None
    lesion_px: Mapping[str, int] = field(default_factory=dict)
    lesion_mm2: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    fault: str = ""

    @property
    def matters(self) -> bool:
        """Whether it is positive or has a lesion."""
        return bool(self.positive) or any(self.lesion_px.values())

    def path(self, kind: str) -> str:
        """Returns where its file of a kind lies, relative to the folder of the prediction."""
        return f"{self.series}/{kind}/{self.stem}{'.jpg' if kind == 'pictures' else '.png'}"


class WrittenMasks(Sequence[NDArray[np.uint8] | None]):
    """The masks of a series, each read from its file when it is asked for.

    A slice that could not be read has None.
    """

    def __init__(self, out: Path, rows: Sequence[SliceRow]) -> None:
        self._paths = [None if row.fault else out / row.path("masks") for row in rows]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        path = self._paths[place]
        return None if path is None else read_mask(path)


def stems_of(names: Sequence[str], *, is_series: bool) -> list[str]:
    """Returns a file name without suffix for each slice: safe, and no two alike."""
    if is_series:
        return [f"{place:04d}" for place in range(1, len(names) + 1)]
    plain = [re.sub(r"[^\w.-]", "_", _SUFFIX.sub("", name.rpartition("/")[2])) for name in names]
    times = Counter(stem.casefold() for stem in plain)
    return [
        f"{place:04d}-{stem}" if times[stem.casefold()] > 1 or stem.startswith(".") else stem
        for place, stem in enumerate(plain, 1)
    ]


def write_slice(
    out: Path,
    row: SliceRow,
    pixels: NDArray[np.uint8] | NDArray[np.int16],
    mask: NDArray[np.uint8] | None,
    *,
    overlays: bool,
) -> None:
    """Writes the pictures of a slice: as it is shown, its mask, and the lesion painted in.

    Args:
        out: Folder of the prediction.
        row: The slice.
        pixels: uint8 grey or int16 HU, shape (H, W).
        mask: Class ids, uint8, shape (H, W); None where the model draws none.
        overlays: Whether to write the overlay.
    """
    grey = grey_view(pixels)
    write_bytes(out / row.path("pictures"), cv2.imencode(".jpg", grey, _JPEG)[1].tobytes())
    if mask is None:
        return
    write_mask(out / row.path("masks"), mask)
    if overlays:
        painted = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGBA)
        for kind in LESION_CLASSES:
            if row.lesion_px[CLASS_NAMES[kind]]:
                painted = paint_overlay(painted, mask == kind, kind)
        write_bytes(out / row.path("overlays"), encode_png(np.asarray(painted[..., :3], np.uint8)))


def lesion_areas(
    mask: NDArray[np.uint8], spacing_mm: Sequence[float]
) -> tuple[dict[str, int], dict[str, float]]:
    """Returns the pixels of each class of lesion, and the same in mm2, empty without spacing."""
    counts = np.bincount(mask.ravel(), minlength=1 + len(LESIONS))
    pixels = {name: int(counts[kind]) for name, kind in zip(LESIONS, LESION_CLASSES, strict=True)}
    if not spacing_mm:
        return pixels, {}
    each = spacing_mm[0] * spacing_mm[1]
    return pixels, {name: round(count * each, 2) for name, count in pixels.items()}


def write_predictions(path: Path, rows: Sequence[SliceRow]) -> None:
    """Writes predictions.csv: a line for each slice, those without a prediction too."""
    scores = _keys(row.scores for row in rows)
    spreads = _keys(row.spread for row in rows)
    names = (
        *("file", "series", "slice", "position_mm"),
        *scores,
        *(f"{name}_spread" for name in spreads),
        *("positive", *(f"{name}_px" for name in LESIONS), *(f"{name}_mm2" for name in LESIONS)),
        *("note", "fault"),
    )
    write_csv(path, names, (_cells(row, scores, spreads) for row in rows))


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """Writes a table as CSV; what is None stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([_cell(value) for value in row] for row in rows)
    write_text(path, text.getvalue())


def _cells(row: SliceRow, scores: Sequence[str], spreads: Sequence[str]) -> Iterator[object]:
    yield from (row.file, row.series, row.stem, row.position_mm)
    yield from (row.scores.get(name) for name in scores)
    yield from (row.spread.get(name) for name in spreads)
    yield row.positive
    yield from (row.lesion_px.get(name) for name in LESIONS)
    yield from (row.lesion_mm2.get(name) for name in LESIONS)
    yield from (row.note, row.fault)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _keys(mappings: Iterable[Mapping[str, float]]) -> list[str]:
    return list(dict.fromkeys(name for one in mappings for name in one))
