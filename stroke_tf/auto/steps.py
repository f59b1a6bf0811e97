"""A few training steps of a run's real network: what they take of memory and time.

The pixels are noise; network, losses and `fit` are those of the run. Each batch is measured in a
new process: memory that a process has freed is not always given back.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from stroke_tf.machine import gpu_memory, peak_memory
from stroke_tf.processes import die_with_parent
from stroke_tf.runs.keep_or_run import Run
from stroke_tf.runs.settings import ClassifierRun, UnetRun

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

Given = ParamSpec("Given")
Result = TypeVar("Result")
_WARM_UP, _TIMED = 2, 4  # steps


@dataclass(frozen=True)
class Step:
    """What a step of some slices takes.

    Attributes:
        size: Side of the slices, pixels.
        batch: Slices in the step.
        bytes: Most memory that the process held, with all that it needs besides.
        train_seconds: Time of a training step.
        val_seconds: Time of a step of validation.
        gpu_bytes: Most memory of the GPU; 0 without one.
        gpu_limit: Memory that the GPU has; 0 without one.
    """

    size: int
    batch: int
    bytes: int
    train_seconds: float
    val_seconds: float
    gpu_bytes: int = 0
    gpu_limit: int = 0


def apart(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Returns what a function gives in a new process.

    Raises:
        BrokenProcessPool: If the process was killed.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=die_with_parent) as pool:
        return pool.submit(work, *args, **kwargs).result()


def measure(run: Run) -> Step | None:
    """Returns what a step of a run's batch takes, in a new process; None if memory did not suffice.

    Of the run's folders nothing is read or written.
    """
    try:
        return apart(measure_here, run)
    except BrokenProcessPool:
        return None


def measure_here(run: Run) -> Step | None:
    """Does the work of `measure` in this process."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        try:
            return _measured(run, Path(folder))
        except (MemoryError, tf.errors.ResourceExhaustedError):
            return None


def _measured(run: Run, folder: Path) -> Step:
    model, objective = _network(run)
    images, labels = _noise(run)
    train: list[float] = []
    val: list[float] = []
    _fit(run, model, objective, (images, labels), folder, train=train, val=val)
    _predict(run, model, images)
    return Step(
        size=run.image_size,
        batch=run.batch_size,
        bytes=peak_memory(),
        train_seconds=_interval(train),
        val_seconds=_interval(val),
        **_gpu(),
    )


def _network(run: Run) -> tuple[keras.Model, dict[str, Any]]:
    from stroke_tf.training import training_scope

    with training_scope(run.fit):
        if isinstance(run, ClassifierRun):
            from stroke_tf.runs import classifier

            model = classifier.build(run)
            return model, classifier.objective_of(run, model)
        from stroke_tf.runs import unet

        model = unet.build(run)
        return model, unet.objective_of(run, model)


def _noise(run: Run) -> tuple[Any, Any]:
    """Returns images and labels as the run's data set has them, but of noise."""
    import numpy as np

    from stroke_tf.labels import MASK, MASK_CLASSES, SLICE

    random = np.random.default_rng(0)
    shape = (run.batch_size, run.image_size, run.image_size)
    images = random.integers(256, size=(*shape, 3), dtype=np.uint8)
    if isinstance(run, ClassifierRun):
        return images, (np.arange(run.batch_size) % 2).astype(np.float32)[:, None]
    masks = random.integers(len(MASK_CLASSES), size=(*shape, 1), dtype=np.uint8)
    if run.architecture != "joint":
        return images, masks
    slices = np.arange(run.batch_size)[:, None] % len(MASK_CLASSES)
    return images, {MASK: masks, SLICE: slices}


def _fit(
    run: Run,
    model: keras.Model,
    objective: dict[str, Any],
    batch: tuple[Any, Any],
    folder: Path,
    *,
    train: list[float],
    val: list[float],
) -> None:
    from stroke_tf.training import fit

    fit(
        model,
        _noted(batch, train),
        _noted(batch, val),
        config=replace(run.fit, epochs=1),
        run_dir=folder,
        **objective,
    )


def _noted(batch: Any, times: list[float]) -> tf.data.Dataset:
    """Returns the same batch again and again, and notes when each is asked for."""
    import tensorflow as tf

    count = _WARM_UP + _TIMED + 1

    def draw() -> Iterator[Any]:
        for _ in range(count):
            times.append(time.perf_counter())
            yield batch

    signature = tf.nest.map_structure(lambda array: tf.TensorSpec(array.shape, array.dtype), batch)
    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # it would ask ahead of the step
    dataset = tf.data.Dataset.from_generator(draw, output_signature=signature)
    return dataset.apply(tf.data.experimental.assert_cardinality(count)).with_options(options)


def _interval(times: Sequence[float]) -> float:
    last = times[-_TIMED - 1 :]
    return median(end - start for start, end in zip(last, last[1:], strict=False))


def _predict(run: Run, model: keras.Model, images: Any) -> None:
    """Predicts as the run's test does, for what that takes of memory."""
    if isinstance(run, UnetRun):
        from stroke_tf.inference.predict import Predictor

        Predictor(model, mirror=run.mirror_test).outputs(images)
    else:
        model(images, training=False)


def _gpu() -> dict[str, int]:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return {}
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    return {"gpu_bytes": peak, "gpu_limit": gpu_memory()}
