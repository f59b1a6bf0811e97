"""The callbacks of a training: what keeps its state, its best model and its display.

Unlike Keras' own they leave whole files only, at any time.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from pathlib import Path
from typing import Any, Literal

import keras
import rich.console
import rich.progress

from stroke_tf.files import plain, read_json, replacing, write_json
from stroke_tf.training.hosts import meet_hosts

Mode = Literal["min", "max"]


def scope_of(model: keras.Model) -> contextlib.AbstractContextManager:
    """Returns the context of the strategy that a model was built in."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return contextlib.nullcontext()


class BestModel(keras.callbacks.ModelCheckpoint):
    """A ModelCheckpoint that saves an uncompiled model and renames the finished file into place."""

    def __init__(self, model: keras.Model, path: Path, *, monitor: str, mode: Mode):
        self._path, self._uncompiled = path, model
        super().__init__(path, monitor=monitor, mode=mode, save_best_only=True)

    def set_model(self, model: keras.Model) -> None:
        """Has the uncompiled model saved."""
        super().set_model(self._uncompiled)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the model if the epoch is the best one, and renames the file."""
        with replacing(self._path) as temporary:
            self.filepath = str(temporary)
            super().on_epoch_end(epoch, logs)


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


class Backup(keras.callbacks.Callback):
    """Keeps the state of a training on disk, so that a kill costs one epoch at most.

    Unlike keras.callbacks.BackupAndRestore it keeps the counters of the other callbacks and the
    seeds of the layers too, and the rename of `state.json`, which names the file of weights,
    commits all of it at once: killed at any time, it leaves the old state or the new one.
    """

    _counters = ("best", "best_epoch", "cooldown_counter", "stopped_epoch", "wait")

    def __init__(
        self, folder: Path, *, watched: list[keras.callbacks.Callback], settings: dict[str, Any]
    ):
        super().__init__()
        self._folder, self._watched = folder, watched
        self._settings = plain(settings)
        self._state: dict[str, Any] = {"epochs": 0, "finished": False, "settings": self._settings}
        path = folder / "state.json"
        if path.is_file():
            self._state = read_json(path)
            self._check_settings()
        meet_hosts(self._state)

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end."""
        return self._state["finished"]

    def restore(self, model: keras.Model) -> int:
        """Restores weights, optimizer and seeds; returns the number of finished epochs."""
        if self._state["epochs"]:
            with scope_of(model):
                model.optimizer.build(model.trainable_variables)
                model.load_weights(self._folder / self._state["weights"])
            for variable, seed in zip(_seeds(model), self._state["seeds"], strict=True):
                variable.assign(seed)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
        return self._state["epochs"]

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Gives the watched callbacks their counters back."""
        # Here, because the callbacks set their counters to zero when training begins.
        for callback in self._watched:
            vars(callback).update(self._state.get(type(callback).__name__, {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the state down."""
        weights = self._folder / f"epoch-{epoch:04d}.weights.h5"
        self.model.save_weights(weights)
        self._state = {
            "epochs": epoch + 1,
            "finished": self.model.stop_training or epoch + 1 == self.params["epochs"],
            "settings": self._settings,
            "weights": weights.name,
            "seeds": [variable.numpy().tolist() for variable in _seeds(self.model)],
        }
        for callback in self._watched:
            values = {key: vars(callback)[key] for key in self._counters if key in vars(callback)}
            self._state[type(callback).__name__] = values
        write_json(self._folder / "state.json", self._state)
        for path in self._folder.glob("*.weights.h5"):
            if path != weights or self.finished:
                path.unlink()

    def _check_settings(self) -> None:
        before = self._state["settings"]
        pairs = {key: (before.get(key), value) for key, value in self._settings.items()}
        changed = {
            key: pair for key, pair in pairs.items() if _nameless(pair[0]) != _nameless(pair[1])
        }
        if changed:
            raise ValueError(
                f"{self._folder.parent}: a training goes on with the settings it began with; "
                f"delete the folder or choose another. Received (before, now): {changed}"
            )


def _nameless(setting: Any) -> Any:
    """Returns a setting without the names of losses: Keras counts those made in the process."""
    if not isinstance(setting, dict):
        return setting
    return {key: _nameless(value) for key, value in setting.items() if key != "name"}


def _seeds(model: keras.Model) -> list[keras.Variable]:
    """Returns the states of the layers' random generators, which weight files leave out."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


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
