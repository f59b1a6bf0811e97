"""Shards to arrays: every slice is decoded once and kept as it is stored, one channel.

The arrays live in memory, or in a file when they would not fit. Knows nothing of windows, colours
or batches.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from stroke_tf.data.parallel import parallel_map
from stroke_tf.data.selection import check_not_empty, is_used, rows_of_folds
from stroke_tf.labels import StrokeType, Task
from stroke_tf.machine import SLICES_SHARE, available_memory
from stroke_tf.manifest import FoldName, FoldRow, Manifest, Shard, read_manifest, select_folds
from stroke_tf.records import decode_record, parse_record
from stroke_tf.square import fit_mask, fit_square

Cache = Literal["auto", "memory", "file"]
"""Where decoded slices are kept: in memory, in a file, or in a file only if they do not fit."""

_READ_BATCH = 32

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lying:
    """The unturned slices behind upright views: results for pixels are turned back onto them.

    Attributes:
        images: uint8 grey, shape (N, S, S).
        masks: uint8 class ids, shape (N, S, S, 1).
        moves: float64, shape (N, 2, 3), see `upright_heads`.
    """

    images: np.ndarray
    masks: np.ndarray
    moves: np.ndarray


@dataclass(frozen=True)
class Slices:
    """Decoded slices in the order of folds.csv.

    Attributes:
        rows: What folds.csv says of each slice.
        images: Shape (N, S, S, 1): uint8 grey values where the manifest's `pixels` is "gray8",
            else uint16: HU + 32768 where `is_hu`, grey values 0 to 255 elsewhere.
        masks: uint8 class ids, shape (N, S, S, 1), or None where they were not asked for.
        is_hu: bool, shape (N,).
        lying: The slices as they lie, where images and masks are views that were turned upright.
    """

    rows: tuple[FoldRow, ...]
    images: np.ndarray
    masks: np.ndarray | None
    is_hu: np.ndarray
    lying: Lying | None = None


def load_slices(
    records: Path | str,
    folds: tuple[FoldName, ...],
    *,
    task: Task,
    image_size: int,
    lesions_only: bool = False,
    cache: Cache = "auto",
) -> Slices:
    """Decodes the slices that a task uses, with their masks if the task is SEGMENT.

    Images and masks of another size than `image_size` are resized as a conversion does it, by
    `fit_square` and `fit_mask`. A file of the cache lies, unnamed, in the folder for temporary
    files (`TMPDIR`), and is gone when the slices are or when the process ends.

    Arguments and errors are those of `make_dataset`.
    """
    manifest = read_manifest(records)
    rows = rows_of_folds(records, folds)
    used = np.array([is_used(row, task=task, lesions_only=lesions_only) for row in rows], bool)
    check_not_empty(used.sum(), records=records, folds=folds, task=task, lesions_only=lesions_only)
    shards = [shard for fold in select_folds(manifest, folds) for shard in fold.shards]
    paths = [_existing_path(Path(records), shard) for shard in shards]
    slices = _empty_slices(
        tuple(row for row, use in zip(rows, used, strict=True) if use),
        manifest=manifest,
        with_masks=task == Task.SEGMENT,
        image_size=image_size,
        cache=cache,
    )
    try:
        _check_first_records(paths, manifest)
        _fill(slices, _decoded(paths, used, manifest=manifest, slices=slices), name=str(records))
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        changed = [
            shard.name for shard in shards if _sha256(Path(records) / shard.name) != shard.sha256
        ]
        raise ValueError(
            f"{records}: shards must hold whole records of {manifest.size} x {manifest.size} "
            f"pixels. Changed since they were written: {changed}. Received: {error.message}"
        ) from error
    return slices


def _existing_path(records: Path, shard: Shard) -> str:
    """Returns the path of a shard that is there in its full size."""
    path = records / shard.name
    if not path.is_file():
        raise FileNotFoundError(f"{path} must exist: the manifest lists it")
    if path.stat().st_size != shard.bytes:
        raise ValueError(
            f"{path} must have {shard.bytes} bytes, as in the manifest. "
            f"Received: {path.stat().st_size}"
        )
    return str(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_first_records(paths: list[str], manifest: Manifest) -> None:
    """Checks the first record of each shard in full: `parse_record` overlooks unknown keys."""
    for path in paths:
        for first in _read([path], manifest).take(1):
            decode_record(first.numpy(), name=path)


def _read(paths: list[str], manifest: Manifest) -> tf.data.Dataset:
    compression = "ZLIB" if manifest.compression == "zlib" else ""
    return tf.data.TFRecordDataset(paths, compression_type=compression, buffer_size=8 << 20)


def _empty_slices(
    rows: tuple[FoldRow, ...],
    *,
    manifest: Manifest,
    with_masks: bool,
    image_size: int,
    cache: Cache,
) -> Slices:
    dtype = np.uint8 if manifest.pixels == "gray8" else np.uint16
    shape = (len(rows), image_size, image_size, 1)
    needed = int(np.prod(shape)) * (np.dtype(dtype).itemsize + with_masks)
    place = _choose_place(cache, samples=len(rows), needed=needed)
    return Slices(
        rows=rows,
        images=empty_array(shape, dtype, place),
        masks=empty_array(shape, np.uint8, place) if with_masks else None,
        is_hu=np.empty(len(rows), bool),
    )


def _choose_place(cache: Cache, *, samples: int, needed: int) -> Cache:
    available = available_memory()
    fits = needed <= SLICES_SHARE * available
    place: Cache = cache if cache != "auto" else "memory" if fits else "file"
    _logger.info(
        "Decoding %d slices, %.2f GB, to %s: %.2f GB of memory are available",
        samples,
        needed / 1e9,
        "memory" if place == "memory" else f"a file in {tempfile.gettempdir()}",
        available / 1e9,
    )
    return place


def empty_array(shape: tuple[int, ...], dtype: type, place: Cache) -> np.ndarray:
    """Returns an array of zeros that begins at a page of memory or of an unnamed file."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if place == "memory":
        memory = mmap.mmap(-1, size)
    else:
        with tempfile.TemporaryFile() as file:  # without a name; it lives as long as its mapping
            # Reserved now: a page that a full disk cannot take would kill the process.
            os.posix_fallocate(file.fileno(), 0, size)
            memory = mmap.mmap(file.fileno(), size)
    return np.frombuffer(memory, dtype).reshape(shape)


def _decoded(
    paths: list[str], used: np.ndarray, *, manifest: Manifest, slices: Slices
) -> tf.data.Dataset:
    """Returns batches of the decoded records that are used, in the order of the shards."""
    size, dtype = manifest.size, tf.as_dtype(slices.images.dtype)
    target = slices.images.shape[1]

    @tf.autograph.experimental.do_not_convert
    def decode(serialized: tf.Tensor) -> dict[str, tf.Tensor]:
        record = parse_record(serialized)
        is_hu = record["pixels"] == "hu16"
        record["is_hu"] = is_hu
        record["has_mask"] = tf.strings.length(record["mask"]) > 0
        image = _decode_image(record.pop("image"), is_hu, dtype)
        image = tf.ensure_shape(image, (size, size, 1))
        record["image"] = _resize(image, target, fit_square)
        mask = record.pop("mask")
        if slices.masks is not None:
            mask = _decode_mask(mask, record["has_mask"], size)
            record["mask"] = _resize(mask, target, fit_mask)
        return record

    records = tf.data.Dataset.zip(_read(paths, manifest), tf.data.Dataset.from_tensor_slices(used))
    records = records.filter(lambda _, use: use).map(lambda serialized, _: serialized)
    return parallel_map(records, decode).batch(_READ_BATCH).prefetch(1)


def _decode_image(png: tf.Tensor, is_hu: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    # Read as 16 bits an 8-bit PNG would be scaled by 257.
    if dtype == tf.uint8:
        return tf.io.decode_png(png, channels=1)
    return tf.cond(
        is_hu,
        lambda: tf.io.decode_png(png, channels=1, dtype=tf.uint16),
        lambda: tf.cast(tf.io.decode_png(png, channels=1), tf.uint16),
    )


def _decode_mask(png: tf.Tensor, has_mask: tf.Tensor, size: int) -> tf.Tensor:
    mask = tf.cond(
        has_mask,
        lambda: tf.io.decode_png(png, channels=1),
        lambda: tf.zeros((size, size, 1), tf.uint8),
    )
    return tf.ensure_shape(mask, (size, size, 1))


def _resize(image: tf.Tensor, size: int, fit: Callable[..., np.ndarray]) -> tf.Tensor:
    if image.shape[0] == size:
        return image
    resized = tf.numpy_function(
        lambda pixels: fit(pixels[..., 0], size=size)[..., None],
        [image],
        image.dtype,
        stateful=False,
    )
    return tf.ensure_shape(resized, (size, size, 1))


def _fill(slices: Slices, decoded: tf.data.Dataset, *, name: str) -> None:
    """Copies batches of records into the arrays; checks them against folds.csv and their masks."""
    start = 0
    for batch in decoded.as_numpy_iterator():
        part = slice(start, start + len(batch["is_hu"]))
        start = part.stop
        for row, *found in zip(
            slices.rows[part],
            batch["source_id"],
            batch["stroke_type"],
            batch["has_mask"],
            strict=True,
        ):
            expected = [row.source_id.encode(), StrokeType[row.stroke_type], bool(row.has_mask)]
            if found != expected:
                raise ValueError(
                    f"{name}: folds.csv must list the records in the order of the shards. "
                    f"Received: {found} where it has {expected} (source id, class, has a mask)"
                )
        slices.images[part] = batch["image"]
        slices.is_hu[part] = batch["is_hu"]
        if slices.masks is not None:
            _check_masks(batch, name=name)
            slices.masks[part] = batch["mask"]
    if start != len(slices.rows):
        raise ValueError(
            f"{name}: the shards must hold {len(slices.rows)} slices. Received: {start}"
        )


def _check_masks(batch: dict[str, np.ndarray], *, name: str) -> None:
    shown = batch["mask"].any(axis=(1, 2, 3))
    if (wrong := shown != (batch["stroke_type"] != StrokeType.NONE)).any():
        ids = [source_id.decode() for source_id in batch["source_id"][wrong]]
        raise ValueError(
            f"{name}: masks must show a lesion just where the class is one; convert the slices "
            f"again. Received: otherwise in {ids}"
        )
