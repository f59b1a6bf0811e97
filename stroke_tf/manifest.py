"""The manifest: what a folder of records holds.

Written by the converter, read by everything else.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stroke_tf.files import read_fields
from stroke_tf.records import SCHEMA_VERSION, STAGE_FOLDS, Pixels
from stroke_tf.text_tables import csv_text

MANIFEST_NAME = "manifest.json"
FOLDS_NAME = "folds.csv"
FOLDS = 10

Protocol = Literal["clean", "as-published"]
FoldName = int | str  # 0 to 9, or a `Stage`
Compression = Literal["zlib", "none"]
"""Compression of the TFRecord files."""


@dataclass(frozen=True)
class Shard:
    """One TFRecord file: its name, number of records, bytes and SHA-256."""

    name: str
    records: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Fold:
    """One fold: its name, number of records, records per class and shards."""

    fold: FoldName
    records: int
    classes: dict[str, int]
    shards: tuple[Shard, ...]


@dataclass(frozen=True)
class Rejected:
    """One file that was left out.

    Attributes:
        file: Its path relative to the input folder.
        reason: The rule it broke.
        is_fault: False for a sound file that is no slice, such as a scout beside a series.
    """

    file: str
    reason: str
    is_fault: bool = True


@dataclass(frozen=True)
class Manifest:
    """The content of a folder of records.

    Attributes:
        protocol: `clean` (groups stay in one fold) or `as-published` (slice-level folds).
        seed: Seed of the folds and of copies augmented before folding.
        size: Side of every stored slice in pixels.
        layout: Name of the source layout.
        compression: "zlib" or "none": the compression of the TFRecord files.
        pixels: "gray8" when all images are 8-bit, "hu16" when all hold HU, else "mixed".
        grouping: What `group_id` stands for: "patient", "near-duplicate", or both.
        augmented: Task the copies augmented before folding are for, or "none".
        source_sha256: Fingerprint of the source's names and bytes.
        records: Number of records, copies included.
        classes: Records per class name.
        folds: Folds 0 to 9 and the test sessions found.
        rejected: Files left out and why.
    """

    protocol: Protocol
    seed: int
    size: int
    layout: str
    compression: Compression
    pixels: Pixels | Literal["mixed"]
    grouping: str
    augmented: str
    source_sha256: str
    records: int
    classes: dict[str, int]
    folds: tuple[Fold, ...]
    rejected: tuple[Rejected, ...]
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Returns the manifest as JSON text that ends with a newline."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @property
    def knows_series(self) -> bool:
        """Whether groups are patients, and the series of each is whole in a fold."""
        return self.grouping == "patient" and self.protocol == "clean"

    def facts(self) -> dict[str, Any]:
        """Returns the facts on these records that a model trained on them keeps."""
        told = ("layout", "pixels", "size", "grouping", "augmented", "records", "classes")
        return {name: getattr(self, name) for name in told}


@dataclass(frozen=True)
class FoldRow:
    """One line of folds.csv: one record.

    `spacing_mm` is the distance of rows, columns and slices, such as 0.5x0.5x5, before a resize;
    empty where the source does not say it.
    """

    source_id: str
    group_id: str
    stroke_type: str
    fold: str
    has_mask: int
    width: int
    height: int
    file: str
    copy: int
    spacing_mm: str = ""


def read_manifest(records: Path | str) -> Manifest:
    """Returns the manifest of a folder of records.

    Raises:
        FileNotFoundError: If the folder holds no manifest: it was not written, or not to its end.
        ValueError: If the manifest is of another schema version or lacks a key.

    Example:
        >>> from stroke_tf import read_manifest
        >>> manifest = read_manifest("records")
        >>> manifest.protocol, manifest.grouping
        ('clean', 'patient')
    """
    path = _written(Path(records) / MANIFEST_NAME)
    values = read_fields(path, Manifest, version=SCHEMA_VERSION)
    values["folds"] = tuple(
        Fold(**{**fold, "shards": tuple(Shard(**shard) for shard in fold["shards"])})
        for fold in values["folds"]
    )
    values["rejected"] = tuple(Rejected(**item) for item in values["rejected"])
    return Manifest(**values)


def _written(path: Path) -> Path:
    """Returns the path of a file that a conversion has written."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} must exist: it is written last, when all records are. "
            "Convert with `stroke-tf convert --data <folder> --out <folder>`"
        )
    return path


def read_folds(records: Path | str) -> list[FoldRow]:
    """Returns folds.csv, one row for each record, in the order of the shards.

    Raises:
        FileNotFoundError: If the folder holds no folds.csv: it was not written.
    """
    with _written(Path(records) / FOLDS_NAME).open(encoding="utf-8", newline="") as file:
        return [_fold_row(row) for row in csv.DictReader(file)]


def folds_text(rows: Iterable[FoldRow]) -> str:
    """Returns folds.csv as text."""
    names = [field.name for field in dataclasses.fields(FoldRow)]
    return csv_text([names, *map(dataclasses.astuple, rows)])


def _fold_row(row: dict[str, Any]) -> FoldRow:
    numbers = {key: int(row[key]) for key in ("has_mask", "width", "height", "copy")}
    return FoldRow(**{**row, **numbers})


def natural_key(source_id: str) -> list[str | int]:
    """Returns a key that sorts slices as they follow each other: "s-10" after "s-9"."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", source_id))]


def manifest_sha256(records: Path | str) -> str:
    """Returns the SHA-256 of manifest.json: it names the data a run was trained on."""
    return hashlib.sha256(_written(Path(records) / MANIFEST_NAME).read_bytes()).hexdigest()


def read_hashed_manifest(records: Path | str) -> tuple[Manifest, str]:
    """Returns the manifest of a folder of records and its SHA-256; errors as `read_manifest`."""
    return read_manifest(records), manifest_sha256(records)


def select_folds(manifest: Manifest, folds: tuple[FoldName, ...]) -> list[Fold]:
    """Returns the named folds of a manifest, in the order given.

    Raises:
        ValueError: If a fold is not in the manifest or is named twice.
    """
    known = {fold.fold: fold for fold in manifest.folds}
    wrong = [name for name in folds if name not in known]
    if wrong or len(set(folds)) != len(folds):
        raise ValueError(f"folds must be different ones of {list(known)}. Received: {list(folds)}")
    return [known[name] for name in folds]


def fold_number(name: FoldName) -> int:
    """Returns the number that records carry for a fold: 0 to 9, or that of a test session."""
    return STAGE_FOLDS[name] if isinstance(name, str) else name
