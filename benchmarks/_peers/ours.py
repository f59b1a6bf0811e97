"""This package: a U-Net as `stroke-tf` trains it, as many epochs as fit in the CPU time.

A pilot of a few steps and one validation, paid for by the same budget, tells what an epoch takes;
so the cosine comes to its end within the budget. If the budget cuts the last epoch off, the best
one before it counts. Runs in the interpreter of `stroke_tf`.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from statistics import median

import cv2
import keras
import numpy as np

from benchmarks._peers.job import ANSWERED, Job, cpu_seconds, main, read_slices
from stroke_tf.data import decode_slices, named_batches
from stroke_tf.data.memory import Slices
from stroke_tf.inference.predict import Predictor
from stroke_tf.labels import Task
from stroke_tf.machine import describe_environment
from stroke_tf.run_folder import RunFolder
from stroke_tf.runs import unet
from stroke_tf.runs.keep_or_run import OpenRun, Split
from stroke_tf.runs.settings import UnetRun

_PILOT_STEPS = 8
_WARM_UP = 2  # steps


def train(job: Job) -> None:
    """Trains in the job's folder."""
    recipe = recipe_of(job)
    decoded = _decoded(recipe, job)
    epochs, pilot = _epochs_within(recipe, job, decoded)
    job.tell(epochs=epochs, steps=epochs * pilot.steps, pilot=pilot.told(), versions=_versions())
    fit = replace(recipe.fit, epochs=epochs, patience=epochs)
    unet.train(replace(recipe, fit=fit), _open_run(job, "model", decoded=decoded))


def predict(job: Job) -> None:
    """Writes the probabilities of validation and test slices at the size of the records.

    Raises:
        RuntimeError: If no epoch came to its end.
    """
    recipe, run = recipe_of(job), _open_run(job, "model")
    if not run.folder.model.is_file():
        raise RuntimeError("ours saved no weights: its budget is too small for an epoch")
    model = keras.models.load_model(run.folder.model, compile=False)
    predictor = Predictor(model, mirror=recipe.mirror_test)
    with np.load(job.handed / "slices.npz") as arrays:
        class_ids = arrays["class_ids"].tolist()
    for use in ANSWERED:
        side = read_slices(job.handed, use).masks.shape[1]
        dataset = unet.dataset_of(recipe, getattr(run.split, use), with_ids=True)
        probs = [
            _sized(of_slice[..., class_ids], side)
            for batch in named_batches(dataset)
            for of_slice in predictor.probs(batch.images)
        ]
        job.save_answers(use, np.moveaxis(np.stack(probs), -1, 1))


def recipe_of(job: Job) -> UnetRun:
    """Returns the settings of the training."""
    from stroke_tf.command import parse

    path = job.folder / "recipe.json"
    recipe: UnetRun = parse(UnetRun, args=["--config", str(path)])
    split = _split(job)
    return replace(
        recipe,
        records=Path(job.options["records"]),
        val_folds=split.val,
        test_folds=split.test,
        fit=replace(recipe.fit, seed=job.seed),
    )


class _Pilot(keras.callbacks.Callback):
    """Stops a training after a few steps and notes the CPU time."""

    def __init__(self) -> None:
        super().__init__()
        self.steps, self.begun, self.ended = 0, cpu_seconds(), 0.0
        self._marks: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._marks.append(cpu_seconds())
        self.steps = self.params["steps"]
        if len(self._marks) == _PILOT_STEPS:
            self.model.stop_training = True

    @property
    def step_seconds(self) -> float:
        """CPU time of a step; the first ones are slower."""
        pairs = zip(self._marks[_WARM_UP:], self._marks[_WARM_UP + 1 :], strict=False)
        return median(end - start for start, end in pairs)

    @property
    def start_seconds(self) -> float:
        """CPU time before the first step: network, slices and graph."""
        return self._marks[0] - self.begun

    @property
    def epoch_seconds(self) -> float:
        """CPU time of a whole epoch, with its validation and what it saves."""
        return self.steps * self.step_seconds + self.ended - self._marks[-1]

    def told(self) -> dict[str, float]:
        names = ("start_seconds", "step_seconds", "epoch_seconds")
        return {name: round(getattr(self, name), 3) for name in names}


def _decoded(recipe: UnetRun, job: Job) -> Slices:
    split = _split(job)
    return decode_slices(
        recipe.records,
        (*split.train, *split.val),
        task=Task.SEGMENT,
        image_size=recipe.image_size,
        view=recipe.view,
        lesions_only=recipe.lesions_only,
    )


def _epochs_within(recipe: UnetRun, job: Job, decoded: Slices) -> tuple[int, _Pilot]:
    run, pilot = _open_run(job, "pilot", decoded=decoded), _Pilot()
    fit = replace(recipe.fit, epochs=1, warmup_epochs=0)
    unet.train(replace(recipe, fit=fit), run, callbacks=[pilot])
    pilot.ended = cpu_seconds()
    shutil.rmtree(run.folder.path)
    left = job.end - cpu_seconds() - pilot.start_seconds
    return max(1, int(left / pilot.epoch_seconds)), pilot


def _open_run(job: Job, row: str, *, decoded: Slices | None = None) -> OpenRun:
    return OpenRun(RunFolder(job.folder, "ours", row, job.seed), _split(job), decoded)


def _split(job: Job) -> Split:
    return Split(**{use: tuple(folds) for use, folds in job.options["split"].items()})


def _sized(probs: np.ndarray, side: int) -> np.ndarray:
    """Returns probabilities, shape (S, S, K), as shape (side, side, K)."""
    if len(probs) == side:
        return probs
    return cv2.resize(probs, (side, side), interpolation=cv2.INTER_LINEAR).reshape(side, side, -1)


def _versions() -> dict[str, str]:
    packages = describe_environment("")["packages"]
    return {name: packages[name] for name in ("tensorflow", "keras")}


if __name__ == "__main__":
    main({"train": train, "predict": predict})
