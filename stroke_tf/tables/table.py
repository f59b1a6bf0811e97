"""A table as data: its rows, how they are tested, and the paper's tables that they stand beside.

Knows nothing of how rows are run. Imports nothing heavy: experiments hold tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from stroke_tf.runs.parts import PARTS
from stroke_tf.runs.settings import ClassifierRun, UnetRun

Row: TypeAlias = ClassifierRun | UnetRun
Folds = Literal["one", "five"]
"""How a row is tested: on its own test folds, or on all slices by cross-validation."""


@dataclass(frozen=True)
class Table:
    """The rows of one experiment.

    Attributes:
        experiment: Name of the experiment, which its runs are kept under.
        rows: The rows by name.
        published: Keys of the paper's tables that ours stand beside, when rows are tested once.
        folds: How a row is tested.
        copies: Task that the copies are for which the records of `as-published` hold.
        clean_only: Rows that the protocol `as-published` cannot have.
        smoothed: Standard deviation, in slices, for rows that are shown smoothed too.
        preface: Gives what is to be said of a folder of records before its rows.
        parts: Number of parts of a cross-validation, see `parts_of`.
    """

    experiment: str
    rows: Mapping[str, Row]
    published: tuple[str, ...] = ()
    folds: Folds = "one"
    copies: Literal["none", "detect", "segment"] = "none"
    clean_only: tuple[str, ...] = ()
    smoothed: Mapping[str, float] = field(default_factory=dict)
    preface: Callable[[Path], str] | None = None
    parts: int = PARTS
