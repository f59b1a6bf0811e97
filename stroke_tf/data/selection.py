"""Which records a task uses and what their labels are: read from folds.csv, never from the shards.

Knows nothing of TensorFlow.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stroke_tf.labels import LESION_CLASSES, StrokeType, Task
from stroke_tf.manifest import (
    FoldName,
    FoldRow,
    natural_key,
    read_folds,
    read_manifest,
    select_folds,
)


def rows_of_folds(records: Path | str, folds: tuple[FoldName, ...]) -> list[FoldRow]:
    """Returns the rows of folds.csv of the named folds, fold by fold, as their shards hold them.

    Raises:
        FileNotFoundError: If the folder holds no manifest.
        ValueError: If a fold is unknown or named twice, or folds.csv lists another number of
            records for a fold than the manifest.
    """
    selected = select_folds(read_manifest(records), folds)
    by_fold: dict[str, list[FoldRow]] = {str(fold.fold): [] for fold in selected}
    for row in read_folds(records):
        if row.fold in by_fold:
            by_fold[row.fold].append(row)
    for fold in selected:
        if len(by_fold[str(fold.fold)]) != fold.records:
            raise ValueError(
                f"{records}: folds.csv must list the {fold.records} records of fold {fold.fold} in "
                f"the manifest. Received: {len(by_fold[str(fold.fold)])}"
            )
    return [row for rows in by_fold.values() for row in rows]


def is_used(row: FoldRow, *, task: Task, lesions_only: bool = False) -> bool:
    """Returns whether a task uses a record.

    DETECT uses every slice, TYPE ischaemia and haemorrhage, SEGMENT slices whose mask is known:
    those with a mask and those of class NONE, which are all background.

    Args:
        row: The record's row of folds.csv.
        task: What a model is asked.
        lesions_only: Whether slices of class NONE are left out.
    """
    stroke_type = StrokeType[row.stroke_type]
    if lesions_only and stroke_type == StrokeType.NONE:
        return False
    if task == Task.TYPE:
        return stroke_type in LESION_CLASSES
    if task == Task.SEGMENT:
        return bool(row.has_mask) or stroke_type == StrokeType.NONE
    return True


def label_of(row: FoldRow, *, task: Task) -> int:
    """Returns a slice's label: DETECT 1 for any stroke, else 0; TYPE 1 haemorrhage, 0 ischaemia.

    Raises:
        ValueError: If the task is SEGMENT, whose labels are masks.
    """
    stroke_type = StrokeType[row.stroke_type]
    if task == Task.DETECT:
        return int(stroke_type != StrokeType.NONE)
    if task == Task.TYPE:
        return int(stroke_type == StrokeType.HEMORRHAGE)
    raise ValueError(f"`task` must be one with a label for each slice. Received: {task}")


def check_not_empty(
    count: int,
    *,
    records: Path | str,
    folds: tuple[FoldName, ...],
    task: Task,
    lesions_only: bool = False,
) -> None:
    """Raises ValueError if `count` is 0; names the task, the folds and those that hold slices."""
    if not count:
        only = " with lesions only" if lesions_only else ""
        held = [fold.fold for fold in read_manifest(records).folds if fold.records]
        raise ValueError(
            f"{records}: folds {list(folds)} must hold a slice for task {task}{only}. Received: 0; "
            f"slices are in {held} (--val-folds and --test-folds choose)"
        )


def check_lesions(records: Path | str, folds: tuple[FoldName, ...]) -> None:
    """Raises ValueError, naming the folds, if none of their slices has a lesion with a mask."""
    rows = rows_of_folds(records, folds)
    if not any(row.has_mask and StrokeType[row.stroke_type] != StrokeType.NONE for row in rows):
        raise ValueError(
            f"{records}: folds {list(folds)} must hold a lesion with its mask, for a U-Net learns "
            f"from these. Received: none in {len(rows)} slices"
        )


def check_both_kinds(records: Path | str, folds: tuple[FoldName, ...]) -> None:
    """Raises ValueError, naming the folds, unless slices of known masks show a lesion and none."""
    rows = [row for row in rows_of_folds(records, folds) if is_used(row, task=Task.SEGMENT)]
    lesions = sum(label_of(row, task=Task.DETECT) for row in rows)
    if not 0 < lesions < len(rows):
        raise ValueError(
            f"{records}: validation folds {list(folds)} must hold slices with a lesion and without "
            f"one, for scores by masks. Received: {lesions} with one of {len(rows)}"
        )


def series_key(row: FoldRow) -> tuple[str, list[str | int]]:
    """Returns what sorts slices patient by patient, each patient's in their order."""
    return row.group_id, natural_key(row.source_id)


def neighbours_of(rows: Sequence[FoldRow]) -> np.ndarray:
    """Returns where the slices before and after each slice are among the rows.

    Slices of one group follow each other as their ids do (see `natural_key`).

    Args:
        rows: N rows of folds.csv, each of another slice.

    Returns:
        int64, shape (N, 3): the slice before, itself, the slice after. The first and the last
        slice of a group stand in for what they lack.
    """
    series = defaultdict(list)
    for place in sorted(range(len(rows)), key=lambda place: natural_key(rows[place].source_id)):
        series[rows[place].group_id].append(place)
    around = np.empty((len(rows), 3), np.int64)
    for places in series.values():
        around[places] = np.stack(
            [[places[0], *places[:-1]], places, [*places[1:], places[-1]]], axis=1
        )
    return around


def count_samples(
    records: Path | str, folds: tuple[FoldName, ...], task: Task, *, lesions_only: bool = False
) -> int:
    """Returns how many samples `make_dataset` gives for the same arguments in one epoch.

    Raises:
        FileNotFoundError: If the folder holds no manifest.
        ValueError: If a fold is unknown or named twice.
    """
    rows = rows_of_folds(records, folds)
    return sum(is_used(row, task=task, lesions_only=lesions_only) for row in rows)


def drawn_negatives(positives: int, negatives: int, *, ratio: float) -> int:
    """Returns how many negatives an epoch holds: `ratio` for each positive, as far as there are."""
    return min(negatives, math.ceil(ratio * positives))


def class_weights(
    records: Path | str,
    folds: tuple[FoldName, ...],
    task: Task,
    *,
    negatives_per_positive: float | None = None,
) -> dict[int, float]:
    """Returns scikit-learn's "balanced" weights: samples / (2 * samples of the class).

    Args:
        records: Folder of records.
        folds: Folds that are trained on.
        task: DETECT or TYPE.
        negatives_per_positive: As for `make_dataset`.

    Returns:
        The weight of label 0 and of label 1, for `Model.fit(class_weight=...)`.

    Raises:
        FileNotFoundError: If the folder holds no manifest.
        ValueError: If the task is SEGMENT, or the folds lack one of the two labels.
    """
    used = (row for row in rows_of_folds(records, folds) if is_used(row, task=task))
    counts = Counter(label_of(row, task=task) for row in used)
    missing = [label for label in (0, 1) if not counts[label]]
    if missing:
        raise ValueError(
            f"{records}: folds {list(folds)} must hold both labels of task {task}. Received: "
            f"none with label {missing}"
        )
    if negatives_per_positive is not None:
        counts[0] = drawn_negatives(counts[1], counts[0], ratio=negatives_per_positive)
    return {label: counts.total() / (2 * counts[label]) for label in (0, 1)}
