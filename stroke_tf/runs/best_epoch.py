"""Scores that a training gave in the epoch whose weights it kept."""

from __future__ import annotations

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.run_folder import RunFolder
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun

_COLUMNS = ("accuracy", "loss")


def best_epoch(config: ClassifierRun | UnetRun) -> dict[str, Metric]:
    """Returns the scores of a finished run's best epoch, see `best_of_run`."""
    watch = config.watch if isinstance(config, ClassifierRun) else "loss"
    return best_of_run(folder_of(config), watch=watch)


def best_of_run(folder: RunFolder, *, watch: str) -> dict[str, Metric]:
    """Returns the scores of a finished run's best epoch.

    Args:
        folder: The run. One whose backbone was not trained has no such epoch.
        watch: The validation score that says which epoch is best.

    Returns:
        `train_accuracy`, `train_loss`, `val_accuracy` and `val_loss`, without intervals: those of
        training are means over the epoch, with dropout and augmentation; nothing without an epoch.
        The accuracy of a U-Net is that of all pixels, background included, and a joint network has
        the loss alone.
    """
    epochs = folder.histories().get("history")
    if epochs is None:
        return {}
    watched = epochs.get(f"val_{watch}")
    if watched is None:  # without validation the last epoch is kept
        best = epochs.iloc[-1]
    else:
        best = epochs.iloc[watched.argmin() if watch == "loss" else watched.argmax()]
    return {
        f"{side}_{column}": Metric(float(best[prefix + column]), float("nan"), float("nan"))
        for side, prefix in (("train", ""), ("val", "val_"))
        for column in _COLUMNS
        if prefix + column in best
    }
