"""Reading batches for training: ours beside the plain way and the bare arrays, in one run.

    python -m benchmarks.pipeline [--slices 1000] [--size 512] [--rounds 6] [--quick]

All give the same slices with their masks in batches of 32, epoch after epoch:

- ours: `stroke_tf.data.make_dataset`, shuffled; its slices are decoded before the first epoch. Its
  batches are 8-bit RGB, which is all that the input pipeline has to make.
- ours, augmented: the same with all augmentations.
- float32: the same two cast to float32, as the model does first, and as the others' batches are.
- plain: as in the Keras TFRecord example, raw RGB tensor and mask under ZLIB, parsed in each epoch.
- arrays: the decoded arrays through `from_tensor_slices`, batched and made float32 RGB.
- numpy: a loop over the decoded arrays without TensorFlow.

The slices are those of STROKE_TF_OPEN_DATA when that is set (repeated as needed), else phantoms.
Each round runs all of them once, forwards and backwards in turn; figures are medians of the rounds.
Page faults are those that the kernel counted for this process (4 KiB each, or 2 MiB).
"""

from __future__ import annotations

import itertools
import os
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
import tyro
from PIL import Image

from benchmarks._side_by_side import compared, open_data, phantom_slices, tell, write_plain
from data_tools.shards import write_shard
from stroke_tf.config import AugmentStrength
from stroke_tf.labels import StrokeType, Task
from stroke_tf.machine import processor
from stroke_tf.manifest import FOLDS_NAME, MANIFEST_NAME, Fold, FoldRow, Manifest, folds_text
from stroke_tf.records import Record, encode_record

_BATCH = 32
_QUICK_SLICES, _QUICK_ROUNDS = 192, 4


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark.

    Attributes:
        slices: Number of slices.
        size: Side of the slices in pixels.
        rounds: Epochs of each contestant.
        quick: Take 192 slices and 4 rounds: under a minute.
    """

    slices: int = 1000
    size: int = 512
    rounds: int = 6
    quick: bool = False


def load_arrays(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns grey slices and their masks of class ids, both uint8, shape (count, size, size)."""
    images, masks = np.zeros((2, count, size, size), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        source = itertools.cycle(_slices(Path(folder)))
        for number, (image, mask) in enumerate(itertools.islice(source, count)):
            images[number] = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
            masks[number] = cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
    return images, masks


def write_ours(folder: Path, images: np.ndarray, masks: np.ndarray) -> int:
    """Writes one fold of records; returns its bytes."""
    count, size, _ = images.shape
    pairs = zip(images, masks, strict=True)
    records = [_record(f"{number}", *pair) for number, pair in enumerate(pairs)]
    shard = write_shard(
        folder / "fold-00-00000-of-00001.tfrecord",
        map(encode_record, records),
        compression="zlib",
        scratch=folder,
    )
    rows = [
        FoldRow(
            record.source_id,
            record.group_id,
            StrokeType(record.stroke_type).name,
            "0",
            1,
            size,
            size,
            "",
            0,
        )
        for record in records
    ]
    manifest = Manifest(
        protocol="as-published",
        seed=0,
        size=size,
        layout="benchmark",
        compression="zlib",
        pixels="gray8",
        grouping="none",
        augmented="none",
        source_sha256="",
        records=count,
        classes={},
        folds=(Fold(0, count, {}, (shard,)),),
        rejected=(),
    )
    (folder / FOLDS_NAME).write_text(folds_text(rows), encoding="utf-8")
    (folder / MANIFEST_NAME).write_text(manifest.to_json(), encoding="utf-8")
    return shard.bytes


def read_plain(path: Path) -> Iterable:
    """Returns batches parsed anew in each epoch."""
    import tensorflow as tf

    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in ("image", "mask")}

    def parse(serialized: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parts = tf.io.parse_single_example(serialized, spec)
        image = tf.io.parse_tensor(parts["image"], tf.uint8)
        return tf.cast(image, tf.float32), tf.io.parse_tensor(parts["mask"], tf.uint8)

    records = tf.data.TFRecordDataset(str(path), compression_type="ZLIB")
    batches = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE).batch(_BATCH)
    return batches.prefetch(tf.data.AUTOTUNE)


def read_arrays(images: np.ndarray, masks: np.ndarray) -> Iterable:
    """Returns batches of the decoded arrays, made float32 RGB as ours are."""
    import tensorflow as tf

    def to_float_rgb(image: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # A 1x1 convolution takes a third of the time of tf.repeat, tf.tile or broadcasting.
        ones = tf.ones((1, 1, 1, 3))
        return tf.nn.conv2d(tf.cast(image, tf.float32), ones, strides=1, padding="VALID"), mask

    slices = tf.data.Dataset.from_tensor_slices((images[..., None], masks[..., None]))
    batches = slices.batch(_BATCH).map(to_float_rgb, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.prefetch(tf.data.AUTOTUNE)


def as_float(batches: Iterable) -> Iterable:
    """Returns our batches as the first step of a model makes them."""
    import tensorflow as tf

    from stroke_tf.data.parallel import parallel_map

    return parallel_map(batches, lambda images, masks: (tf.cast(images, tf.float32), masks))


@dataclass(frozen=True)
class NumpyLoop:
    """Batches of the decoded arrays as NumPy makes them, one epoch for each iteration."""

    images: np.ndarray
    masks: np.ndarray

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for start in range(0, len(self.images), _BATCH):
            part = slice(start, start + _BATCH)
            gray = self.images[part, ..., None].astype(np.float32)
            yield np.repeat(gray, 3, -1), self.masks[part, ..., None]


class Speed(NamedTuple):
    """Medians over the epochs of a contestant."""

    samples_per_second: float
    faults_per_sample: float


def measure(contestants: dict[str, Iterable], *, count: int, rounds: int) -> dict[str, Speed]:
    """Returns the speed of each contestant, after one epoch that does not count."""
    epochs: dict[str, list[tuple[float, int]]] = {name: [] for name in contestants}
    for batches in contestants.values():
        _run_epoch(batches)
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 == 0 else reversed(names):
            epochs[name].append(_run_epoch(contestants[name]))
    return {
        name: Speed(
            median(count / epoch_seconds for epoch_seconds in seconds), median(faults) / count
        )
        for name, found in epochs.items()
        for seconds, faults in [zip(*found, strict=True)]
    }


def main(settings: Settings) -> None:
    """Measures all contestants and prints a table and a line of JSON."""
    from stroke_tf.data import make_dataset

    count = _QUICK_SLICES if settings.quick else settings.slices
    rounds = _QUICK_ROUNDS if settings.quick else settings.rounds
    images, masks = load_arrays(count, settings.size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = folder / "plain.tfrecord"
        rgb = (np.repeat(image[..., None], 3, -1) for image in images)
        written = {
            "ours": write_ours(folder, images, masks),
            "plain": write_plain(plain, zip(rgb, masks[..., None], strict=True)),
        }

        def ours(augment: AugmentStrength | None) -> Iterable:
            return make_dataset(
                folder,
                folds=(0,),
                task=Task.SEGMENT,
                image_size=settings.size,
                batch_size=_BATCH,
                training=True,
                augment=augment,
                cache="memory",
            )

        start = time.perf_counter()
        contestants: dict[str, Iterable] = {"ours": ours(None)}
        decoding = count / (time.perf_counter() - start)
        contestants |= {
            "ours, float32": as_float(ours(None)),
            "ours, augmented": ours(AugmentStrength()),
            "ours, augmented, float32": as_float(ours(AugmentStrength())),
            "plain": read_plain(plain),
            "arrays": read_arrays(images, masks),
            "numpy": NumpyLoop(images, masks),
        }
        speeds = measure(contestants, count=count, rounds=rounds)
    _print(speeds, written, decoding=decoding, slices=images.shape)


def _print(
    speeds: dict[str, Speed], written: dict[str, int], *, decoding: float, slices: tuple[int, ...]
) -> None:
    count, size, _ = slices
    per_second = {name: speed.samples_per_second for name, speed in speeds.items()}
    plain = per_second["plain"]
    rows = [
        (
            name,
            f"{per_second[name]:.0f}",
            f"{per_second[name] / plain:.2f}x",
            f"{speed.faults_per_sample:.1f}",
            f"{written[name] / 1e6:.1f}" if name in written else "",
        )
        for name, speed in speeds.items()
    ]
    rows.append(("ours, decoding once", f"{decoding:.0f}", "", "", ""))
    result = {
        "name": "pipeline",
        **compared(per_second["ours"], plain, unit="samples/s"),
        "n": count,
        "size": size,
        "processor": processor(),
        "float_ratio": round(per_second["ours, float32"] / plain, 2),
        "memory_ratio": round(per_second["arrays"] / per_second["ours"], 2),
        "numpy_ratio": round(per_second["numpy"] / per_second["ours"], 2),
        "augmented": round(per_second["ours, augmented"], 1),
        "page_faults": {name: round(speed.faults_per_sample, 1) for name, speed in speeds.items()},
        "decoding": round(decoding, 1),
        "size_ratio": round(written["ours"] / written["plain"], 3),
    }
    heading = ("", "samples/s", "of plain", "page faults a slice", "MB on disk")
    title = f"{count} slices, {size} x {size}, batches of {_BATCH}; {processor()}"
    tell(title, heading, rows, result)


def _run_epoch(batches: Iterable) -> tuple[float, int]:
    """Returns how long an epoch took, in seconds, and how many pages were faulted in."""
    faults, start = _page_faults(), time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start, _page_faults() - faults


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _slices(scratch: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields slices of both open sets, or phantoms, with their masks, in an order that mixes."""
    is_open = "STROKE_TF_OPEN_DATA" in os.environ
    first = open_data("open_stroke_ct") if is_open else phantom_slices(scratch, patients=20)
    second = open_data("ct_ich").glob("Patients_CT/*/brain/*[0-9].jpg") if is_open else ()
    paths = sorted([*first.glob("TRAINING/*/PNG/*.png"), *second])
    for number in np.random.default_rng(0).permutation(len(paths)):
        path = paths[number]
        colours = path.parent.parent / "MASK" / path.name
        image = np.asarray(Image.open(path).convert("L"))
        yield image, _class_ids(colours) if colours.exists() else np.zeros_like(image)


def _class_ids(path: Path) -> np.ndarray:
    """Returns class ids of a mask whose blue is ischaemia and whose green is haemorrhage."""
    _, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB")) > 0, -1, 0)
    return blue * np.uint8(StrokeType.ISCHEMIA) + green * np.uint8(StrokeType.HEMORRHAGE)


def _record(name: str, image: np.ndarray, mask: np.ndarray) -> Record:
    pictures = (cv2.imencode(".png", picture)[1].tobytes() for picture in (image, mask))
    about = {"source": "benchmark", "pixels": "gray8", "height": len(image), "width": len(image)}
    return Record(*pictures, int(mask.max()), name, name, fold=0, copy=0, **about)


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.pipeline", description=__doc__))
