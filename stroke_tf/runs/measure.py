"""A few training steps of a run's real network: what they take of time, memory and disk.

Network, losses and `fit` are those of the run, its size and batch too; only the slices are noise.
To be called in a process that has done nothing else, whose memory is measured.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf

from stroke_tf.fast.runtimes import inference
from stroke_tf.inference.predict import Predictor
from stroke_tf.labels import MASK_CLASSES
from stroke_tf.machine import gpu_memory, peak_memory
from stroke_tf.models import split_head
from stroke_tf.runs import classifier, unet
from stroke_tf.runs.histogram import is_histogram, read_histograms
from stroke_tf.runs.keep_or_run import Run
from stroke_tf.runs.settings import HEAD_ONLY, ClassifierRun, UnetRun
from stroke_tf.runs.step import Step
from stroke_tf.training import fit, training_scope

_LEAST_STEPS, _MOST_STEPS, _ENOUGH_SECONDS = 4, 20, 5.0
_VAL_STEPS = 3
_Batch = tuple[Any, Any]


def measure(run: Run) -> Step:
    """Returns the cost of a run's training. Only for a histogram are records read.

    Raises:
        ValueError: If a setting is not valid.
        OSError: If initial weights cannot be had.
    """
    if not isinstance(run, ClassifierRun):
        found = _of_unet(run)
    else:
        found = _of_histogram(run) if is_histogram(run) else _of_classifier(run)
    return Step(run.image_size, run.batch_size, peak_memory(), **found, **_gpu())


def _of_histogram(run: ClassifierRun) -> dict[str, Any]:
    """Times the reading of one fold: the rest of the baseline takes little time."""
    begin = time.monotonic()
    _, truth, *_ = read_histograms(run, run.val_folds)
    seconds = (time.monotonic() - begin) / len(truth)
    return {"start_seconds": _age(), "slice_seconds": seconds}


def _of_unet(run: UnetRun) -> dict[str, Any]:
    with training_scope(run.fit):
        model = unet.build(run)
    batch = _noise(run)
    found = _of_fit(run, model, batch, unet.objective_of(run, model))
    Predictor(model, mirror=run.mirror_test).outputs(batch[0])  # the test's memory
    return found


def _of_classifier(run: ClassifierRun) -> dict[str, Any]:
    with training_scope(run.fit):
        model = classifier.build(run)
    objective = classifier.objective_of(run, model)
    if run.class_weights:
        objective["class_weight"] = {0: 1.0, 1: 1.0}
    images, labels = _noise(run)
    found = {}
    if run.training != "full":
        found = _of_head(run, model, (images, labels), objective)
    if run.training not in HEAD_ONLY:
        found |= _of_fit(run, model, (images, labels), objective)
    model(images, training=False)  # the test's memory
    return found


def _of_head(
    run: ClassifierRun, model: keras.Model, batch: _Batch, objective: dict[str, Any]
) -> dict[str, Any]:
    extractor, head = split_head(model)
    compute, (images, labels) = inference(extractor), batch
    features = compute(images)  # the first time makes its graph
    begin = time.monotonic()
    compute(images)
    seconds = time.monotonic() - begin
    found = {"start_seconds": _age(), "val_seconds": seconds, "disk": 4 * model.count_params()}
    found |= {"slice_seconds": seconds / run.batch_size, "features": int(features.shape[-1])}
    if not run.training.startswith("probe"):
        of_fit = _of_fit(run, head, (features, labels), objective)
        found["start_seconds"] = of_fit["start_seconds"]
        found["head_seconds"] = of_fit["train_seconds"]
    return found


def _noise(run: Run) -> _Batch:
    """Returns images and labels as the run's data set has them, but of noise."""
    random = np.random.default_rng(0)
    shape = (run.batch_size, run.image_size, run.image_size)
    images = random.integers(256, size=(*shape, 3), dtype=np.uint8)
    if isinstance(run, ClassifierRun):
        return images, (np.arange(run.batch_size) % 2).astype(np.float32)[:, None]
    masks = random.integers(len(MASK_CLASSES), size=(*shape, 1), dtype=np.uint8)
    slices = np.arange(run.batch_size)[:, None] % len(MASK_CLASSES)
    return images, unet.labels_of(run, masks, slices)


def _of_fit(
    run: Run, model: keras.Model, batch: _Batch, objective: dict[str, Any]
) -> dict[str, Any]:
    """Times the training of a network, in a temporary folder."""
    timer, batches = _Timer(), tf.data.Dataset.from_tensors(batch)
    with tempfile.TemporaryDirectory() as folder:
        fit(
            model,
            batches.repeat(_MOST_STEPS),
            batches.repeat(_VAL_STEPS),
            config=replace(run.fit, epochs=1),
            run_dir=Path(folder),
            callbacks=[timer],
            **objective,
        )
        left = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    seconds = {"train_seconds": _median(timer.train), "val_seconds": _median(timer.val)}
    return {**seconds, "start_seconds": timer.start, "disk": left}


class _Timer(keras.callbacks.Callback):
    """Notes when steps end, and ends the epoch when there are enough of them."""

    def __init__(self) -> None:
        super().__init__()
        self.start = 0.0
        self.train: list[float] = []
        self.val: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the end of a step of training."""
        self.start = self.start or _age()
        self.train.append(time.monotonic())
        enough = self.train[-1] - self.train[0] > _ENOUGH_SECONDS
        self.model.stop_training = enough and len(self.train) >= _LEAST_STEPS

    def on_test_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Notes the end of a step of validation."""
        self.val.append(time.monotonic())


def _median(ends: Sequence[float]) -> float:
    return statistics.median(later - end for end, later in zip(ends, ends[1:], strict=False))


def _age() -> float:
    """Returns the age of this process in seconds."""
    return time.time() - psutil.Process().create_time()


def _gpu() -> dict[str, int]:
    if not tf.config.list_physical_devices("GPU"):
        return {}
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return {"gpu_bytes": peak, "gpu_limit": gpu_memory()}
