"""Numbers of slices in records beside those that the SAUCIS paper prints."""

from __future__ import annotations

from pathlib import Path

from stroke_tf.labels import StrokeType
from stroke_tf.manifest import FOLDS, Fold, FoldName, read_manifest, select_folds
from stroke_tf.page import markdown_table
from stroke_tf.tables.papers import TABLES
from stroke_tf.tables.published import PublishedRow


def sizes_of_split(records: Path, *, val: tuple[int, ...], test: tuple[FoldName, ...]) -> str:
    """Returns the sizes of Tables 1 and 2 beside those of a folder of records, as Markdown.

    Args:
        records: Folder of records.
        val: Folds of validation.
        test: Folds of the test; the others of 0 to 9 are for training.
    """
    manifest = read_manifest(records)
    train = tuple(fold for fold in range(FOLDS) if fold not in (*val, *test))
    parts = {"train": train, "val": val, "test": test}
    folds = {name: select_folds(manifest, part) for name, part in parts.items()}
    every = [fold for part in folds.values() for fold in part]
    negative = sum(fold.classes.get(StrokeType.NONE.name, 0) for fold in every)
    ours = {name: _total(part) for name, part in folds.items()}
    ours |= {"all": _total(every), "negative": negative, "positive": _total(every) - negative}
    lines = [
        [" ".join(TABLES[key].source), *_beside(row, ours[row.name])]
        for key in ("saucis-t1", "saucis-t2")
        for row in TABLES[key].rows
    ]
    return markdown_table(("table", "slices", "paper", "ours"), lines)


def sizes_of_classes(records: Path) -> str:
    """Returns the sizes of Table 3 beside those of records, test sessions left out, as Markdown."""
    folds = [fold for fold in read_manifest(records).folds if fold.fold in range(FOLDS)]
    lines = [
        _beside(row, sum(fold.classes.get(row.name.upper(), 0) for fold in folds))
        for row in TABLES["saucis-t3"].rows
    ]
    return markdown_table(("slices", "SAUCIS Table 3", "ours"), lines)


def _beside(row: PublishedRow, ours: int) -> list[str]:
    return [row.name, f"{row.values['slices']:.0f}", str(ours)]


def _total(folds: list[Fold]) -> int:
    return sum(fold.records for fold in folds)
