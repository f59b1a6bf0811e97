"""This package: a U-Net as `stroke-tf` trains it, as long as there is CPU time.

Only the number of epochs differs from any other training. The learning rate follows a cosine over
the CPU time. The last epoch ends early, so that its validation is within the budget too. The best
epoch counts, as always. Runs in the interpreter of `stroke_tf`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np

from benchmarks._peers.job import ANSWERED, Job, cpu_seconds, main, read_slices
from stroke_tf.data.selection import rows_of_folds
from stroke_tf.inference.predict import Predictor, drawn_batches
from stroke_tf.labels import MASK
from stroke_tf.machine import describe_environment
from stroke_tf.run_folder import RunFolder
from stroke_tf.runs import unet
from stroke_tf.runs.keep_or_run import OpenRun, Split
from stroke_tf.runs.settings import UnetRun

_MANY = 100_000  # epochs: the CPU time ends before


def train(job: Job) -> None:
    """Trains in the job's folder."""
    recipe, run = recipe_of(job), _open_run(job)
    val = len(unet.dataset_of(recipe, run.split.val))
    budget = _Budget(recipe, job, val_steps=val)
    fit = replace(recipe.fit, epochs=_MANY, patience=_MANY)
    unet.train(replace(recipe, fit=fit), run, callbacks=[budget])


def predict(job: Job) -> None:
    """Writes the probabilities of validation and test slices at the size of the records.

    Raises:
        RuntimeError: If no epoch came to its end.
    """
    recipe, run = recipe_of(job), _open_run(job)
    if not run.folder.model.is_file():
        raise RuntimeError("ours saved no weights: its budget is too small for an epoch")
    model = keras.models.load_model(run.folder.model, compile=False)
    predictor = Predictor(model, mirror=recipe.mirror_test)
    with np.load(job.handed / "slices.npz") as arrays:
        class_ids = arrays["class_ids"].tolist()
    for use in ANSWERED:
        side = read_slices(job.handed, use).masks.shape[1]
        dataset = unet.dataset_of(recipe, getattr(run.split, use), with_ids=True)
        probs = {
            name: _sized(of_slice[..., class_ids], side)
            for batch, said in drawn_batches(predictor, dataset, smooth_slices=recipe.smooth_slices)
            for name, of_slice in zip(batch.ids, said[MASK], strict=True)
        }
        # In the order of the records: what is smoothed comes patient by patient.
        rows = rows_of_folds(recipe.records, getattr(run.split, use))
        in_order = [probs[row.source_id] for row in rows if row.source_id in probs]
        job.save_answers(use, np.moveaxis(np.stack(in_order), -1, 1))


def recipe_of(job: Job) -> UnetRun:
    """Returns the settings of the training."""
    from stroke_tf.command import parse

    path = job.folder / "recipe.json"
    recipe: UnetRun = parse(UnetRun, args=["--config", str(path)])
    fit = replace(recipe.fit, seed=job.seed)
    return replace(recipe, records=Path(job.options["records"]), fit=fit)


class _Budget(keras.callbacks.Callback):
    """Ends cosine and training when only the time of a last validation is left of the budget."""

    def __init__(self, recipe: UnetRun, job: Job, val_steps: int) -> None:
        super().__init__()
        self._fit, self._job, self._val_steps = recipe.fit, job, val_steps
        self._begun, self._first, self._before, self._after = 0.0, 0.0, 0.0, 0.0
        self.steps, self.epochs = 0, 0

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Sets the learning rate of the step, where it is to follow a cosine."""
        if not self.steps:
            self._begun = cpu_seconds()
        warm = self._fit.warmup_epochs * self.params["steps"]
        if self._fit.schedule == "cosine":
            share = (cpu_seconds() - self._begun) / max(1.0, self._end - self._begun)
            rate = (1 + math.cos(math.pi * min(1.0, share))) / 2
            rate *= min(1.0, (self.steps + 1) / (warm + 1))
            self.model.optimizer.learning_rate = self._fit.learning_rate * rate

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Counts the step, and stops when there is time for the validation alone."""
        self.steps += 1
        if self.steps == 1:  # the first one is slow: the graph is made
            self._first = cpu_seconds()
        elif not self.epochs:  # how long a validation takes is not known yet
            each = (cpu_seconds() - self._first) / (self.steps - 1)
            self._after = self._val_steps * each / 2
        if cpu_seconds() >= self._end:
            self.model.stop_training = True

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        """Notes when an epoch's validation begins."""
        self._before = cpu_seconds()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Counts the epoch and writes that down: the process may be stopped after the last one."""
        self.epochs += 1
        self._job.tell(steps=self.steps, epochs=self.epochs, versions=_versions())

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes how long the last epoch took from its validation on, with all that was saved."""
        if self.epochs:
            self._after = cpu_seconds() - self._before

    @property
    def _end(self) -> float:
        return self._job.end - self._after


def _open_run(job: Job) -> OpenRun:
    return OpenRun(RunFolder(job.folder, "ours", "model", job.seed), _split(job))


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
