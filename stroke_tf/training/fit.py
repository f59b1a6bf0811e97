"""The one training loop: any single-input model, resumed where it was killed.

Knows nothing of tasks, folds or what a run folder holds besides its own files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import keras
import pandas as pd
import tensorflow as tf

from stroke_tf.config import FitConfig
from stroke_tf.fast import keep_memory
from stroke_tf.fast.layers import fused_batch_norms, fused_convolutions
from stroke_tf.files import plain, read_json, replacing, write_bytes, write_json
from stroke_tf.training.callbacks import CheckScores, Progress
from stroke_tf.training.hosts import is_leader, meet_hosts
from stroke_tf.training.recipe import Mode, check_recipe, optimizer_of, schedule

MODEL_NAME = "model.keras"
HISTORY_NAME = "history.csv"
BACKUP_NAME = "backup"
TENSORBOARD_NAME = "tensorboard"

Loss: TypeAlias = str | keras.losses.Loss
Metrics: TypeAlias = Sequence[str | keras.metrics.Metric]


def fit(
    model: keras.Model,
    train: tf.data.Dataset,
    val: tf.data.Dataset | None,
    *,
    config: FitConfig,
    run_dir: Path,
    loss: Loss | Mapping[str, Loss],
    outputs: Mapping[str, keras.KerasTensor] | None = None,
    loss_weights: Mapping[str, float] | None = None,
    metrics: Metrics | Mapping[str, Metrics] = (),
    monitor: str = "val_loss",
    mode: Mode = "min",
    class_weight: dict[int, float] | None = None,
    slow: Sequence[keras.Variable] = (),
    progress: str | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    steering: Sequence[keras.callbacks.Callback] = (),
) -> pd.DataFrame:
    """Trains a model and leaves it with the weights of its best epoch, or of its last one.

    Called again after a kill, with a model built alike, the training goes on after the last
    finished epoch as if nothing had happened: weights, optimizer and learning rate, best score, the
    counters of all callbacks and the seeds of dropout are restored. So is the order of the slices,
    for a `train` that draws it when an iteration over it starts, as `make_dataset` does. Called
    after the end, it only restores model and history.

    Args:
        model: A built model with one input, such as those of `build_classifier` and `build_unet`,
            made inside `training_scope(config)` for several GPUs or mixed precision. Its output is
            one tensor, or a dict of them by name as of `build_composed`: then loss, metrics and
            labels are dicts of the same names. It stays uncompiled, so that it and its files load
            without this package.
        train: Batches of (images, labels).
        val: Batches of (images, labels); None: all epochs are trained, and the last one is kept.
        config: How to train.
        run_dir: Folder of the run, made if missing. Left in it: `model.keras` (of the epoch that is
            kept, uncompiled), `history.csv`, `tensorboard/` and `backup/`. After `join_hosts` each
            process needs a folder of its own, of equal content: what one alone saves stops JAX.
        loss: Name of a Keras loss, or a loss such as those made by LOSSES.
        outputs: What is trained in place of the model's output: that, and more on the same layers
            that only the training has. What these need beyond the model is not saved with it.
        loss_weights: What the loss of each output is multiplied by in the sum; 1 each if None.
        metrics: Further scores of each epoch.
        monitor: Name of the score that says which epoch is best; without `val` that of training.
        mode: Whether a better score is smaller ("min") or larger ("max").
        class_weight: Weight of each class id, for labels of shape (B, 1).
        slow: Weights that learn at `config.encoder_rate` times the learning rate.
        progress: Title of the progress display, or None for none. It is a bar on a terminal and a
            line for each epoch elsewhere.
        callbacks: Callbacks that only look on.
        steering: Callbacks that change what comes next by what is in their attribute `drawn`, which
            is restored too.

    Returns:
        A row for each epoch: `epoch` (from 0), `learning_rate`, `loss`, the metrics, and the same
        with the prefix `val_`. Of several outputs, the losses and metrics of each have its name
        before theirs, as in `mask_loss`.

    Raises:
        ValueError: If a setting is out of range or without effect, `run_dir` holds a training with
            other settings, float16 is asked for on a CPU, or mixed precision of a float32 model,
            there is no score named `monitor`, or another process sees another training.
        FloatingPointError: If the loss or the monitored score is not finite.

    Example:
        >>> from pathlib import Path
        >>> from stroke_tf import FitConfig, Task, build_classifier, fit, make_dataset
        >>> shared = {"task": Task.DETECT, "image_size": 32, "batch_size": 16}
        >>> history = fit(
        ...     build_classifier("cnn-detect", image_size=32),
        ...     make_dataset("records", folds=(0, 1), training=True, **shared),
        ...     make_dataset("records", folds=(8,), **shared),
        ...     config=FitConfig(epochs=1),
        ...     run_dir=Path("results/tried"),
        ...     loss="binary_crossentropy",
        ... )
        >>> list(history["epoch"])
        [0]
    """
    monitor = monitor if val is not None else monitor.removeprefix("val_")
    _check_precision(model, config)
    check_recipe(config, has_slow=bool(slow))
    settings = dataclasses.asdict(config) | {
        "loss": _described(loss),
        "loss_weights": loss_weights,
        "monitor": monitor,
        "mode": mode,
        "class_weight": class_weight,
    }
    run_dir.mkdir(parents=True, exist_ok=True)
    keep_memory()
    averaged = [keras.callbacks.SwapEMAWeights()] if config.average else []
    early = keras.callbacks.EarlyStopping(monitor=monitor, mode=mode, patience=config.patience)
    best = BestModel(
        model,
        run_dir / MODEL_NAME,
        monitor=monitor,
        mode=mode,
        averaged=averaged,
        keeps_last=val is None,
    )
    rate = schedule(config, monitor=monitor, mode=mode)
    watched = [*steering, rate, *([early] if val is not None else []), best]
    backup = Backup(run_dir / BACKUP_NAME, watched=watched, settings=settings)
    if not backup.finished:
        keras.utils.set_random_seed(config.seed)
        trainee = _compiled(
            model,
            config=config,
            loss=loss,
            outputs=outputs,
            loss_weights=loss_weights,
            metrics=metrics,
            slow=slow,
        )
        epoch = backup.restore(trainee)
        _cut_history(run_dir / HISTORY_NAME, epochs=epoch)
        for _ in range(epoch):
            next(iter(train))
        log = EpochLog(run_dir / HISTORY_NAME, append=True)
        board = keras.callbacks.TensorBoard(run_dir / TENSORBOARD_NAME, write_graph=False)
        shown = Progress(progress if is_leader() else None, monitor=monitor)
        with fused_batch_norms(trainee), fused_convolutions(trainee), shown as display:
            # The backup is last: what it commits, the others have written.
            trainee.fit(
                x=train,
                validation_data=val,
                epochs=config.epochs,
                initial_epoch=epoch,
                class_weight=class_weight,
                callbacks=[
                    *(*averaged, CheckScores(monitor), *callbacks, *watched),
                    *(log, board, display, backup),
                ],
                shuffle=False,
                verbose=0,
            )
    restore_best(model, run_dir)
    return pd.read_csv(run_dir / HISTORY_NAME)


def restore_best(model: keras.Model, run_dir: Path) -> None:
    """Gives a model the weights that a training in a folder, made by `fit`, has kept."""
    best = keras.models.load_model(run_dir / MODEL_NAME, compile=False)
    model.set_weights(best.get_weights())


def strategy() -> tf.distribute.Strategy:
    """Returns a MirroredStrategy when there are two GPUs or more, else the current strategy."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    if on_tensorflow and len(tf.config.list_physical_devices("GPU")) >= 2:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


@contextlib.contextmanager
def training_scope(config: FitConfig) -> Iterator[None]:
    """Context to build a model in: of `strategy()`, and in mixed precision if that is set.

    Once a deterministic training was asked for, all operations of the process are deterministic.

    Raises:
        ValueError: If float16 is asked for on a CPU.
    """
    _check_gpu(config)
    if config.deterministic and keras.backend.backend() == "tensorflow":
        keras.utils.set_random_seed(config.seed)
        tf.config.experimental.enable_op_determinism()
    policy = keras.config.dtype_policy()
    if config.precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{config.precision}")
    try:
        with strategy().scope():
            yield
    finally:
        keras.config.set_dtype_policy(policy)


def _check_gpu(config: FitConfig) -> None:
    if config.precision == "float16" and not tf.config.list_physical_devices("GPU"):
        raise ValueError(
            "`precision` must be float32 or bfloat16 without a GPU: float16 is slower on a CPU. "
            f"Received: {config.precision}"
        )


def _check_precision(model: keras.Model, config: FitConfig) -> None:
    _check_gpu(config)
    if all(layer.compute_dtype != config.precision for layer in model.layers):
        raise ValueError(
            f"`model` must be built inside `training_scope(config)` to compute in "
            f"{config.precision}. Received: {model.name}, which does not"
        )


def _described(loss: Loss | Mapping[str, Loss]) -> Any:
    """Returns a loss as values that JSON can hold."""
    if isinstance(loss, Mapping):
        return {name: _described(of_output) for name, of_output in loss.items()}
    return loss if isinstance(loss, str) else keras.saving.serialize_keras_object(loss)


def _compiled(
    model: keras.Model,
    *,
    config: FitConfig,
    loss: Loss | Mapping[str, Loss],
    outputs: Mapping[str, keras.KerasTensor] | None,
    loss_weights: Mapping[str, float] | None,
    metrics: Metrics | Mapping[str, Metrics],
    slow: Sequence[keras.Variable],
) -> keras.Model:
    """Returns a compiled model of the same layers, so that `model` itself stays uncompiled."""
    with scope_of(model):
        optimizer = optimizer_of(config, slow)
        several = isinstance(loss, Mapping)
        whole = model.output if several else model.outputs[0]
        trainee = keras.Model(model.inputs[0], outputs or whole, name=model.name)
        trainee.compile(
            optimizer=optimizer,
            loss=loss,
            loss_weights=loss_weights,
            metrics=metrics if several else list(metrics),
            # Without XLA JAX computes one operation at a time.
            jit_compile=config.jit_compile or keras.backend.backend() == "jax",
        )
    return trainee


def _cut_history(path: Path, *, epochs: int) -> None:
    """Keeps the header and one line for each finished epoch, or nothing when none is."""
    if epochs == 0:
        path.unlink(missing_ok=True)
    else:
        write_bytes(path, b"".join(path.read_bytes().splitlines(keepends=True)[: epochs + 1]))


def scope_of(model: keras.Model) -> contextlib.AbstractContextManager:
    """Returns the context of the strategy that a model was built in."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.scope()
    return contextlib.nullcontext()


class EpochLog(keras.callbacks.CSVLogger):
    """A CSVLogger without the empty columns that Keras adds where nothing is validated."""

    keys: list[str] | None

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Writes the line of the epoch."""
        self.keys = self.keys or sorted(logs or {})
        super().on_epoch_end(epoch, logs)


class BestModel(keras.callbacks.ModelCheckpoint):
    """A ModelCheckpoint that saves an uncompiled model and renames the finished file into place."""

    def __init__(
        self,
        model: keras.Model,
        path: Path,
        *,
        monitor: str,
        mode: Mode,
        averaged: Sequence[keras.callbacks.SwapEMAWeights],
        keeps_last: bool = False,
    ):
        self._path, self._uncompiled, self._averaged = path, model, averaged
        super().__init__(path, monitor=monitor, mode=mode, save_best_only=not keeps_last)

    def set_model(self, model: keras.Model) -> None:
        """Has the uncompiled model saved."""
        super().set_model(self._uncompiled)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Saves the model, if the epoch is the best or the last one, and renames the file."""
        for swap in self._averaged:
            swap.on_test_begin()  # the running mean of the weights, which was validated
        with replacing(self._path) as temporary:
            self.filepath = str(temporary)
            super().on_epoch_end(epoch, logs)
        for swap in self._averaged:
            swap.on_test_end()


class Backup(keras.callbacks.Callback):
    """Keeps the state of a training on disk, so that a kill costs one epoch at most.

    Unlike keras.callbacks.BackupAndRestore it keeps the counters of the other callbacks and the
    seeds of the layers too, and the rename of `state.json`, which names the file of weights,
    commits all of it at once: killed at any time, it leaves the old state or the new one.
    """

    _counters = ("best", "best_epoch", "cooldown_counter", "drawn", "stopped_epoch", "wait")

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
