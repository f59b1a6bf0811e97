"""Shared parts of the benchmarks: slices and phantoms, the plain way's file, printed results.

Knows nothing of what is measured.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table


class Timed(NamedTuple):
    """The result of a piece of work, its wall time, and the CPU seconds of all its threads.

    Other programs on the machine change the CPU seconds less than the wall time.
    """

    value: Any
    seconds: float
    cpu: float


def timed(work: Callable[..., Any], *arguments: Any) -> Timed:
    """Calls a function once."""
    start, cpu = time.perf_counter(), time.process_time()
    value = work(*arguments)
    return Timed(value, time.perf_counter() - start, time.process_time() - cpu)


def tell(
    title: str, heading: Sequence[str], rows: Iterable[Sequence[str]], result: Mapping[str, Any]
) -> None:
    """Prints a table, and last the result as one line of JSON."""
    table = Table(*heading, title=title)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    print(json.dumps(result))


def compared(ours: float, other: float, *, unit: str, ratio: float | None = None) -> dict[str, Any]:
    """Returns two figures and how often the other goes into ours, unless a ratio is given."""
    figures = {"ours": float(f"{ours:.4g}"), "other": float(f"{other:.4g}")}
    return figures | {"ratio": round(ratio or ours / other, 2), "unit": unit}


def open_data(name: str) -> Path:
    """Returns the folder of an open data set, of STROKE_TF_OPEN_DATA or this folder."""
    return Path(os.environ.get("STROKE_TF_OPEN_DATA", ".")) / name


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Returns the Dice of two regions, bool; 1 if both are empty."""
    both = np.count_nonzero(one) + np.count_nonzero(other)
    return 2 * np.count_nonzero(one & other) / both if both else 1.0


def phantom_slices(folder: Path, *, patients: int, size: int = 512, seed: int = 0) -> Path:
    """Returns a new folder of phantom slices, 8 of each patient."""
    from data_tools.options import PhantomConfig
    from data_tools.phantom.data_set import make_phantom

    out = folder / "phantoms"
    make_phantom(PhantomConfig(out=out, patients=patients, size=size, seed=seed))
    return out


def convert(data: Path, out: Path, *, size: int) -> Path:
    """Converts slices to records; returns their folder."""
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion

    build_tfrecords(Conversion(data=data, out=out, size=size))
    return out


def lay_out(folder: Path, count: int) -> None:
    """Lays out so many slices as the organisers do: open ones, repeated, or else phantoms."""
    is_open = "STROKE_TF_OPEN_DATA" in os.environ
    source = open_data("open_stroke_ct") if is_open else phantom_slices(folder.parent, patients=20)
    originals = sorted(source.glob("TRAINING/*/PNG/*.png"), key=lambda path: path.name)
    for number in range(count):
        original = originals[number % len(originals)]
        for kind in ("PNG", "MASK", "OVERLAY"):
            part = original.parent.parent / kind / original.name
            if part.exists():
                target = folder / "TRAINING" / original.parent.parent.name / kind
                target.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(part, target / f"{20000 + number}.png")


def write_plain(path: Path, slices: Iterable[tuple[np.ndarray, np.ndarray]]) -> int:
    """Writes raw tensors under ZLIB, as the Keras TFRecord example does; returns the bytes.

    The slices are pairs of uint8 RGB, shape (H, W, 3), and a mask, uint8, of any shape.
    """
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions("ZLIB")) as writer:
        for pair in slices:
            parts = (tf.io.serialize_tensor(part).numpy() for part in pair)
            feature = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[part]))
                for name, part in zip(("image", "mask"), parts, strict=True)
            }
            example = tf.train.Example(features=tf.train.Features(feature=feature))
            writer.write(example.SerializeToString())
    return path.stat().st_size
