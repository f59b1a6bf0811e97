"""The folder of a prediction: whose it is, and which of its slices are done.

Slices are done in portions, each kept whole or not at all, so that a killed prediction goes on.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stroke_tf.deploy.outputs import KINDS, SliceRow, stems_of
from stroke_tf.files import flat, plain, read_json, write_json
from stroke_tf.reading.archives import archive_of
from stroke_tf.reading.inputs import InputSlice, Series

DONE_NAME = "done.json"
PORTION = 64
"""Slices that are kept together, where a model does not need a whole series."""

_IDENTITY_NAME = "prediction.json"
_PORTIONS_NAME = ".portions"
_LOCK_NAME = ".lock"


@dataclass(frozen=True)
class Portion:
    """Slices that are predicted together.

    Attributes:
        series: Their series.
        start: Place of the first in it.
        slices: The slices.
        stems: Name of the files of each.
        whole: Whether it is a series whose slices the model must see in their order.
    """

    series: Series
    start: int
    slices: tuple[InputSlice, ...]
    stems: tuple[str, ...]
    whole: bool


def portions_of(series: Series, *, needs_order: bool) -> Iterator[Portion]:
    """Yields a series whole where a model needs the order of slices, else in equal portions."""
    count = len(series.slices)
    whole = needs_order and series.is_series
    stems = stems_of([slice_.name for slice_ in series.slices], is_series=series.is_series)
    step = count if whole else PORTION
    for start in range(0, count, step):
        part = slice(start, start + step)
        yield Portion(series, start, series.slices[part], tuple(stems[part]), whole)


class PredictionFolder:
    """A folder for one prediction, new or begun by the same model with the same settings.

    Args:
        out: The folder.
        identity: All that decides what is written, inputs aside.

    Raises:
        FileExistsError: If it holds something else.
        ValueError: If it holds a prediction of another model or other settings.
    """

    def __init__(self, out: Path, identity: Mapping[str, Any]) -> None:
        self.out = out
        path = out / _IDENTITY_NAME
        identity = plain(identity)
        if path.exists():
            _check_same(path, identity)
        elif others := sorted(entry.name for entry in out.iterdir() if entry.name != _LOCK_NAME):
            raise FileExistsError(
                f"{out} must be new, empty or of the same prediction. Received: a folder with "
                f"{others[0]}"
            )
        write_json(path, identity)
        (out / DONE_NAME).unlink(missing_ok=True)

    def rows_of(self, portion: Portion) -> list[SliceRow] | None:
        """Returns the rows of a portion that is done, for files that have not changed since."""
        path = self._path(portion)
        if not path.is_file():
            return None
        kept = read_json(path)
        if kept["of"] != _fingerprint(portion):
            return None
        return [SliceRow(**row) for row in kept["rows"]]

    def keep(self, portion: Portion, rows: Sequence[SliceRow]) -> None:
        """Keeps the rows of a portion, unless one of them is a fault, which is tried again."""
        if not any(row.fault for row in rows):
            told = [dataclasses.asdict(row) for row in rows]
            write_json(self._path(portion), {"of": _fingerprint(portion), "rows": told})

    def sweep(self, rows: Sequence[SliceRow]) -> None:
        """Deletes the pictures of slices that are there no more, and files left by a killed run."""
        kept = {self.out / row.path(kind) for row in rows for kind in KINDS}
        for kind in KINDS:
            for path in self.out.glob(f"series-*/{kind}/*"):
                if path not in kept:
                    path.unlink()
        series = {row.series for row in rows}
        for folder in self.out.glob("series-*/dicom"):
            if folder.parent.name not in series:
                shutil.rmtree(folder)

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Marks the prediction as done, with its summary."""
        write_json(self.out / DONE_NAME, summary)

    def _path(self, portion: Portion) -> Path:
        return self.out / _PORTIONS_NAME / f"{portion.series.name}-{portion.start:06d}.json"


def _check_same(path: Path, identity: Mapping[str, Any]) -> None:
    ours, theirs = flat(identity), flat(read_json(path))
    differing = [
        f"{name} {json.dumps(ours.get(name))}, there {json.dumps(theirs.get(name))}"
        for name in {**ours, **theirs}
        if ours.get(name) != theirs.get(name)
    ]
    if differing:
        raise ValueError(
            f"{path.parent} must be new or of the same prediction. Received: {'; '.join(differing)}"
        )


def _fingerprint(portion: Portion) -> str:
    """Returns a fingerprint of a portion: it changes when one of the files does."""
    files = [
        (one.name, stem, *_stamp(archive_of(one.path) or one.path))
        for one, stem in zip(portion.slices, portion.stems, strict=True)
    ]
    return hashlib.sha256(json.dumps([portion.whole, files]).encode()).hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    if not path.is_file():
        return 0, 0  # gone since it was found: a fault when it is read
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
