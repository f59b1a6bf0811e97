"""Upper estimates of trainings: the steps of a network times its slices and epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from stroke_tf.data.selection import drawn_negatives, is_used, label_of, rows_of_folds
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName, read_manifest
from stroke_tf.runs.histogram import is_histogram
from stroke_tf.runs.keep_or_run import Split, folder_of
from stroke_tf.runs.measure import measure
from stroke_tf.runs.settings import HEAD_ONLY, ClassifierRun
from stroke_tf.runs.step import Step
from stroke_tf.tables.jobs import Estimate
from stroke_tf.tables.table import Row

_FIGURES_BYTES = 3 << 20  # what a run leaves beside its network
_TRACES = 2  # a network is traced for its training, and again for its test


def estimate_runs(runs: Sequence[Row], outside: Sequence[Path]) -> list[Estimate]:
    """Returns the estimates of some runs of one network, see `network_of`.

    The estimate of a run that is done is that of scoring it on the folders.

    Args:
        runs: The runs; their epochs are taken to be as many as they may be.
        outside: Folders of records that finished runs are scored on.

    Raises:
        ValueError: If a setting or a folder of records is not valid.
        OSError: If initial weights cannot be had.
    """
    step = measure(runs[0])
    return [_estimate(run, step, outside) for run in runs]


def _estimate(run: Row, step: Step, outside: Sequence[Path]) -> Estimate:
    split = Split.of(run)
    train, val, test = (
        len(_labels(run, run.records, folds)) for folds in (split.train, split.val, split.test)
    )
    elsewhere = sum(len(_labels(run, records, _folds(records))) for records in outside)
    views = 1 + run.mirror_test
    if folder_of(run).is_done():
        seconds = elsewhere / run.batch_size * step.val_seconds * views
        if is_histogram(run):  # it is fitted again
            seconds = (train + elsewhere) * step.slice_seconds
        return Estimate(step.start_seconds + seconds, step.bytes, 0)
    memory = step.bytes + (train + val) * run.image_size**2 * _bytes_of_pixel(run)
    disk = step.disk + _FIGURES_BYTES + (train + val) * step.features * 4
    if is_histogram(run):
        seconds = step.start_seconds + step.slice_seconds * (train + val + test + elsewhere)
        return Estimate(seconds, memory, disk)
    seconds = _TRACES * step.start_seconds
    seconds += (val + test + elsewhere) / run.batch_size * step.val_seconds * views
    steps = _steps(train, run), _steps(val, run)
    if isinstance(run, ClassifierRun) and run.training != "full":
        seconds += (train * (run.copies + 1) + val) * step.slice_seconds
        seconds += run.head_fit.epochs * sum(steps) * step.head_seconds
    if not isinstance(run, ClassifierRun) or run.training not in HEAD_ONLY:
        drawn = _steps(_drawn(run, split.train), run)
        seconds += run.fit.epochs * (drawn * step.train_seconds + steps[1] * step.val_seconds)
    return Estimate(seconds, memory, disk)


def _steps(slices: int, run: Row) -> int:
    return math.ceil(slices / run.batch_size)


def _bytes_of_pixel(run: Row) -> int:
    of_image = 1 if read_manifest(run.records).pixels == "gray8" else 2
    return of_image + (not isinstance(run, ClassifierRun))  # and of its mask


def _folds(records: Path) -> tuple[FoldName, ...]:
    return tuple(fold.fold for fold in read_manifest(records).folds)


def _labels(run: Row, records: Path, folds: tuple[FoldName, ...]) -> list[int]:
    """Returns the label of each slice of some folds that a run uses, of a U-Net as for DETECT."""
    if isinstance(run, ClassifierRun):
        task = labelled = Task(run.task)
        lesions_only = False
    else:
        task, labelled, lesions_only = Task.SEGMENT, Task.DETECT, run.lesions_only
    return [
        label_of(row, task=labelled)
        for row in rows_of_folds(records, folds)
        if is_used(row, task=task, lesions_only=lesions_only)
    ]


def _drawn(run: Row, folds: tuple[FoldName, ...]) -> int:
    """Returns how many slices an epoch of training holds."""
    labels = _labels(run, run.records, folds)
    if run.negatives_per_positive is None:
        return len(labels)
    positives = sum(labels)
    negatives = len(labels) - positives
    return positives + drawn_negatives(positives, negatives, ratio=run.negatives_per_positive)
