"""Callbacks that check and show scores, and try slices without a lesion for hard ones."""

from __future__ import annotations

import math

import keras
import numpy as np
import rich.console
import rich.progress
import tensorflow as tf

from stroke_tf.data import Hardness, named_batches
from stroke_tf.labels import MASK

_TRIED_EACH = 3  # epochs


class CheckScores(keras.callbacks.Callback):
    """Stops a training whose loss or monitored score is not a finite number."""

    def __init__(self, monitor: str):
        super().__init__()
        self._monitor = monitor
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes which epoch it is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Raises FloatingPointError for a loss that is not finite."""
        self._check("loss", (logs or {})["loss"], f"epoch {self._epoch}, batch {batch}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Raises ValueError without the score, FloatingPointError if it is not finite."""
        scores = logs or {}
        if self._monitor not in scores:
            raise ValueError(
                f"`monitor` must be one of {sorted(scores)}. Received: {self._monitor!r}"
            )
        self._check(self._monitor, scores[self._monitor], f"epoch {epoch}")

    def _check(self, name: str, score: float, place: str) -> None:
        if not math.isfinite(score):
            raise FloatingPointError(
                f"`{name}` must be finite: a lower learning rate may help. "
                f"Received: {score} in {place}"
            )


class Progress(keras.callbacks.Callback):
    """Shows where a training is: a bar on a terminal, else a line for each epoch."""

    def __init__(self, title: str | None, *, monitor: str):
        super().__init__()
        self._title, self._monitor = title, monitor
        self._console = rich.console.Console(quiet=title is None)
        self._bar = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(),
            rich.progress.TextColumn("{task.fields[scores]}"),
            rich.progress.TimeRemainingColumn(),
            console=self._console,
            disable=title is None or not self._console.is_terminal,
        )
        self._task = self._bar.add_task(title or "", total=None, scores="")
        self._epoch = 0

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Notes which epoch it is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Moves the bar."""
        done = (batch + 1) / (self.params["steps"] or batch + 1)
        self._bar.update(self._task, total=self.params["epochs"], completed=self._epoch + done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Shows the scores of the epoch."""
        scores = logs or {}
        names = dict.fromkeys(("loss", self._monitor, "learning_rate"))
        shown = "  ".join(f"{name} {scores[name]:.4g}" for name in names)
        text = f"epoch {epoch + 1}/{self.params['epochs']}  {shown}"
        self._bar.update(self._task, scores=text)
        if self._bar.disable:
            self._console.print(f"{self._title}: {text}", highlight=False, soft_wrap=True)


class TryNegatives(keras.callbacks.Callback):
    """Notes how much lesion a model draws on slices without one, after epochs 1, 4, 7 and so on.

    That takes a third of the slices' forward passes an epoch; nothing comes after the last epoch.

    Args:
        hardness: Where it is noted.
        slices: Batches, made `with_ids`, of the slices without a lesion, not augmented.

    Attributes:
        drawn: By source id, the mean probability of a lesion over the pixels.
    """

    def __init__(self, hardness: Hardness, slices: tf.data.Dataset) -> None:
        super().__init__()
        self._hardness, self._slices = hardness, slices
        self.drawn: dict[str, float] = {}

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Passes on the known hardness: a resumed training has it from before."""
        self._hardness.drawn = self.drawn

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Tries the slices."""
        if epoch % _TRIED_EACH or epoch + 1 == self.params["epochs"]:
            return
        drawn: dict[str, float] = {}
        for batch in named_batches(self._slices):
            said = self.model.predict_on_batch(batch.images)
            probs = said[MASK] if isinstance(said, dict) else said
            lesion = 1 - np.mean(probs[..., 0], axis=(1, 2), dtype=np.float64)
            drawn |= dict(zip(batch.ids, lesion.clip(min=0).tolist(), strict=True))
        self.drawn = drawn
