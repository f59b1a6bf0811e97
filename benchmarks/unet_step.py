"""A U-Net's training step and prediction: ours beside segmentation_models.pytorch, in one run.

    pip install 'stroke_tf[bench]'
    python -m benchmarks.unet_step [--encoder resnet50] [--choices] [--quick]

- ours: `build_unet`, with the batch norms and the Adam of `fit`; the graph of `Predictor`.
- plain: the same network in Keras as it comes: `train_on_batch` and `model(..., training=False)`
  in a `tf.function`.
- torch: `segmentation_models_pytorch.Unet`, eager, as it comes; and with channels last, the faster
  layout on a CPU.

Same encoder, decoder widths, batch, size, loss (cross-entropy), optimiser (Adam) and cores. Each
way has a process of its own; they take turns, and the median step counts. Random weights and noise:
neither changes the time. The ResNets differ a little: the library behind ours puts batch norm and
ReLU before each convolution.

`least_ms` is what the multiplications of the convolutions, as the layers state them, take at the
speed of a large float32 matrix product on these cores. Ours predicts with fewer, see
`inference_graph`.

With `--choices` ours is measured beside ours with what changes the result: a stem of one channel,
bfloat16, a frozen encoder, half the size. None of them needs PyTorch.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import math
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Literal, get_args

import tyro
from rich.console import Console
from rich.table import Table

from stroke_tf.machine import usable_cores

Encoder = Literal["resnet50", "mobilenetv2", "efficientnetb3"]
Choice = Literal["grey stem", "bfloat16", "frozen encoder", "half size"]
Step = Callable[[], object]

_TORCH_NAMES = {
    "resnet50": "resnet50",
    "mobilenetv2": "mobilenet_v2",
    "efficientnetb3": "efficientnet-b3",
}
_CLASSES, _RATE, _WARM_UP = 3, 1e-4, 2
_MATRIX = 3072


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
        choices: Measure ours with each choice that changes the result, instead of other packages.
        quick: Take 64 pixels, MobileNetV2 and two rounds: under a minute.
    """

    encoder: Encoder = "resnet50"
    batch: int = 2
    size: int = 256
    cores: int = usable_cores()
    rounds: int = 5
    steps: int = 3
    choices: bool = False
    quick: bool = False


def main(settings: Settings) -> None:
    """Measures all ways and prints a table and a line of JSON."""
    if not settings.choices and importlib.util.find_spec("segmentation_models_pytorch") is None:
        sys.exit("the other side needs PyTorch: pip install 'stroke_tf[bench]'")
    if settings.quick:
        settings = replace(settings, encoder="mobilenetv2", size=64, rounds=2, steps=2)
    ways: dict[str, Callable[[Settings], tuple[Step, Step]]] = {"ours": our_steps}
    if settings.choices:
        ways |= {choice: functools.partial(our_steps, choice=choice) for choice in get_args(Choice)}
    else:
        fast = functools.partial(_torch, channels_last=True)
        ways |= {"plain": keras_steps, "torch": _torch, "torch channels last": fast}
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
    ours = results.pop("ours")
    summary = {"ours": round(ours[0]), "ours_predict": round(ours[1]), "peak_mb": round(ours[2])}
    for name, (train, predict, peak) in results.items():
        summary |= {
            name: round(train),
            f"{name}_predict": round(predict),
            f"{name}_peak_mb": round(peak),
            f"ours/{name}": round(ours[0] / train, 2),
            f"ours/{name}_predict": round(ours[1] / predict, 2),
        }
    print(
        json.dumps(
            {
                "name": "unet_step",
                "unit": "ms/training step, ms/predicted slice",
                **summary,
                "least_ms": round(_least_ms(settings)),
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


def our_steps(settings: Settings, *, choice: Choice | None = None) -> tuple[Step, Step]:
    """Returns a training step and a prediction as this package makes them."""
    import keras

    from stroke_tf.fast import gains_in_training
    from stroke_tf.fast.adam import adam
    from stroke_tf.fast.graphs import fused_batch_norms
    from stroke_tf.inference import Predictor

    if choice == "half size":
        settings = replace(settings, size=settings.size // 2)
    if choice == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    channels = 1 if choice == "grey stem" else 3
    model = _build(settings, channels=channels, freeze_encoder=choice == "frozen encoder")
    images, train = _training(model, settings, adam(_RATE))
    predictor = Predictor(model)
    fused = fused_batch_norms if gains_in_training() else contextlib.nullcontext

    def step() -> object:
        with fused(model):
            return train()

    return step, lambda: predictor.probs(images)


def keras_steps(settings: Settings) -> tuple[Step, Step]:
    """Returns a training step and a prediction of the same network in Keras as it comes."""
    import keras
    import tensorflow as tf

    model = _build(settings)
    images, train = _training(model, settings, keras.optimizers.Adam(_RATE))
    predict = tf.function(lambda: model(images, training=False))
    return train, lambda: predict().numpy()


def _build(settings: Settings, *, channels: int = 3, freeze_encoder: bool = False) -> Any:
    import keras

    from stroke_tf.models.unet import build_unet, probabilities, sm

    if channels == 3:
        options = {"image_size": settings.size, "freeze_encoder": freeze_encoder}
        return build_unet(settings.encoder, classes=_CLASSES, **options)
    shape = (settings.size, settings.size, channels)
    network = sm.Unet(
        settings.encoder,
        input_shape=shape,
        classes=_CLASSES,
        activation="linear",
        encoder_weights=None,
    )
    return keras.Model(network.inputs[0], probabilities(network.outputs[0]))


def _training(model: Any, settings: Settings, optimizer: Any) -> tuple[Any, Step]:
    import tensorflow as tf

    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    shape = (settings.batch, settings.size, settings.size)
    images = tf.random.uniform((*shape, model.input_shape[-1]), maxval=255.0)
    masks = tf.random.uniform((*shape, 1), maxval=_CLASSES, dtype=tf.int32)
    return images, lambda: model.train_on_batch(images, masks)


def _least_ms(settings: Settings) -> float:
    """Returns milliseconds of the multiplications of a predicted slice at the matrix product's."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.cores])
    import tensorflow as tf

    matrix = tf.random.uniform((_MATRIX, _MATRIX))
    seconds = min(_timed(lambda: tf.matmul(matrix, matrix).numpy()) for _ in range(10))
    return 1000 * _multiplications(_build(settings)) * seconds / _MATRIX**3


def _multiplications(model: Any) -> int:
    import keras

    count = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            count += _multiplications(layer)
        elif isinstance(layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D):
            count += math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3])
    return count


def _torch(settings: Settings, *, channels_last: bool = False) -> tuple[Step, Step]:
    import segmentation_models_pytorch as smp
    import torch

    torch.set_num_threads(settings.cores)
    layout = torch.channels_last if channels_last else torch.contiguous_format
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
