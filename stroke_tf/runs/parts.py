"""The parts of a cross-validation: which folds each run is tested on, and whether they suffice.

Reads folds.csv alone; loads TensorFlow only to check.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from stroke_tf.labels import StrokeType, Task
from stroke_tf.manifest import FOLDS, FoldName, FoldRow, read_folds
from stroke_tf.runs.settings import ClassifierRun, UnetRun

PARTS = 5
Run = TypeVar("Run", bound=ClassifierRun | UnetRun)

_ADVICE = (
    "Fewer folds hold more patients each (`stroke-tf convert --folds 5`); "
    "so do more patients of the rarer class"
)


def parts_of(base: Run, count: int = PARTS) -> list[Run]:
    """Returns the run of each part of a row's cross-validation.

    The folds that hold slices are dealt to the parts in their order, equally many to each: those
    are for its test. The fold after them, or the first one after the last, is for validation,
    unless the row chooses on other parts, and all others are for training. No fold is divided, so a
    patient stays whole where folds keep it.

    Args:
        base: The row; its folds are replaced.
        count: Number of parts: it must divide the number of folds, and leave each part two folds
            beside those of its test.

    Raises:
        ValueError: If it does not.
    """
    folds = sorted({int(row.fold) for row in read_folds(base.records) if row.fold.isdecimal()})
    possible = [k for k in range(2, len(folds) + 1) if _fits(len(folds), k)]
    if count not in possible:
        raise ValueError(
            f"{base.records} holds slices in {len(folds)} folds: they make {possible} parts. "
            f"Received: {count}. `stroke-tf convert --folds N` deals up to {FOLDS} folds"
        )
    size = len(folds) // count
    return [
        dataclasses.replace(
            base,
            row=f"{base.row_name}-part{part}",
            test_folds=tuple(folds[part * size : (part + 1) * size]),
            val_folds=(folds[(part + 1) * size % len(folds)],) if _validates(base) else (),
            unused_folds=(),
        )
        for part in range(count)
    ]


def _validates(run: ClassifierRun | UnetRun) -> bool:
    return isinstance(run, ClassifierRun) or run.choose_on == "validation"


def _fits(folds: int, parts: int) -> bool:
    return folds % parts == 0 and folds - folds // parts >= 2


def check_parts(runs: Sequence[ClassifierRun | UnetRun]) -> list[str]:
    """Returns a warning for each part whose test slices lack a class.

    Raises:
        ValueError: If a part cannot be trained, or its operating point not be chosen, for lack of a
            class; before anything is trained.
    """
    rows = read_folds(runs[0].records)
    warnings = []
    for part, run in enumerate(runs):
        held_out = (*run.test_folds, *run.val_folds)
        train = tuple(fold for fold in range(FOLDS) if fold not in held_out)
        needed = {"training": train}
        chooses = isinstance(run, ClassifierRun) or run.tune_mask or run.score_rule
        if chooses:
            needed |= {"validation": run.val_folds} if _validates(run) else {"other": train}
        for use, folds in needed.items():
            both = _needs_both(run, use)
            if lack := _lack(run, rows, folds, both=both):
                raise ValueError(
                    f"{run.records}: the {use} folds of part {part} must hold "
                    f"{_wanted(run, both=both)}. "
                    f"Received: {lack}, folds {list(folds)}. {_ADVICE}"
                )
        if lack := _lack(run, rows, run.test_folds, both=_needs_both(run, "test")):
            warnings.append(f"part {part} tests on {lack}, folds {list(run.test_folds)}")
    return warnings


def _needs_both(run: ClassifierRun | UnetRun, use: str) -> bool:
    """Returns whether a run needs both classes in some folds; else a lesion is enough."""
    if isinstance(run, ClassifierRun):
        return True
    return run.score_rule is not None and use != "training"


def _wanted(run: ClassifierRun | UnetRun, *, both: bool) -> str:
    if isinstance(run, UnetRun):
        return "a lesion with its mask" + " and a slice without one" * both
    return f"both classes of task {run.task}"


def _lack(
    run: ClassifierRun | UnetRun,
    rows: Iterable[FoldRow],
    folds: tuple[FoldName, ...],
    *,
    both: bool,
) -> str | None:
    """Returns what some folds hold, if that is too little to train or to choose a threshold."""
    names = {str(fold) for fold in folds}
    answers = list(_answers(run, (row for row in rows if row.fold in names)))
    enough = any(answers) and not (both and all(answers))
    return None if enough else f"{sum(answers)} positive of {len(answers)} slices"


def _answers(run: ClassifierRun | UnetRun, rows: Iterable[FoldRow]) -> Iterator[bool]:
    """Yields whether each slice that a run uses is of class 1, or shows a lesion."""
    from stroke_tf.data.selection import is_used, label_of  # here: the package loads TensorFlow

    for row in rows:
        if isinstance(run, ClassifierRun):
            task = Task(run.task)
            if is_used(row, task=task):
                yield bool(label_of(row, task=task))
        elif is_used(row, task=Task.SEGMENT, lesions_only=run.lesions_only):
            yield StrokeType[row.stroke_type] != StrokeType.NONE
