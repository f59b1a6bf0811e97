"""The first pass of a conversion: reads and checks slices, and spools the contents of records.

Folds can be dealt only when all slices are known, and decoding is most of the work. So each slice
is decoded once: worker processes write the encoded images and masks of a chunk of slices to one
spool file, and beside it an index, last and by renaming. A chunk with an index is finished: a rerun
after a kill skips it.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from data_tools.offline_copies import augmented_copies, copies_of
from data_tools.options import Conversion
from data_tools.scan import SliceFiles
from data_tools.slices import Reading, Slice, read_slices, unlabelled
from stroke_tf.files import read_json, replacing, write_text
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import Rejected
from stroke_tf.reading.pictures import encode_png
from stroke_tf.records import HU_OFFSET, Pixels
from stroke_tf.square import fit_mask, fit_square

CHUNK_SLICES = 32
ENCODING_VERSION = 4
"""Increased when equal sources give other records; older conversions are then not continued."""


@dataclass(frozen=True)
class ChunkTask:
    """One chunk to spool: where from, where to, its number and slices, how to read and encode."""

    root: Path
    folder: Path
    number: int
    slices: tuple[SliceFiles, ...]
    reading: Reading
    config: Conversion


@dataclass(frozen=True, slots=True)
class SpooledRecord:
    """Where one record's image and mask lie: chunk number, first byte and both lengths."""

    chunk: int
    offset: int
    image_bytes: int
    mask_bytes: int


@dataclass(frozen=True, slots=True)
class SpooledSlice:
    """One slice of the spool; `records` holds the slice itself and then its copies."""

    source_id: str
    stroke_type: int
    stage: str | None
    file: str
    height: int
    width: int
    pixels: Pixels
    patient: str | None
    patient_given: bool
    dhash: bytes
    turned: bytes | None
    coloured: bool
    spacing_mm: str
    repair: str
    records: tuple[SpooledRecord, ...]


def spool_chunk(task: ChunkTask) -> int:
    """Spools one chunk, unless it is finished already; returns its number of slices."""
    index = _path(task.folder, task.number, "json")
    if index.exists():
        return len(task.slices)
    slices: list[dict[str, Any]] = []
    faults: list[Rejected] = []
    path = _path(task.folder, task.number, "spool")
    with replacing(path, sync=True) as temporary, temporary.open("wb") as spool:
        for files in task.slices:
            for source_id, read in read_slices(task.root, files, task.reading):
                if not isinstance(read, Slice):
                    faults.extend(read)
                elif read.stroke_type is None:
                    faults.append(unlabelled(files))
                else:
                    this = replace(files, source_id=source_id)
                    slices.append(_spool_slice(spool, this, read, task.config))
    text = json.dumps({"slices": slices, "faults": [astuple(fault) for fault in faults]})
    write_text(index, text)
    return len(task.slices)


def read_index(
    folder: Path, number: int, digest: hashlib._Hash
) -> tuple[list[SpooledSlice], list[Rejected]]:
    """Returns the slices and faults of a finished chunk.

    The digest is updated with the slices' ids and the SHA-256 of their files.
    """
    values = read_json(_path(folder, number, "json"))
    slices, offset = [], 0
    for value in values["slices"]:
        records = []
        for image_bytes, mask_bytes in value.pop("lengths"):
            records.append(SpooledRecord(number, offset, image_bytes, mask_bytes))
            offset += image_bytes + mask_bytes
        digest.update(f"{value['source_id']}\t{value['stage']}\t{value.pop('sha256')}\n".encode())
        for name in ("dhash", "turned"):
            value[name] = value[name] and bytes.fromhex(value[name])
        for name in ("stage", "pixels", "patient", "repair"):  # few different values, many slices
            value[name] = value[name] and sys.intern(value[name])
        slices.append(SpooledSlice(**value, records=tuple(records)))
    return slices, [Rejected(*fault) for fault in values["faults"]]


def read_spooled(folder: Path, record: SpooledRecord) -> tuple[bytes, bytes]:
    """Returns the image and mask bytes of one record."""
    with _path(folder, record.chunk, "spool").open("rb") as spool:
        spool.seek(record.offset)
        return spool.read(record.image_bytes), spool.read(record.mask_bytes)


def _spool_slice(
    spool: BinaryIO, files: SliceFiles, read: Slice, config: Conversion
) -> dict[str, Any]:
    label = StrokeType(read.stroke_type or 0)
    lengths = [
        [spool.write(image), spool.write(mask)]
        for image, mask in _encoded(files.source_id, label, read, config)
    ]
    return {
        "source_id": files.source_id,
        "stroke_type": int(label),
        "stage": files.stage,
        "file": files.first,
        "height": read.image.shape[0],
        "width": read.image.shape[1],
        "pixels": read.pixels,
        "patient": read.patient,
        "patient_given": files.patient is not None,
        "dhash": read.dhash.hex(),
        "turned": read.turned and read.turned.hex(),
        "coloured": read.coloured,
        "spacing_mm": "x".join(f"{length:.6g}" for length in read.spacing_mm),
        "repair": read.repair,
        "sha256": read.sha256,
        "lengths": lengths,
    }


def _encoded(
    source_id: str, label: StrokeType, read: Slice, config: Conversion
) -> list[tuple[bytes, bytes]]:
    """Returns image and mask bytes of the slice and then of its copies."""
    image, mask = fit_square(read.image, size=config.size), None
    if read.mask is not None:
        mask = fit_mask(read.mask, size=config.size)
    # Encoded anew even where the source is a grey PNG of this size: its chunks may name a patient.
    if read.pixels == "hu16":
        stored = (image.astype(np.int32) + HU_OFFSET).astype(np.uint16)
        pairs = [(stored, mask)]
    else:
        count = copies_of(label, copies_for=config.copies)
        copies = augmented_copies(image, mask, count=count, source_id=source_id, seed=config.seed)
        pairs = [(image, mask), *copies]
    return [
        (encode_png(picture), b"" if of_it is None else encode_png(of_it))
        for picture, of_it in pairs
    ]


def _path(folder: Path, number: int, kind: Literal["spool", "json"]) -> Path:
    return folder / f"chunk-{number:06d}.{kind}"
