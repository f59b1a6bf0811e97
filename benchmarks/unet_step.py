"""A U-Net's training step and prediction: ours beside segmentation_models.pytorch, in one run.

    pip install 'stroke_tf[bench]'
    python -m benchmarks.unet_step [--encoder resnet50] [--quick]

- ours: `build_unet`, with the batch norms and the Adam of `fit`; the graph of `Predictor`.
- plain: the same network in Keras as it comes: `train_on_batch` and `model(..., training=False)`
  in a `tf.function`.
- torch: `segmentation_models_pytorch.Unet`, eager, channels last (the faster layout).

Same encoder, decoder widths, batch, size, loss (cross-entropy), optimiser (Adam) and cores. Each
way has a process of its own; they take turns, and the median step counts. Random weights and noise:
neither changes the time. The ResNets differ a little: the library behind ours puts batch norm and
ReLU before each convolution.
"""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Literal

import tyro
from rich.console import Console
from rich.table import Table

from stroke_tf.machine import usable_cores

Encoder = Literal["resnet50", "mobilenetv2", "efficientnetb3"]
Step = Callable[[], object]

_TORCH_NAMES = {
    "resnet50": "resnet50",
    "mobilenetv2": "mobilenet_v2",
    "efficientnetb3": "efficientnet-b3",
}
_CLASSES, _RATE, _WARM_UP = 3, 1e-4, 2


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes:
        encoder: Encoder of the U-Net.
        batch: Slices in a batch.
        size: Side of the slices in pixels.
        cores: Cores that each way may use.
        rounds: Turns of each way.
        steps: Steps in a turn.
        quick: Take 64 pixels, MobileNetV2 and two rounds: under a minute.
    """

    encoder: Encoder = "resnet50"
    batch: int = 2
    size: int = 256
    cores: int = usable_cores()
    rounds: int = 5
    steps: int = 3
    quick: bool = False


def main(settings: Settings) -> None:
    """Measures all ways and prints a table and a line of JSON."""
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        sys.exit("the other side needs PyTorch: pip install 'stroke_tf[bench]'")
    if settings.quick:
        settings = replace(settings, encoder="mobilenetv2", size=64, rounds=2, steps=2)
    ways: dict[str, Callable[[Settings], tuple[Step, Step]]] = {
        "ours": _ours,
        "plain": _plain,
        "torch": _torch,
    }
    sides = {name: _Side(way, settings) for name, way in ways.items()}
    for _ in range(settings.rounds):
        for side in sides.values():
            side.take_turn()
    results = {name: side.end() for name, side in sides.items()}
    title = f"U-Net {settings.encoder}, {settings.batch} x {settings.size} x {settings.size}"
    table = Table("", "ms/training step", "ms/predicted slice", "peak MB", title=title)
    for name, (train, predict, peak) in results.items():
        table.add_row(name, f"{train:.0f}", f"{predict:.0f}", f"{peak:.0f}")
    Console().print(table)
    ours, torch = results["ours"], results["torch"]
    print(
        json.dumps(
            {
                "name": "unet_step",
                "ours": round(ours[0]),
                "other": round(torch[0]),
                "ratio": round(ours[0] / torch[0], 2),
                "unit": "ms/training step",
                "ours_predict": round(ours[1]),
                "other_predict": round(torch[1]),
                "ratio_predict": round(ours[1] / torch[1], 2),
                "plain": round(results["plain"][0]),
                "plain_predict": round(results["plain"][1]),
                "peak_mb": round(ours[2]),
                "other_peak_mb": round(torch[2]),
                "cores": settings.cores,
                "rounds": settings.rounds,
            }
        )
    )


class _Side:
    """One way in a process of its own, which works when it is told to."""

    def __init__(self, way: Callable[[Settings], tuple[Step, Step]], settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, way, settings))
        self._process.start()
        theirs.close()
        self._seconds: list[tuple[float, float]] = []
        self._slices = settings.batch
        self._pipe.recv()

    def take_turn(self) -> None:
        self._pipe.send("work")
        self._seconds.extend(self._pipe.recv())

    def end(self) -> tuple[float, float, float]:
        """Returns milliseconds of a training step and of a predicted slice, and peak MB."""
        self._pipe.send("end")
        peak = self._pipe.recv()
        self._process.join()
        train, predict = (median(it) for it in zip(*self._seconds, strict=True))
        return 1000 * train, 1000 * predict / self._slices, peak


def _serve(
    pipe: Connection, way: Callable[[Settings], tuple[Step, Step]], settings: Settings
) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.cores])
    train, predict = way(settings)
    for _ in range(_WARM_UP):
        train(), predict()
    pipe.send("ready")
    while pipe.recv() == "work":
        pipe.send([(_timed(train), _timed(predict)) for _ in range(settings.steps)])
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def _timed(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def _ours(settings: Settings) -> tuple[Step, Step]:
    from stroke_tf.inference import Predictor
    from stroke_tf.models.graphs import fuse_batch_norms
    from stroke_tf.training.optimizers import adam

    model, images, train = _keras_model(settings, adam=adam, prepare=fuse_batch_norms)
    predictor = Predictor(model)
    return train, lambda: predictor.probs(images)


def _plain(settings: Settings) -> tuple[Step, Step]:
    import keras
    import tensorflow as tf

    model, images, train = _keras_model(settings, adam=keras.optimizers.Adam)
    predict = tf.function(lambda: model(images, training=False))
    return train, lambda: predict().numpy()


def _keras_model(
    settings: Settings,
    *,
    adam: Callable[[float], Any],
    prepare: Callable[[Any], None] = lambda model: None,
) -> tuple[Any, Any, Step]:
    import tensorflow as tf

    from stroke_tf.models.unet import build_unet

    model = build_unet(settings.encoder, classes=_CLASSES, image_size=settings.size)
    prepare(model)
    model.compile(
        optimizer=adam(_RATE),
        loss="sparse_categorical_crossentropy",
        jit_compile=False,
    )
    shape = (settings.batch, settings.size, settings.size)
    images = tf.random.uniform((*shape, 3), maxval=255.0)
    masks = tf.random.uniform((*shape, 1), maxval=_CLASSES, dtype=tf.int32)
    return model, images, lambda: model.train_on_batch(images, masks)


def _torch(settings: Settings) -> tuple[Step, Step]:
    import segmentation_models_pytorch as smp
    import torch

    torch.set_num_threads(settings.cores)
    layout = torch.channels_last
    encoder = _TORCH_NAMES[settings.encoder]
    model = smp.Unet(encoder, encoder_weights=None, classes=_CLASSES).to(memory_format=layout)
    optimizer = torch.optim.Adam(model.parameters(), _RATE)
    loss = torch.nn.CrossEntropyLoss()
    shape = (settings.batch, settings.size, settings.size)
    images = torch.rand(shape[0], 3, *shape[1:]).to(memory_format=layout)
    masks = torch.randint(0, _CLASSES, shape)

    def train() -> None:
        model.train()
        optimizer.zero_grad()
        loss(model(images), masks).backward()
        optimizer.step()

    def predict() -> None:
        model.eval()
        with torch.inference_mode():
            torch.softmax(model(images), dim=1).numpy()

    return train, predict


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.unet_step", description=__doc__))
