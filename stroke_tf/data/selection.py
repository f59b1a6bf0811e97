"""Which records a task uses and what their labels are: read from folds.csv, never from the shards.

Knows nothing of TensorFlow.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    if not has_masks(records, folds):
        raise ValueError(
            f"{records}: folds {list(folds)} must hold a lesion with its mask, for a U-Net learns "
            f"from these. Received: none in {len(rows_of_folds(records, folds))} slices"
        )


def has_masks(records: Path | str, folds: tuple[FoldName, ...]) -> bool:
    """Returns whether a slice of some folds has a lesion with a mask."""
    rows = rows_of_folds(records, folds)
    return any(row.has_mask and StrokeType[row.stroke_type] != StrokeType.NONE for row in rows)


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
    """Returns a key that sorts slices patient by patient, each patient's in their order."""
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


@dataclass
class Hardness:
    """How much lesion a network draws on slices without one; the training sets it for its data set.

    Attributes:
        share: Share of an epoch's slices with label 0 that are drawn by it, in (0, 1].
        drawn: By source id, how much lesion was drawn; empty as long as nothing is known.

    Raises:
        ValueError: If the share is out of range.
    """

    share: float
    drawn: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"`hard_negatives` must be in [0, 1]. Received: {self.share}")


_ALWAYS = 1e-9
"""Added to how much lesion was drawn: a slice without any can be drawn too."""


def epoch_drawer(
    places: np.ndarray,
    labels: Sequence[int],
    *,
    shuffle: bool,
    ratio: float | None = None,
    ids: Sequence[str] = (),
    hardness: Hardness | None = None,
    weights: np.ndarray | None = None,
) -> Callable[[np.random.Generator], np.ndarray]:
    """Returns a function that draws the slices of an epoch, in order, always the same number.

    Args:
        places: int64, shape (N,): where the slices are.
        labels: The N labels, 0 or 1.
        shuffle: Whether they are drawn in a random order; else all come in the order of `places`.
        ratio: Most slices with label 0 for each with label 1; None for all.
        ids: The N source ids; for `hardness` only.
        hardness: What a share of those with label 0 is drawn by.
        weights: Shape (N,): those with label 1 are drawn in proportion to it, as many as there are;
            None for each once.

    Raises:
        ValueError: If there is no slice with label 1 to draw by, or `hardness` has no choice.
    """
    if not shuffle:
        return lambda random: places
    if ratio is None and hardness is None and weights is None:
        return lambda random: random.permutation(places)
    is_one = np.equal(labels, 1)
    positives, negatives = places[is_one], places[~is_one]
    if not len(positives):
        raise ValueError(
            "`negatives_per_positive` needs a slice with label 1. Received: none in these folds"
        )
    kept = len(negatives)
    if ratio is not None:
        kept = drawn_negatives(len(positives), len(negatives), ratio=ratio)
    if hardness is not None and kept == len(negatives):
        raise ValueError(
            "`hard_negatives` needs `negatives_per_positive` to leave some slices out of an epoch. "
            f"Received: {ratio}, which takes all {kept}"
        )
    names = [name for name, one in zip(ids, is_one, strict=True) if not one] if hardness else []

    def draw(random: np.random.Generator) -> np.ndarray:
        drawn = positives if weights is None else _in_proportion(positives, weights[is_one], random)
        chosen = _negatives(negatives, names, kept, hardness, random)
        return random.permutation(np.concatenate([drawn, chosen]))

    return draw


def _in_proportion(
    places: np.ndarray, weights: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Returns N places, each drawn in proportion to its weight; fractions are rounded by chance."""
    edges = np.cumsum(weights) * len(places) / weights.sum()
    marks = random.random() + np.arange(len(places))
    return places[np.searchsorted(edges, marks, side="right").clip(max=len(places) - 1)]


def _negatives(
    negatives: np.ndarray,
    names: Sequence[str],
    kept: int,
    hardness: Hardness | None,
    random: np.random.Generator,
) -> np.ndarray:
    if hardness is None or not hardness.drawn:
        return random.choice(negatives, kept, replace=False)
    weights = np.array([hardness.drawn[name] for name in names]) + _ALWAYS
    count = round(hardness.share * kept)
    hard = random.choice(negatives, count, replace=False, p=weights / weights.sum())
    others = np.setdiff1d(negatives, hard)
    return np.concatenate([hard, random.choice(others, kept - count, replace=False)])


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

    Example:
        >>> from stroke_tf import Task, class_weights
        >>> weights = class_weights("records", (0, 1, 2, 3), Task.DETECT)
        >>> sorted(weights)
        [0, 1]
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
