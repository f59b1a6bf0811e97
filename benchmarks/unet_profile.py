"""Where the time of a U-Net's training step and prediction goes, ours and Keras as it comes.

    python -m benchmarks.unet_profile [--encoder resnet50] [--batch 2] [--size 256]

By TensorFlow's profiler, on one core, each way in a process of its own: milliseconds of the
operations, by what they compute. What TensorFlow fuses into a convolution counts as one.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from benchmarks.unet_step import Encoder, Settings, Step, keras_steps, our_steps

_KINDS = ("convolutions", "their gradients", "batch norms", "optimizer", "all else")
_WARM_UP, _STEPS = 3, 5


@dataclass(frozen=True)
class Profile:
    """What to profile.

    Attributes:
        encoder: Encoder of the U-Net.
        batch: Slices in a batch.
        size: Side of the slices in pixels.
    """

    encoder: Encoder = "resnet50"
    batch: int = 2
    size: int = 256


def main(config: Profile) -> None:
    """Profiles both ways and prints a table."""
    settings = Settings(encoder=config.encoder, batch=config.batch, size=config.size)
    columns = {}
    for name, way in {"ours": our_steps, "plain": keras_steps}.items():
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(functools.partial(_profile_way, way, settings))
        columns |= {f"{name}, {what}": times for what, times in found.items()}
    title = f"ms on one core, U-Net {settings.encoder}, {settings.batch} slices of {settings.size}"
    table = Table("", *columns, title=title)
    for kind in (*_KINDS, "sum"):
        table.add_row(kind, *(f"{times[kind]:.0f}" for times in columns.values()))
    Console().print(table)


def _profile_way(
    way: Callable[[Settings], tuple[Step, Step]], settings: Settings
) -> dict[str, Counter[str]]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    train, predict = way(settings)
    return {"training step": _profile(train), "prediction": _profile(predict)}


def _profile(step: Step) -> Counter[str]:
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf.xplane_pb2 import XSpace

    for _ in range(_WARM_UP):
        step()
    times: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(_STEPS):
                step()
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = XSpace.FromString(path.read_bytes())
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name, _, operation = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if name and not name.endswith(":") and " " not in operation:
                    times[_kind(name, operation)] += event.duration_ps / 1e9 / _STEPS
    times["sum"] = sum(times.values())
    return times


def _kind(name: str, operation: str) -> str:
    if "Conv" in operation:
        return "their gradients" if "gradient" in name else "convolutions"
    if "BatchNorm" in operation or "bn" in name.lower():
        return "batch norms"
    return "optimizer" if "adam" in f"{name}{operation}".lower() else "all else"


if __name__ == "__main__":
    main(tyro.cli(Profile, prog="python -m benchmarks.unet_profile", description=__doc__))
