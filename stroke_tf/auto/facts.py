"""The facts on a run's records that the rules need; of test folds only the number of slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from stroke_tf.auto.rules import Facts
from stroke_tf.data.memory import load_slices
from stroke_tf.data.selection import drawn_negatives, is_used, label_of, rows_of_folds
from stroke_tf.evaluation.lesions import CORNERS
from stroke_tf.labels import LESION_CLASSES, StrokeType, Task
from stroke_tf.manifest import FoldName, FoldRow, read_manifest
from stroke_tf.runs.keep_or_run import Run, Split
from stroke_tf.runs.settings import UnetRun


def read_facts(run: Run) -> Facts:
    """Returns the facts of a run's records.

    Raises:
        FileNotFoundError: If the records are missing.
        ValueError: If the folds overlap, or the records are not whole.
    """
    split = Split.of(run)
    manifest = read_manifest(run.records)
    train, val, test = (_used(run, folds) for folds in (split.train, split.val, split.test))
    return Facts(
        side=manifest.size,
        training=_epoch(run, train),
        validation=len(val),
        tested=len(test),
        kept=len(train) + len(val) + len(test),
        patients=len({row.group_id for row in train}),
        bytes_per_px=(1 if manifest.pixels == "gray8" else 2) + isinstance(run, UnetRun),
        lesion_px=lesion_areas(run.records, (*split.train, *split.val)),
    )


def lesion_areas(records: Path, folds: tuple[FoldName, ...]) -> tuple[int, ...]:
    """Returns the pixels of each lesion of some folds, in slices as stored."""
    rows = rows_of_folds(records, folds)
    if not any(row.has_mask and StrokeType[row.stroke_type] in LESION_CLASSES for row in rows):
        return ()
    slices = load_slices(
        records,
        folds,
        task=Task.SEGMENT,
        image_size=read_manifest(records).size,
        lesions_only=True,
    )
    masks: Iterable[np.ndarray] = () if slices.masks is None else slices.masks[..., 0]
    return tuple(area for mask in masks for area in _areas(mask))


def _areas(mask: np.ndarray) -> Iterable[int]:
    for kind in LESION_CLASSES:
        if (mask == kind).any():
            numbered, _ = ndimage.label(mask == kind, structure=CORNERS)
            yield from np.bincount(numbered.ravel())[1:].tolist()


def _used(run: Run, folds: tuple[FoldName, ...]) -> list[FoldRow]:
    task, only = Task.SEGMENT, False
    if isinstance(run, UnetRun):
        only = run.lesions_only
    else:
        task = Task(run.task)
    rows = rows_of_folds(run.records, folds)
    return [row for row in rows if is_used(row, task=task, lesions_only=only)]


def _epoch(run: Run, rows: Sequence[FoldRow]) -> int:
    """Returns how many of the training slices an epoch holds."""
    if run.negatives_per_positive is None:
        return len(rows)
    task = Task.DETECT if isinstance(run, UnetRun) else Task(run.task)
    positives = sum(label_of(row, task=task) for row in rows)
    negatives = len(rows) - positives
    return positives + drawn_negatives(positives, negatives, ratio=run.negatives_per_positive)
