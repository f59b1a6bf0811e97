"""Tiny folders of records, written with the record contract itself."""

import csv
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.labels import StrokeType
from stroke_tf.manifest import FOLDS_NAME, MANIFEST_NAME, Fold, FoldRow, Manifest, Shard
from stroke_tf.records import HU_OFFSET, STAGE_FOLDS, Record, encode_record

SIZE = 16
FOLD_NAMES = {number: name for name, number in STAGE_FOLDS.items()}


def png(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array)[1].tobytes()


def make_record(
    name: str, fold: int, stroke_type: StrokeType, image: np.ndarray, mask: np.ndarray | None
) -> Record:
    return Record(
        image=png(image),
        mask=b"" if mask is None else png(mask),
        stroke_type=int(stroke_type),
        source_id=name,
        group_id=f"group-{name}",
        fold=fold,
        copy=0,
        source="test",
        pixels="gray8" if image.dtype == np.uint8 else "hu16",
        height=SIZE,
        width=SIZE + 1,
    )


def row_of(record: Record) -> FoldRow:
    return FoldRow(
        source_id=record.source_id,
        group_id=record.group_id,
        stroke_type=StrokeType(record.stroke_type).name,
        fold=str(FOLD_NAMES.get(record.fold, record.fold)),
        has_mask=int(bool(record.mask)),
        width=record.width,
        height=record.height,
        file=f"{record.source_id}.png",
        copy=record.copy,
    )


def write_folder(
    folder: Path, records: list[Record], *, compression: str = "zlib", size: int = SIZE
) -> Path:
    """Writes records, given fold by fold, two shards for each fold."""
    folder.mkdir(parents=True, exist_ok=True)
    folds = []
    for fold in dict.fromkeys(record.fold for record in records):
        name = FOLD_NAMES.get(fold, f"fold-{fold:02}")
        mine = [record for record in records if record.fold == fold]
        half = -(-len(mine) // 2)
        shards = []
        for number, part in enumerate((mine[:half], mine[half:])):
            path = folder / f"{name}-{number:05}-of-00002.tfrecord"
            options = tf.io.TFRecordOptions("ZLIB" if compression == "zlib" else "")
            with tf.io.TFRecordWriter(str(path), options) as writer:
                for record in part:
                    writer.write(encode_record(record))
            data = path.read_bytes()
            shards.append(Shard(path.name, len(part), len(data), hashlib.sha256(data).hexdigest()))
        folds.append(Fold(FOLD_NAMES.get(fold, fold), len(mine), _classes(mine), tuple(shards)))
    with (folder / FOLDS_NAME).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in dataclasses.fields(FoldRow)])
        writer.writerows(dataclasses.astuple(row_of(record)) for record in records)
    pixels = {record.pixels for record in records}
    manifest = Manifest(
        protocol="clean",
        seed=0,
        size=size,
        layout="test",
        compression=compression,
        pixels=pixels.pop() if len(pixels) == 1 else "mixed",
        grouping="patient",
        augmented="none",
        source_sha256="",
        records=len(records),
        classes=_classes(records),
        folds=tuple(folds),
        rejected=(),
    )
    (folder / MANIFEST_NAME).write_text(manifest.to_json())
    return folder


def _classes(records: list[Record]) -> dict[str, int]:
    counts = Counter(record.stroke_type for record in records)
    return {stroke_type.name: counts[stroke_type] for stroke_type in StrokeType}


def gray_image(number: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (size, size), np.uint8)


def hu_image(number: int, size: int = SIZE) -> np.ndarray:
    hu = np.random.default_rng(number).integers(-1000, 1500, (size, size))
    return (hu + HU_OFFSET).astype(np.uint16)


def lesion_mask(class_id: int, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 8 : size // 2] = class_id
    return mask


def some_records() -> list[Record]:
    """Folds 0 to 2 with five slices each, fold 3 without a lesion, and a stage with one stroke."""
    none, ischemia, hemorrhage, unknown = StrokeType
    records = []
    for fold in range(3):
        slices = [
            (none, None),
            (ischemia, lesion_mask(1)),
            (hemorrhage, lesion_mask(2)),
            (hemorrhage, None),
            (none, lesion_mask(0)),
        ]
        for place, (stroke_type, mask) in enumerate(slices):
            number = 10 * fold + place
            records.append(make_record(f"s{number}", fold, stroke_type, gray_image(number), mask))
    records += [make_record(f"s{30 + i}", 3, none, gray_image(30 + i), None) for i in range(3)]
    records.append(make_record("s40", -1, unknown, gray_image(40), None))
    return records


# The functions above as fixtures, since test modules do not import from here.


@pytest.fixture(scope="session", name="write_records")
def _write_records() -> Callable[..., Path]:
    return write_folder


@pytest.fixture(scope="session", name="some_records")
def _some_records() -> list[Record]:
    return some_records()


@pytest.fixture(scope="session", name="make_record")
def _make_record() -> Callable[..., Record]:
    return make_record


@pytest.fixture(scope="session", name="gray_image")
def _gray_image() -> Callable[..., np.ndarray]:
    return gray_image


@pytest.fixture(scope="session", name="hu_image")
def _hu_image() -> Callable[..., np.ndarray]:
    return hu_image


@pytest.fixture(scope="session", name="lesion_mask")
def _lesion_mask() -> Callable[..., np.ndarray]:
    return lesion_mask


@pytest.fixture(scope="session")
def gray_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """8-bit slices s<number> whose pixels are those of `gray_image(number)`."""
    return write_folder(tmp_path_factory.mktemp("gray"), some_records())


@pytest.fixture(scope="session")
def mixed_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold 0: an HU slice `hu_image(0)` and an 8-bit slice; fold 1: the HU slice `hu_image(2)`."""
    none, hemorrhage = StrokeType.NONE, StrokeType.HEMORRHAGE
    records = [
        make_record("s0", 0, none, hu_image(0), None),
        make_record("s1", 0, hemorrhage, gray_image(1), lesion_mask(2)),
        make_record("s2", 1, none, hu_image(2), None),
    ]
    return write_folder(tmp_path_factory.mktemp("mixed"), records)


@pytest.fixture(scope="session")
def series_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold 0: slices p-9, p-10 and p-11 of one patient and q-1, of `gray_image` 1, 2, 3 and 4."""
    return write_folder(tmp_path_factory.mktemp("series"), _series(gray_image))


@pytest.fixture(scope="session")
def series_hu_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in HU, of `hu_image`."""
    return write_folder(tmp_path_factory.mktemp("series-hu"), _series(hu_image))


def _series(image: Callable[[int], np.ndarray]) -> list[Record]:
    names = {"p-10": 2, "p-11": 3, "p-9": 1, "q-1": 4}  # as ids are sorted in a shard
    none = StrokeType.NONE
    records = [make_record(name, 0, none, image(number), None) for name, number in names.items()]
    return [dataclasses.replace(record, group_id=record.source_id[0]) for record in records]
