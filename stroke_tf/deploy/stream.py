"""Slices through a model: files are read and written by threads beside it, a few at a time.

Memory does not grow with the number of slices, as long as the model takes them one by one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from stroke_tf.deploy.outputs import SliceRow, lesion_areas, write_slice
from stroke_tf.deploy.prediction_folder import Portion
from stroke_tf.reading.inputs import InputSlice, PixelSlice

if TYPE_CHECKING:
    from stroke_tf.deploy.model import SlicePrediction, StrokeModel

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

KEEP_GOING = "--keep-going goes on without what cannot be read"
_AHEAD = 16  # slices read but not seen, and slices seen but not written
_WRITERS = 2


@dataclass
class Stream:
    """A model at work on slices.

    Args:
        model: The model.
        out: Folder of the prediction.
        batch_size: Slices in a batch.
        overlays: Whether overlays are written.
        keep_going: Whether a slice that cannot be read becomes a row with its fault.
        told: Called after each slice.
    """

    model: StrokeModel
    out: Path
    batch_size: int = 8
    overlays: bool = True
    keep_going: bool = False
    told: Callable[[], None] = lambda: None
    _reader: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), init=False)
    _writer: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_WRITERS), init=False
    )

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(cancel_futures=True)
        self._writer.shutdown()

    def run(self, portion: Portion) -> list[SliceRow]:
        """Predicts and writes the slices of a portion; returns a row for each, in order.

        Raises:
            ValueError: If a slice cannot be read, unless `keep_going`.
            OSError: If a file cannot be written.
        """
        rows: dict[int, SliceRow] = {}
        read: deque[tuple[int, PixelSlice]] = deque()
        predictions = self.model.predict(
            self._images(portion, read, rows), series=portion.whole, batch_size=self.batch_size
        )
        writing: deque[Future[None]] = deque()
        for prediction in predictions:
            place, seen = read.popleft()
            row = _row(portion, place, **_found(seen, prediction))
            rows[place] = row
            writing.append(
                self._writer.submit(
                    write_slice,
                    self.out,
                    row,
                    seen.pixels,
                    prediction.mask,
                    overlays=self.overlays,
                )
            )
            if len(writing) > _AHEAD:
                writing.popleft().result()
            self.told()
        for written in writing:
            written.result()
        return [rows[place] for place in range(len(portion.slices))]

    def time(self, slices: Iterable[InputSlice]) -> float:
        """Returns the seconds a slice takes, from some slices that are predicted, not written."""
        started = time.perf_counter()
        images = (seen.pixels for seen in self._pixels(slices) if isinstance(seen, PixelSlice))
        count = sum(1 for _ in self.model.predict(images, batch_size=self.batch_size))
        return (time.perf_counter() - started) / max(count, 1)

    def _pixels(self, slices: Iterable[InputSlice]) -> Iterator[PixelSlice | ValueError]:
        """Yields the pixels of each slice, or the error why it cannot be predicted."""
        yield from _ahead(self._reader, self._read, slices)

    def _images(
        self,
        portion: Portion,
        read: deque[tuple[int, PixelSlice]],
        rows: dict[int, SliceRow],
    ) -> Iterator[np.ndarray]:
        for place, seen in enumerate(self._pixels(portion.slices)):
            if isinstance(seen, PixelSlice):
                read.append((place, seen))
                yield seen.pixels
            elif self.keep_going:
                fault = str(seen).removeprefix(f"{portion.slices[place].name}: ")
                rows[place] = _row(portion, place, fault=fault)
                self.told()
            else:
                raise ValueError(f"{seen}\n{KEEP_GOING}") from seen

    def _read(self, one: InputSlice) -> PixelSlice | ValueError:
        try:
            seen = one.read()
        except ValueError as error:
            return error
        if seen.pixels.dtype == np.uint8 and self.model.description.pixels == "hu16":
            return ValueError(
                f"{one.name}: must be in HU, for a model trained on HU. Received: 8-bit grey"
            )
        return seen


def _ahead(
    pool: ThreadPoolExecutor, function: Callable[[_Item], _Result], items: Iterable[_Item]
) -> Iterator[_Result]:
    """Yields a function's result for each item, in order; a few are computed ahead."""
    waiting: deque[Future[_Result]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _row(portion: Portion, place: int, **found: Any) -> SliceRow:
    one = portion.slices[place]
    series, stem = portion.series.name, portion.stems[place]
    return SliceRow(file=one.name, series=series, stem=stem, position_mm=one.position_mm, **found)


def _found(seen: PixelSlice, prediction: SlicePrediction) -> dict[str, Any]:
    mask = prediction.mask
    pixels, mm2 = lesion_areas(mask, seen.spacing_mm) if mask is not None else ({}, {})
    return {
        "scores": prediction.scores,
        "spread": prediction.spread,
        "positive": prediction.positive,
        "lesion_px": pixels,
        "lesion_mm2": mm2,
        "note": seen.repair,
    }
