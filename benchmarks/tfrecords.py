"""Converting slices to TFRecords: ours beside the plain way and a bare loop, in one run.

    python -m benchmarks.tfrecords [--slices 1000] [--quick]

- ours: `data_tools.build_tfrecords` with all it does (checks, hashes, folds, shards).
- plain: one process as in the Keras TFRecord example: decode, raw RGB tensor and mask, ZLIB.
- bare: OpenCV decodes picture and mask and encodes both as grey PNG, nothing else, in as many
  processes.

The slices are those of STROKE_TF_OPEN_DATA/open_stroke_ct when that is set (repeated, new ids),
else phantoms, in the organisers' layout with PNG, MASK and OVERLAY. Peak memory is the sum of
the proportional set sizes of all processes, sampled. The three ways alternate; the round of the
median time counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import psutil
import tyro

from benchmarks._side_by_side import compared, lay_out, tell, write_plain
from data_tools.options import Conversion
from data_tools.workers import start_ahead
from stroke_tf.machine import usable_cores

_QUICK_SLICES = 60
_SAMPLE_SECONDS = 0.5


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark.

    Attributes:
        slices: Number of slices.
        jobs: Processes of ours and of the bare loop.
        rounds: Times each way is measured.
        quick: Take 60 slices and one round: under a minute.
    """

    slices: int = 1000
    jobs: int = dataclasses.field(default_factory=usable_cores)
    rounds: int = 3
    quick: bool = False


@dataclass(frozen=True)
class Measured:
    """Seconds, peak memory in MB and bytes written."""

    seconds: float
    peak_mb: float
    written: int


def measure(run: Callable[..., int], *arguments: object) -> Measured:
    """Runs a function in a process of its own and measures it and its children."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(send, run, arguments))
    process.start()
    peak, family = 0, psutil.Process(process.pid)
    while not receive.poll(_SAMPLE_SECONDS):
        peak = max(peak, _used_memory(family))
    seconds, written = receive.recv()
    process.join()
    return Measured(seconds, peak / 1e6, written)


def ours(data: Path, out: Path, jobs: int) -> int:
    """Converts as the command does; returns bytes written."""
    start_ahead()
    from data_tools.conversion import build_tfrecords

    manifest = build_tfrecords(Conversion(data=data, out=out, jobs=jobs))
    return sum(shard.bytes for fold in manifest.folds for shard in fold.shards)


def bare(data: Path, out: Path, jobs: int) -> int:
    """Decodes and encodes every slice in `jobs` processes; returns bytes encoded."""
    context = multiprocessing.get_context("forkserver")
    with context.Pool(jobs) as pool:
        return sum(pool.imap_unordered(_decode_and_encode, list(_slices(data)), chunksize=32))


def plain(data: Path, out: Path, jobs: int) -> int:
    """Writes raw RGB tensors and masks under ZLIB in this process; returns bytes written."""
    import tensorflow as tf

    def decoded(path: Path) -> tf.Tensor:
        return tf.io.decode_png(tf.io.read_file(str(path)), channels=3)

    def pair(picture: Path, mask: Path | None) -> tuple[tf.Tensor, tf.Tensor]:
        image = decoded(picture)
        colours = decoded(mask) if mask else tf.zeros_like(image)
        return image, tf.cast(tf.argmax(colours, axis=-1, output_type=tf.int32), tf.uint8)

    out.mkdir(parents=True)
    return write_plain(out / "plain.tfrecord", (pair(*paths) for paths in _slices(data)))


def main(settings: Settings) -> None:
    """Measures all three and prints a table and a line of JSON."""
    if settings.quick:
        settings = dataclasses.replace(settings, slices=_QUICK_SLICES, rounds=1)
    count = settings.slices
    ways: dict[str, Callable[..., int]] = {"plain": plain, "bare": bare, "ours": ours}
    rounds: list[dict[str, Measured]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "slices"
        lay_out(data, count)
        for number in range(settings.rounds):
            out = Path(folder) / str(number)
            rounds.append(
                {name: measure(run, data, out / name, settings.jobs) for name, run in ways.items()}
            )
    ranked = {
        name: sorted((round_[name] for round_ in rounds), key=lambda figures: figures.seconds)
        for name in ways
    }
    results = {name: measured[len(rounds) // 2] for name, measured in ranked.items()}
    rows = [
        (
            name,
            f"{count / figures.seconds:.1f}",
            f"{figures.peak_mb:.0f}",
            f"{figures.written / 1e6:.1f}",
        )
        for name, figures in results.items()
    ]
    mine, other = results["ours"], results["plain"]
    result = {
        "name": "tfrecords",
        **compared(count / mine.seconds, count / other.seconds, unit="slices/s"),
        "n": count,
        "jobs": settings.jobs,
        "rounds": settings.rounds,
        "time_over_bare": round(mine.seconds / results["bare"].seconds, 2),
        "size_ratio": round(mine.written / other.written, 3),
        "peak_mb": round(mine.peak_mb),
    }
    heading = ("", "slices/s", "peak MB", "MB written")
    tell(f"{count} slices, 512 x 512", heading, rows, result)


def _call(send: multiprocessing.connection.Connection, run: Callable[..., int], arguments) -> None:
    start = time.perf_counter()
    written = run(*arguments)
    send.send((time.perf_counter() - start, written))


def _used_memory(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [process, *process.children(recursive=True)]
        return sum(member.memory_full_info().pss for member in family)
    return 0


def _slices(data: Path) -> Iterator[tuple[Path, Path | None]]:
    for picture in sorted(data.glob("TRAINING/*/PNG/*.png")):
        mask = picture.parent.parent / "MASK" / picture.name
        yield picture, mask if mask.exists() else None


def _decode_and_encode(pair: tuple[Path, Path | None]) -> int:
    cv2.setNumThreads(1)
    picture, mask = pair
    grey = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)[:, :, 0]
    size = len(cv2.imencode(".png", grey)[1])
    if mask:
        colours = cv2.imread(str(mask), cv2.IMREAD_UNCHANGED)
        classes = (colours[:, :, 0] > 0) * 1 + (colours[:, :, 1] > 0) * 2
        size += len(cv2.imencode(".png", classes.astype("uint8"))[1])
    return size


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.tfrecords", description=__doc__))
