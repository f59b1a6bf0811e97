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

The slices are those of STROKE_TF_OPEN_DATA when that is set (repeated as needed), else generated.
Each round runs all of them once, forwards and backwards in turn; figures are medians of the rounds.
Page faults are those that the kernel counted for this process (4 KiB each, or 2 MiB).
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import json
import os
import resource
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import tyro
from PIL import Image
from rich.console import Console
from rich.table import Table

from stroke_tf.config import AugmentStrength
from stroke_tf.labels import StrokeType, Task
from stroke_tf.machine import processor
from stroke_tf.manifest import FOLDS_NAME, MANIFEST_NAME, Fold, FoldRow, Manifest, Shard
from stroke_tf.records import Record, encode_record

_BATCH = 32
_QUICK_SLICES, _QUICK_ROUNDS = 192, 4


@dataclass(frozen=True)
class Settings:
    """What to measure.

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
    root = os.environ.get("STROKE_TF_OPEN_DATA")
    source = itertools.cycle(_real(Path(root)) if root else _generated(size))
    images, masks = np.zeros((2, count, size, size), np.uint8)
    for number, (image, mask) in enumerate(itertools.islice(source, count)):
        images[number] = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
        masks[number] = cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
    return images, masks


def write_ours(folder: Path, images: np.ndarray, masks: np.ndarray) -> int:
    """Writes one fold of records; returns its bytes."""
    import tensorflow as tf

    records = [
        _record(f"{number}", *pair) for number, pair in enumerate(zip(images, masks, strict=True))
    ]
    path = folder / "fold-00-00000-of-00001.tfrecord"
    # The PNG inside is compressed already: the converter stores it, too.
    stored = tf.io.TFRecordOptions("ZLIB", compression_level=0)
    with tf.io.TFRecordWriter(str(path), stored) as writer:
        for record in records:
            writer.write(encode_record(record))
    with (folder / FOLDS_NAME).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow([field.name for field in dataclasses.fields(FoldRow)])
        table.writerows(
            (it.source_id, it.group_id, StrokeType(it.stroke_type).name, 0, 1, 1, 1, "", 0)
            for it in records
        )
    (folder / MANIFEST_NAME).write_text(_manifest(path, images).to_json(), encoding="utf-8")
    return path.stat().st_size


def write_plain(path: Path, images: np.ndarray, masks: np.ndarray) -> int:
    """Writes raw RGB tensors and masks under ZLIB; returns the bytes."""
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("ZLIB")) as writer:
        for image, mask in zip(images, masks, strict=True):
            rgb = np.repeat(image[..., None], 3, -1)
            parts = {"image": rgb, "mask": mask[..., None]}
            feature = {
                name: tf.train.Feature(
                    bytes_list=tf.train.BytesList(value=[tf.io.serialize_tensor(part).numpy()])
                )
                for name, part in parts.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    return path.stat().st_size


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


@dataclass(frozen=True)
class Speed:
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
            samples_per_second=median(count / seconds for seconds, _ in found),
            faults_per_sample=median(faults / count for _, faults in found),
        )
        for name, found in epochs.items()
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
        written = {
            "ours": write_ours(folder, images, masks),
            "plain": write_plain(plain, images, masks),
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
    _print(speeds, written=written, decoding=decoding, count=count, settings=settings)


def _print(
    speeds: dict[str, Speed],
    *,
    written: dict[str, int],
    decoding: float,
    count: int,
    settings: Settings,
) -> None:
    per_second = {name: speed.samples_per_second for name, speed in speeds.items()}
    plain = per_second["plain"]
    title = f"{count} slices, {settings.size} x {settings.size}, batches of {_BATCH}; {processor()}"
    table = Table("", "samples/s", "of plain", "page faults a slice", "MB on disk", title=title)
    for name, speed in speeds.items():
        size = f"{written[name] / 1e6:.1f}" if name in written else ""
        faults = f"{speed.faults_per_sample:.1f}"
        table.add_row(
            name, f"{per_second[name]:.0f}", f"{per_second[name] / plain:.2f}x", faults, size
        )
    table.add_row("ours, decoding once", f"{decoding:.0f}", "", "", "")
    Console().print(table)
    result = {
        "name": "pipeline",
        "ours": round(per_second["ours"], 1),
        "other": round(plain, 1),
        "ratio": round(per_second["ours"] / plain, 2),
        "unit": "samples/s",
        "n": count,
        "size": settings.size,
        "processor": processor(),
        "float_ratio": round(per_second["ours, float32"] / plain, 2),
        "memory_ratio": round(per_second["arrays"] / per_second["ours"], 2),
        "numpy_ratio": round(per_second["numpy"] / per_second["ours"], 2),
        "augmented": round(per_second["ours, augmented"], 1),
        "page_faults": {name: round(it.faults_per_sample, 1) for name, it in speeds.items()},
        "decoding": round(decoding, 1),
        "size_ratio": round(written["ours"] / written["plain"], 3),
    }
    print(json.dumps(result))


def _run_epoch(batches: Iterable) -> tuple[float, int]:
    """Returns how long an epoch took, in seconds, and how many pages were faulted in."""
    faults, start = _page_faults(), time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start, _page_faults() - faults


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _real(root: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields slices of both open sets with their masks, in an order that mixes them."""
    paths = sorted(
        [
            *root.glob("open_stroke_ct/TRAINING/*/PNG/*.png"),
            *root.glob("ct_ich/Patients_CT/*/brain/*[0-9].jpg"),
        ]
    )
    for number in np.random.default_rng(0).permutation(len(paths)):
        path = paths[number]
        colours = path.parent.parent / "MASK" / path.name
        image = np.asarray(Image.open(path).convert("L"))
        yield image, _class_ids(colours) if colours.exists() else np.zeros_like(image)


def _class_ids(path: Path) -> np.ndarray:
    """Returns class ids of a mask whose blue is ischaemia and whose green is haemorrhage."""
    _, green, blue = np.moveaxis(np.asarray(Image.open(path).convert("RGB")) > 0, -1, 0)
    return blue * np.uint8(StrokeType.ISCHEMIA) + green * np.uint8(StrokeType.HEMORRHAGE)


def _generated(size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields noisy discs with a bright rim and a lesion: as compressible as heads in air."""
    rows, columns = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    radius = np.hypot(rows / 0.85, columns / 0.7)
    for seed in range(64):
        random = np.random.default_rng(seed)
        brain = cv2.GaussianBlur(random.normal(110, 40, (size, size)), (0, 0), 1.5)
        y, x = random.uniform(-0.4, 0.4, 2)
        lesion = np.hypot(rows - y, columns - x) < random.uniform(0.05, 0.2)
        image = np.where(radius < 1, np.where(radius > 0.9, 255, brain + 40 * lesion), 0)
        yield image.clip(0, 255).astype(np.uint8), lesion * np.uint8(StrokeType.HEMORRHAGE)


def _record(name: str, image: np.ndarray, mask: np.ndarray) -> Record:
    return Record(
        image=cv2.imencode(".png", image)[1].tobytes(),
        mask=cv2.imencode(".png", mask)[1].tobytes(),
        stroke_type=int(mask.max()),
        source_id=name,
        group_id=name,
        fold=0,
        copy=0,
        source="benchmark",
        pixels="gray8",
        height=len(image),
        width=len(image),
    )


def _manifest(path: Path, images: np.ndarray) -> Manifest:
    data, count = path.read_bytes(), len(images)
    shard = Shard(path.name, count, len(data), hashlib.sha256(data).hexdigest())
    return Manifest(
        protocol="as-published",
        seed=0,
        size=images.shape[1],
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


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.pipeline", description=__doc__))
