"""Numbers of slices in records beside those that the papers print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.manifest import FOLDS, FoldName, read_manifest
from stroke_tf.page import markdown_table
from stroke_tf.tables.papers import TABLES
from stroke_tf.tables.published import PublishedRow

ClassesOfFolds = Mapping[str, Mapping[str, int]]
"""Slices by fold, "0" to "9" or a test session, and by class."""
_NUMBERED = tuple(map(str, range(FOLDS)))


def sizes_of_split(records: Path, *, val: tuple[int, ...], test: tuple[FoldName, ...]) -> str:
    """Returns the sizes of Tables 1 and 2 beside those of a folder of records, as Markdown.

    Args:
        records: Folder of records.
        val: Folds of validation.
        test: Folds of the test; the others of 0 to 9 are for training.
    """
    ours = slice_sizes(classes_of_folds(records), val=val, test=test)
    lines = [
        [" ".join(TABLES[key].source), *_beside(row, ours)]
        for key in ("saucis-t1", "saucis-t2")
        for row in TABLES[key].rows
    ]
    return markdown_table(("table", "slices", "paper", "ours"), lines)


def sizes_of_classes(records: Path) -> str:
    """Returns the sizes of Table 3 beside those of records, test sessions left out, as Markdown."""
    ours = slice_sizes(classes_of_folds(records))
    lines = [_beside(row, ours) for row in TABLES["saucis-t3"].rows]
    return markdown_table(("slices", "SAUCIS Table 3", "ours"), lines)


def classes_of_folds(records: Path) -> ClassesOfFolds:
    """Returns the slices of a folder of records by fold and class."""
    return {str(fold.fold): fold.classes for fold in read_manifest(records).folds}


def slice_sizes(
    folds: ClassesOfFolds, *, val: Iterable[FoldName] = (), test: Iterable[FoldName] = ()
) -> dict[str, int]:
    """Returns numbers of slices under the names of the papers' rows.

    Args:
        folds: The slices.
        val: Folds of validation.
        test: Folds of the test; the others of 0 to 9 are for training.
    """
    parts = {"val": [*map(str, val)], "test": [*map(str, test)]}
    parts["train"] = [name for name in _NUMBERED if name not in (*parts["val"], *parts["test"])]
    split = [name for names in parts.values() for name in names]
    none = StrokeType.NONE.name
    sizes = {part: _count(folds, names) for part, names in parts.items()}
    sizes |= {"negative": _count(folds, split, none), "all": _count(folds, folds)}
    sizes |= {
        "positive": _count(folds, split) - sizes["negative"],
        "none": _count(folds, folds, none),
    }
    sizes["stroke"] = sizes["all"] - sizes["none"]
    sizes |= {kind.name.lower(): _count(folds, _NUMBERED, kind.name) for kind in LESION_CLASSES}
    return sizes | {f"phase {n} test": _count(folds, [f"stage{n}"]) for n in (1, 2)}


def _count(folds: ClassesOfFolds, names: Iterable[str], *kinds: str) -> int:
    """Returns the slices of some folds, of all classes if none is named."""
    classes = [folds.get(name, {}) for name in names]
    return sum(n for of in classes for kind, n in of.items() if not kinds or kind in kinds)


def _beside(row: PublishedRow, ours: Mapping[str, int]) -> list[str]:
    return [row.name, f"{row.values['slices']:.0f}", str(ours[row.name])]
