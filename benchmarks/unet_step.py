"""A U-Net's training step and prediction: ours beside other packages, in one run.

    pip install 'stroke_tf[bench]'
    python -m benchmarks.unet_step [--encoder resnet50] [--compare parts] [--quick]
    python -m benchmarks.unet_step --compare skips --encoder efficientnetlite0 --batch 8 --size 192

- ours: `build_unet`, trained as `fit` trains it; `Predictor`, which computes with OpenVINO.
- keras runtime: `Predictor(runtime="keras")`.
- plain: the same network in Keras as it comes: `train_on_batch` and `model(..., training=False)`
  in a `tf.function`.
- onnx: ONNX Runtime on the same network, by tf2onnx.
- torch: `segmentation_models_pytorch.Unet`, eager, as it comes; and with channels last, the faster
  layout on a CPU.

Same encoder, decoder widths, batch, size, loss (cross-entropy), optimiser (Adam) and cores. Each
way has a process of its own. They take turns: first training, then predicting, one step of each
untimed. The median step counts. Weights are random and slices are noise: neither changes the time.
The ResNets differ a little: the library behind ours puts batch norm and ReLU before each
convolution. `first_s` is the time until a prediction is ready, its first batch included.

`--compare parts` measures each of our changes to TensorFlow's training alone, beside Keras as it
comes. `--compare choices` measures ours with choices that change the result: a stem of one channel,
bfloat16, a frozen encoder, half the size. `--compare skips` measures `build_composed` with a
decoder to half the side that joins the encoder's narrow maps, and with one that joins its wide
ones. None of them needs PyTorch.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple, get_args

import tyro

from benchmarks._side_by_side import tell
from stroke_tf.machine import processor, usable_cores

Encoder = Literal["resnet50", "mobilenetv2", "efficientnetb3", "efficientnetlite0"]
Choice = Literal["grey stem", "bfloat16", "frozen encoder", "half size"]
Part = Literal[
    "without oneDNN",
    "batch norms",
    "convolutions",
    "adam",
    "memory",
    "batch norms, adam, memory",
    "batch norms, convolutions, adam, memory",
]
Step = Callable[[], object]

_TORCH_NAMES = {"mobilenetv2": "mobilenet_v2", "efficientnetb3": "efficientnet-b3"}
_CLASSES, _RATE, _WARM_UP = 3, 1e-4, 2


class Steps(NamedTuple):
    """The training step and the prediction of one way; None where it has none.

    Attributes:
        train: One training step.
        predict: Predicts the batch.
    """

    train: Step | None
    predict: Step | None


Way = Callable[["Settings"], Steps]


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark.

    Attributes:
        encoder: Encoder of the U-Net; efficientnetlite0 for the skips alone, which take an encoder
            of inverted residuals.
        batch: Slices in a batch.
        size: Side of the slices in pixels.
        cores: Cores that each way may use.
        rounds: Turns of each way.
        steps: Steps in a turn.
        compare: Ours beside other packages, the parts of it, choices that change the result, or
            narrow and wide skip connections.
        only: Leave the other out: in one process, what predicts leaves less cache and cores to
            what trains.
        quick: Take 64 pixels, MobileNetV2 and two rounds: under a minute.
    """

    encoder: Encoder = "resnet50"
    batch: int = 2
    size: int = 256
    cores: int = usable_cores()
    rounds: int = 5
    steps: int = 3
    compare: Literal["packages", "parts", "choices", "skips"] = "packages"
    only: Literal["training", "prediction"] | None = None
    quick: bool = False


def main(settings: Settings) -> None:
    """Measures all ways and prints a table and a line of JSON."""
    packages = settings.compare == "packages"
    if packages and importlib.util.find_spec("segmentation_models_pytorch") is None:
        sys.exit("the other side needs PyTorch: pip install 'stroke_tf[bench]'")
    if settings.quick:
        settings = replace(settings, encoder="mobilenetv2", size=64, rounds=2, steps=2)
    sides = {name: _Side(way, settings) for name, way in _ways(settings).items()}
    for _ in range(settings.rounds):
        for side in sides.values():
            side.take_turn()
    results = {name: side.end() for name, side in sides.items()}
    rows = [
        (name, *(f"{found[key]:g}" if key in found else "" for key in _COLUMNS))
        for name, found in results.items()
    ]
    first = "ours" if "ours" in results else "plain"
    ratios = {
        f"{first}/{name} {key}": round(results[first][key] / found[key], 2)
        for name, found in results.items()
        if name != first
        for key in ("train_ms", "predict_ms")
        if key in found and key in results[first]
    }
    summary = {"name": "unet_step", "processor": processor(), "rounds": settings.rounds}
    title = f"U-Net {settings.encoder}, {settings.batch} x {settings.size} x {settings.size}"
    heading = ("", *_COLUMNS.values())
    tell(f"{title}; {processor()}", heading, rows, {**summary, **results, **ratios})


_COLUMNS = {
    "train_ms": "ms/training step",
    "predict_ms": "ms/predicted slice",
    "first_s": "s to the first prediction",
    "peak_mb": "peak MB",
}


def _ways(settings: Settings) -> dict[str, Way]:
    if settings.compare == "choices":
        choices = {
            choice: functools.partial(our_steps, choice=choice) for choice in get_args(Choice)
        }
        return {"ours": our_steps, **choices}
    if settings.compare == "skips":
        return {"ours": _narrow_steps, "wide": functools.partial(_narrow_steps, narrow=False)}
    if settings.compare == "parts":
        parts = {part: functools.partial(_part_steps, part=part) for part in get_args(Part)}
        return {"plain": keras_steps, **parts}
    predicting: dict[str, Way] = {
        "onnx": _onnx_steps,  # first, while there is memory for its export
        "keras runtime": functools.partial(our_steps, runtime="keras"),
    }
    return {
        **(predicting if settings.only != "training" else {}),
        "ours": our_steps,
        "plain": keras_steps,
        "torch": _torch_steps,
        "torch channels last": functools.partial(_torch_steps, channels_last=True),
    }


class _Side:
    """One way in a process of its own, which works when it is told to."""

    def __init__(self, way: Way, settings: Settings) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, way, settings))
        self._process.start()
        theirs.close()
        self._seconds: dict[str, list[float]] = {"train": [], "predict": []}
        self._slices = settings.batch
        self._first = self._pipe.recv()

    def take_turn(self) -> None:
        self._pipe.send("work")
        for name, found in self._pipe.recv().items():
            self._seconds[name] += found

    def end(self) -> dict[str, float]:
        self._pipe.send("end")
        peak = self._pipe.recv()
        self._process.join()
        train, predict = (1000 * median(found) for found in self._seconds.values())
        found = (train, predict / self._slices, self._first, peak)
        figures = zip(_COLUMNS, found, strict=True)
        return {name: float(f"{figure:.4g}") for name, figure in figures if not math.isnan(figure)}


def _serve(pipe: Connection, way: Way, settings: Settings) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.cores])
    train, predict = way(settings)
    train = None if settings.only == "prediction" else train
    predict = None if settings.only == "training" else predict
    first = _timed(predict)
    for _ in range(_WARM_UP):
        _timed(train), _timed(predict)
    pipe.send(first)
    while pipe.recv() == "work":
        pipe.send({"train": _turn(train, settings), "predict": _turn(predict, settings)})
    pipe.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def _turn(step: Step | None, settings: Settings) -> list[float]:
    _timed(step)  # not counted: the other kind of step came before
    return [_timed(step) for _ in range(settings.steps)]


def _timed(step: Step | None) -> float:
    start = time.perf_counter()
    if step is None:
        return float("nan")
    step()
    return time.perf_counter() - start


def our_steps(
    settings: Settings, *, choice: Choice | None = None, runtime: Literal["auto", "keras"] = "auto"
) -> Steps:
    """Returns a training step and a prediction as this package makes them."""
    import keras

    if choice == "half size":
        settings = replace(settings, size=settings.size // 2)
    if choice == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    channels = 1 if choice == "grey stem" else 3
    model = _build(settings, channels=channels, freeze_encoder=choice == "frozen encoder")
    return _as_ours(model, settings, runtime=runtime)


def _narrow_steps(settings: Settings, *, narrow: bool = True) -> Steps:
    """Returns the steps of a composed U-Net with narrow or wide skip connections."""
    from stroke_tf.models.composed import build_composed

    options = {"image_size": settings.size, "classes": _CLASSES, "narrow_skips": narrow}
    model = build_composed(settings.encoder, decoder_filters=(128, 64, 32, 16), **options)
    return _as_ours(model, settings)


def _as_ours(
    model: Any, settings: Settings, *, runtime: Literal["auto", "keras"] = "auto"
) -> Steps:
    from stroke_tf.fast import keep_memory
    from stroke_tf.fast.adam import adam
    from stroke_tf.fast.layers import fused_batch_norms, fused_convolutions
    from stroke_tf.inference import Predictor

    images, train = _training(model, settings, adam()(learning_rate=_RATE))
    keep_memory()
    step = _within((fused_batch_norms, fused_convolutions), model, train)
    predictor = functools.cache(lambda: Predictor(model, runtime=runtime))
    return Steps(step if runtime == "auto" else None, lambda: predictor().probs(images))


def _part_steps(settings: Settings, *, part: Part) -> Steps:
    """Returns a training step of Keras with one change of how TensorFlow computes it."""
    if part == "without oneDNN":
        os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    import keras

    from stroke_tf.fast import keep_memory
    from stroke_tf.fast.adam import FusedAdam
    from stroke_tf.fast.layers import fused_batch_norms, fused_convolutions

    if "memory" in part:
        keep_memory()
    model = _build(settings)
    optimizer = (FusedAdam if "adam" in part else keras.optimizers.Adam)(_RATE)
    _, train = _training(model, settings, optimizer)
    ways = {"batch norms": fused_batch_norms, "convolutions": fused_convolutions}
    used = [way for name, way in ways.items() if name in part]
    return Steps(_within(used, model, train), None)


def _within(
    ways: Iterable[Callable[[Any], contextlib.AbstractContextManager]], model: Any, step: Step
) -> Step:
    def inside() -> object:
        with contextlib.ExitStack() as stack:
            for way in ways:
                stack.enter_context(way(model))
            return step()

    return inside


def keras_steps(settings: Settings) -> Steps:
    """Returns a training step and a prediction of the same network in Keras as it comes."""
    import keras
    import tensorflow as tf

    model = _build(settings)
    images, train = _training(model, settings, keras.optimizers.Adam(_RATE))
    predict = tf.function(lambda: model(images, training=False))
    return Steps(train, lambda: predict().numpy())


def _onnx_steps(settings: Settings) -> Steps:
    import numpy as np
    import onnxruntime

    images = np.random.default_rng(0).uniform(0, 255, (settings.batch, *[settings.size] * 2, 3))

    @functools.cache
    def session() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            with multiprocessing.get_context("spawn").Pool(1) as pool:  # it takes much memory
                pool.apply(_export_onnx, (settings, path))
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = settings.cores
            return onnxruntime.InferenceSession(path, options)

    def predict() -> object:
        name = session().get_inputs()[0].name
        return session().run(None, {name: images.astype(np.float32)})

    return Steps(None, predict)


def _export_onnx(settings: Settings, path: Path) -> None:
    import numpy as np

    model = _build(settings)
    model(np.zeros((1, *model.input_shape[1:])))  # only what was called is exported
    model.export(path, format="onnx", verbose=False)


def _build(settings: Settings, *, channels: int = 3, freeze_encoder: bool = False) -> Any:
    import keras

    from stroke_tf.models.unet import build_unet, probabilities, sm

    if channels == 3:
        options = {"image_size": settings.size, "freeze_encoder": freeze_encoder}
        return build_unet(settings.encoder, classes=_CLASSES, **options)
    options = {"input_shape": (settings.size, settings.size, channels), "encoder_weights": None}
    network = sm.Unet(settings.encoder, classes=_CLASSES, activation="linear", **options)
    return keras.Model(network.inputs[0], probabilities(network.outputs[0]))


def _training(model: Any, settings: Settings, optimizer: Any) -> tuple[Any, Step]:
    import tensorflow as tf

    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    shape = (settings.batch, settings.size, settings.size)
    images = tf.random.uniform((*shape, model.input_shape[-1]), maxval=255.0)
    masks = tf.random.uniform((*shape, 1), maxval=_CLASSES, dtype=tf.int32)
    return images, lambda: model.train_on_batch(images, masks)


def _torch_steps(settings: Settings, *, channels_last: bool = False) -> Steps:
    import segmentation_models_pytorch as smp
    import torch

    torch.set_num_threads(settings.cores)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    encoder = _TORCH_NAMES.get(settings.encoder, settings.encoder)
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

    return Steps(train, predict)


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.unet_step", description=__doc__))
