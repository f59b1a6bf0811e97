"""The one training loop: any single-input, single-output model, resumed where it was killed.

Knows nothing of tasks, folds or what a run folder holds besides its own files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

import keras
import pandas as pd
import rich.console
import rich.progress
import tensorflow as tf

from stroke_tf.config import FitConfig

MODEL_NAME = "model.keras"
HISTORY_NAME = "history.csv"
BACKUP_NAME = "backup"
TENSORBOARD_NAME = "tensorboard"

Loss: TypeAlias = str | keras.losses.Loss
Mode = Literal["min", "max"]


def fit(
    model: keras.Model,
    train: tf.data.Dataset,
    val: tf.data.Dataset,
    *,
    config: FitConfig,
    run_dir: Path,
    loss: Loss,
    metrics: Sequence[str | keras.metrics.Metric] = (),
    monitor: str = "val_loss",
    mode: Mode = "min",
    class_weight: dict[int, float] | None = None,
    progress: str | None = None,
) -> pd.DataFrame:
    """Trains a model and leaves it with the weights of its best epoch.

    Called again after a kill, with a model built alike, the training goes on after the last
    finished epoch as if nothing had happened: weights, optimizer and learning rate, best score, the
    counters of all callbacks and the seeds of dropout are restored. So is the order of the slices,
    for a `train` that draws it when an iteration over it starts, as `make_dataset` does. Called
    after the end, it only restores model and history.

    Args:
        model: A built model with one input and one output, such as those of `build_classifier` and
            `build_unet`, made inside `training_scope(config)` for several GPUs or mixed precision.
            It stays uncompiled, so that it and its files load without this package.
        train: Batches of (images, labels).
        val: Batches of (images, labels).
        config: How to train.
        run_dir: Folder of the run, made if missing. Left in it: `model.keras` (the best epoch's,
            uncompiled), `history.csv`, `tensorboard/` and `backup/`.
        loss: Name of a Keras loss, or a loss such as those made by LOSSES.
        metrics: Further scores of each epoch.
        monitor: Name of the score that says which epoch is best.
        mode: Whether a better score is smaller ("min") or larger ("max").
        class_weight: Weight of each class id, for labels of shape (B, 1).
        progress: Title of the progress display, or None for none. It is a bar on a terminal and a
            line for each epoch elsewhere.

    Returns:
        A row for each epoch: `epoch` (from 0), `learning_rate`, `loss`, the metrics, and the same
        with the prefix `val_`.

    Raises:
        ValueError: If `run_dir` holds a training with other settings, mixed precision is asked for
            on a CPU or of a float32 model, or there is no score named `monitor`.
        FloatingPointError: If the loss or the monitored score is not finite.
    """
    _check_precision(model, config)
    settings = dataclasses.asdict(config) | {
        "loss": loss if isinstance(loss, str) else keras.saving.serialize_keras_object(loss),
        "monitor": monitor,
        "mode": mode,
        "class_weight": class_weight,
    }
    run_dir.mkdir(parents=True, exist_ok=True)
    watched = _watched(model, run_dir, config=config, monitor=monitor, mode=mode)
    backup = _Backup(run_dir / BACKUP_NAME, watched=watched, settings=settings)
    if not backup.finished:
        keras.utils.set_random_seed(config.seed)
        trainee = _compiled(model, config=config, loss=loss, metrics=metrics)
        epoch = backup.restore(trainee)
        _cut_history(run_dir / HISTORY_NAME, epochs=epoch)
        for _ in range(epoch):
            next(iter(train))
        log = keras.callbacks.CSVLogger(run_dir / HISTORY_NAME, append=True)
        board = keras.callbacks.TensorBoard(run_dir / TENSORBOARD_NAME, write_graph=False)
        with _Progress(progress, monitor=monitor) as display:
            # The backup is last: what it commits, the others have written.
            trainee.fit(
                x=train,
                validation_data=val,
                epochs=config.epochs,
                initial_epoch=epoch,
                class_weight=class_weight,
                callbacks=[_CheckScores(monitor), *watched, log, board, display, backup],
                shuffle=False,
                verbose=0,
            )
    best = keras.models.load_model(run_dir / MODEL_NAME, compile=False)
    model.set_weights(best.get_weights())
    return pd.read_csv(run_dir / HISTORY_NAME)


def strategy() -> tf.distribute.Strategy:
    """Returns a MirroredStrategy when there are two GPUs or more, else the current strategy."""
    if len(tf.config.list_physical_devices("GPU")) >= 2:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def training_scope(config: FitConfig) -> Iterator[None]:
    """Context to build a model in: of `strategy()`, and in mixed precision if that is set.

    Raises:
        ValueError: If mixed precision is asked for on a CPU.
    """
    _check_gpu(config)
    policy = keras.config.dtype_policy()
    if config.mixed_precision:
        keras.config.set_dtype_policy("mixed_float16")
    try:
        with strategy().scope():
            yield
    finally:
        keras.config.set_dtype_policy(policy)


def _check_gpu(config: FitConfig) -> None:
    if config.mixed_precision and not tf.config.list_physical_devices("GPU"):
        raise ValueError(
            "`mixed_precision` must be False without a GPU: float16 is slower on a CPU. "
            "Received: True"
        )


def _check_precision(model: keras.Model, config: FitConfig) -> None:
    _check_gpu(config)
    if config.mixed_precision and all(layer.compute_dtype != "float16" for layer in model.layers):
        raise ValueError(
            "`model` must be built inside `training_scope(config)` for mixed precision. "
            f"Received: {model.name}, which computes in float32"
        )


def _watched(
    model: keras.Model, run_dir: Path, *, config: FitConfig, monitor: str, mode: Mode
) -> list[keras.callbacks.Callback]:
    """Returns the callbacks that count epochs without a better score."""
    return [
        keras.callbacks.ReduceLROnPlateau(
            monitor=monitor,
            mode=mode,
            factor=config.reduce_factor,
            patience=config.reduce_patience,
            min_delta=0,
        ),
        keras.callbacks.EarlyStopping(monitor=monitor, mode=mode, patience=config.patience),
        _BestModel(model, run_dir / MODEL_NAME, monitor=monitor, mode=mode),
    ]


def _compiled(
    model: keras.Model,
    *,
    config: FitConfig,
    loss: Loss,
    metrics: Sequence[str | keras.metrics.Metric],
) -> keras.Model:
    """Returns a compiled model of the same layers, so that `model` itself stays uncompiled."""
    with model.distribute_strategy.scope():
        optimizer = keras.optimizers.Adam(learning_rate=config.learning_rate)
        if config.mixed_precision:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        trainee = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        trainee.compile(
            optimizer=optimizer, loss=loss, metrics=list(metrics), jit_compile=config.jit_compile
        )
    return trainee


def _cut_history(path: Path, *, epochs: int) -> None:
    """Keeps the header and one line for each finished epoch, or nothing when none is."""
    if epochs == 0:
        path.unlink(missing_ok=True)
    else:
        _replace(path, b"".join(path.read_bytes().splitlines(keepends=True)[: epochs + 1]))


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)


class _BestModel(keras.callbacks.ModelCheckpoint):
    """A ModelCheckpoint that saves an uncompiled model and renames the finished file into place."""

    def __init__(self, model: keras.Model, path: Path, *, monitor: str, mode: Mode):
        self._partial, self._path = path.with_name(f"partial-{path.name}"), path
        self._uncompiled = model
        super().__init__(self._partial, monitor=monitor, mode=mode, save_best_only=True)

    def set_model(self, model: keras.Model) -> None:
        super().set_model(self._uncompiled)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        super().on_epoch_end(epoch, logs)
        if self._partial.exists():
            self._partial.replace(self._path)


class _CheckScores(keras.callbacks.Callback):
    """Stops a training whose loss or monitored score is not a finite number."""

    def __init__(self, monitor: str):
        super().__init__()
        self._monitor = monitor
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._check("loss", (logs or {})["loss"], f"epoch {self._epoch}, batch {batch}")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
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


class _Backup(keras.callbacks.Callback):
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
        self._settings = json.loads(json.dumps(settings))
        self._state: dict[str, Any] = {"epochs": 0, "finished": False, "settings": self._settings}
        path = folder / "state.json"
        if path.is_file():
            self._state = json.loads(path.read_text(encoding="utf-8"))
            self._check_settings()

    @property
    def finished(self) -> bool:
        """Whether the training has come to its end."""
        return self._state["finished"]

    def restore(self, model: keras.Model) -> int:
        """Restores weights, optimizer and seeds; returns the number of finished epochs."""
        if self._state["epochs"]:
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)
                model.load_weights(self._folder / self._state["weights"])
            for variable, seed in zip(_seeds(model), self._state["seeds"], strict=True):
                variable.assign(seed)
        else:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir(parents=True)
        return self._state["epochs"]

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        # Here, because the callbacks set their counters to zero when training begins.
        for callback in self._watched:
            vars(callback).update(self._state.get(type(callback).__name__, {}))

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
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
        _replace(self._folder / "state.json", json.dumps(self._state, indent=2).encode())
        for path in self._folder.glob("*.weights.h5"):
            if path != weights or self.finished:
                path.unlink()

    def _check_settings(self) -> None:
        before = self._state["settings"]
        changed = {key: (before.get(key), value) for key, value in self._settings.items()}
        changed = {key: pair for key, pair in changed.items() if pair[0] != pair[1]}
        if changed:
            raise ValueError(
                f"{self._folder.parent}: a training goes on with the settings it began with; "
                f"delete the folder or choose another. Received (before, now): {changed}"
            )


def _seeds(model: keras.Model) -> list[keras.Variable]:
    """Returns the states of the layers' random generators, which weight files leave out."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


class _Progress(keras.callbacks.Callback):
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

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        done = (batch + 1) / (self.params["steps"] or batch + 1)
        self._bar.update(self._task, total=self.params["epochs"], completed=self._epoch + done)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        scores = logs or {}
        names = dict.fromkeys(("loss", self._monitor, "learning_rate"))
        shown = "  ".join(f"{name} {scores[name]:.4g}" for name in names)
        text = f"epoch {epoch + 1}/{self.params['epochs']}  {shown}"
        self._bar.update(self._task, scores=text)
        if self._bar.disable:
            self._console.print(f"{self._title}: {text}", highlight=False, soft_wrap=True)
