"""A few timed steps of a run's network: seconds, memory and disk.

The network is the run's own, at its size and in its batches, trained by the same `fit`; only its
slices are made up. To be called in a process that has done nothing else, whose memory is measured.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
import tensorflow as tf

from stroke_tf.fast.runtimes import inference
from stroke_tf.labels import MASK, MASK_CLASSES, SLICE
from stroke_tf.machine import peak_memory
from stroke_tf.models import split_head
from stroke_tf.runs import classifier, unet
from stroke_tf.runs.histogram import is_histogram, read_slices
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.tables.table import Row
from stroke_tf.training import fit, training_scope

_LEAST_STEPS, _MOST_STEPS, _ENOUGH_SECONDS = 4, 20, 5.0
_VAL_STEPS = 3


@dataclass(frozen=True)
class Speed:
    """What was measured; the seconds of a step are of one batch.

    Attributes:
        start: Seconds until the first step was done, the start of the process included.
        step: Seconds of a step of training.
        val_step: Seconds of a step of validation.
        head_step: Seconds of a step of the head alone, on features.
        per_slice: Seconds until the features of a slice are known, for a head alone.
        features: How many numbers they are.
        memory: Most bytes of memory that the process held.
        disk: Bytes that the training left.
    """

    start: float
    step: float = 0.0
    val_step: float = 0.0
    head_step: float = 0.0
    per_slice: float = 0.0
    features: int = 0
    memory: int = 0
    disk: int = 0


def time_network(run: Row) -> Speed:
    """Returns how fast the network of a run is.

    Raises:
        ValueError: If a setting is not valid.
        OSError: If initial weights cannot be had.
    """
    if isinstance(run, ClassifierRun):
        speed = _time_histogram(run) if is_histogram(run) else _time_classifier(run)
    else:
        with training_scope(run.fit):
            model = unet.build(run)
        speed = _time_fit(run, model, _batch(run), unet.objective_of(run, model))
    return replace(speed, memory=peak_memory())


def _time_histogram(run: ClassifierRun) -> Speed:
    """Times the reading of one fold: what else the baseline does is little beside it."""
    begin = time.monotonic()
    _, truth, *_ = read_slices(run, run.val_folds)
    per_slice = (time.monotonic() - begin) / len(truth)
    return Speed(_age(), per_slice=per_slice)


def _time_classifier(run: ClassifierRun) -> Speed:
    with training_scope(run.fit):
        model = classifier.build(run)
    objective = classifier.objective_of(run, model)
    if run.class_weights:
        objective["class_weight"] = {0: 1.0, 1: 1.0}
    images, labels = _batch(run)
    if run.training == "full":
        return _time_fit(run, model, (images, labels), objective)
    extractor, head = split_head(model)
    compute = inference(extractor)
    features = compute(images)  # the first time makes its graph
    begin = time.monotonic()
    compute(images)
    per_slice = (time.monotonic() - begin) / run.batch_size
    head_step = 0.0
    if not run.training.startswith("probe"):
        of_head = _time_fit(run, head, (features, labels), objective)
        head_step = of_head.step
    if run.training in classifier.HEAD_ONLY:
        speed = Speed(_age(), val_step=per_slice * run.batch_size, disk=4 * model.count_params())
    else:
        speed = _time_fit(run, model, (images, labels), objective)
    return replace(
        speed, per_slice=per_slice, head_step=head_step, features=int(features.shape[-1])
    )


def _batch(run: Row) -> tuple[Any, Any]:
    """Returns a batch of made-up slices and their labels, as the run's data set gives them."""
    random, size = np.random.default_rng(0), (run.batch_size, run.image_size, run.image_size)
    images = random.integers(256, size=(*size, 3), dtype=np.uint8)
    if isinstance(run, ClassifierRun):
        return images, random.integers(2, size=(run.batch_size, 1)).astype(np.float32)
    masks = random.integers(len(MASK_CLASSES), size=(*size, 1), dtype=np.uint8)
    if run.architecture != "joint":
        return images, masks
    return images, {MASK: masks, SLICE: masks[:, 0, 0].astype(np.int64)}


def _time_fit(run: Row, model: keras.Model, batch: tuple[Any, Any], objective: Any) -> Speed:
    """Times the training of a network, in a folder that goes when it is done."""
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
    return Speed(timer.start, _median(timer.train), _median(timer.val), disk=left)


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
    """Returns for how many seconds this process has been there."""
    return time.time() - psutil.Process().create_time()
