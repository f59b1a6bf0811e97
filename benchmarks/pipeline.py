"""Reading batches for training: ours beside the plain way and the bare arrays, in one run.

    python -m benchmarks.pipeline [--slices 1000] [--size 512] [--rounds 6] [--quick]

All give the same slices with their masks, float32 RGB in batches of 32, epoch after epoch:

- ours: `stroke_tf.data.make_dataset`, shuffled; its slices are decoded before the first epoch.
- ours, augmented: the same with all augmentations.
- plain: as in the Keras TFRecord example, raw RGB tensor and mask under ZLIB, parsed in each epoch.
- arrays: the decoded arrays through `from_tensor_slices`, batched and made RGB as ours are.
- numpy: a loop over the decoded arrays without TensorFlow.

The slices are those of STROKE_TF_OPEN_DATA when that is set (repeated as needed), else generated.
Each round runs all of them once, forwards and backwards in turn; figures are medians of the rounds.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import itertools
import json
import os
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

    from stroke_tf.data import gray_to_rgb

    slices = tf.data.Dataset.from_tensor_slices((images[..., None], masks[..., None]))
    return (
        slices.batch(_BATCH)
        .map(
            lambda image, mask: (gray_to_rgb(tf.cast(image, tf.float32)), mask),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


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


def samples_per_second(
    contestants: dict[str, Iterable], *, count: int, rounds: int
) -> dict[str, float]:
    """Returns the median speed of each contestant, after one epoch that does not count."""
    speeds: dict[str, list[float]] = {name: [] for name in contestants}
    for batches in contestants.values():
        _seconds(batches)
    for number in range(rounds):
        names = list(contestants)
        for name in names if number % 2 == 0 else reversed(names):
            speeds[name].append(count / _seconds(contestants[name]))
    return {name: median(values) for name, values in speeds.items()}


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
            "ours, augmented": ours(AugmentStrength()),
            "plain": read_plain(plain),
            "arrays": read_arrays(images, masks),
            "numpy": NumpyLoop(images, masks),
        }
        speeds = samples_per_second(contestants, count=count, rounds=rounds)
    _print(speeds, written=written, decoding=decoding, count=count, settings=settings)


def _print(
    speeds: dict[str, float],
    *,
    written: dict[str, int],
    decoding: float,
    count: int,
    settings: Settings,
) -> None:
    title = f"{count} slices, {settings.size} x {settings.size}, batches of {_BATCH}"
    table = Table("", "samples/s", "ours is", "MB on disk", title=title)
    for name, speed in speeds.items():
        size = f"{written[name] / 1e6:.1f}" if name in written else ""
        table.add_row(name, f"{speed:.0f}", f"{speeds['ours'] / speed:.2f}x", size)
    table.add_row("ours, decoding once", f"{decoding:.0f}", "", "")
    Console().print(table)
    result = {
        "name": "pipeline",
        "ours": round(speeds["ours"], 1),
        "other": round(speeds["plain"], 1),
        "ratio": round(speeds["ours"] / speeds["plain"], 2),
        "unit": "samples/s",
        "n": count,
        "size": settings.size,
        "memory_ratio": round(speeds["arrays"] / speeds["ours"], 2),
        "numpy_ratio": round(speeds["numpy"] / speeds["ours"], 2),
        "augmented": round(speeds["ours, augmented"], 1),
        "decoding": round(decoding, 1),
        "size_ratio": round(written["ours"] / written["plain"], 3),
    }
    print(json.dumps(result))


def _seconds(batches: Iterable) -> float:
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


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
