"""The flags that experiments have in common. Imports nothing heavy: `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ExperimentRun:
    """Settings of the run of an experiment.

    Attributes:
        records: Folders of records, one for each protocol.
        out: Folder of results.
        rows: Rows to run; all when none is given, but two for the smoke run of a table, which is
            cross-validated in two parts where the table has more.
        seeds: Seeds of each row.
        smoke: Only see that everything runs: tiny slices, one epoch, random weights, phantoms where
            there are no records; results are under EXPERIMENT-smoke.
    """

    records: tuple[Path, ...] = (Path("records"),)
    out: Path = Path("results")
    rows: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    smoke: bool = False


@dataclass(frozen=True)
class TableRun(ExperimentRun):
    """Settings of the run of a table.

    Attributes:
        weights: Weights of the pretrained rows: imagenet, a file (looked up in $STROKE_TF_WEIGHTS
            too), or None for random.
    """

    weights: str | None = "imagenet"


@dataclass(frozen=True)
class ByColumns(TableRun):
    """Settings of the run of a cross-validated table, and the columns to show slices by.

    Attributes:
        columns: Table that names slices, as that of `audit --table`, and has columns such as
            hospital, scanner or kind: each of their values has scores of its own.
        by: Columns to take; all with 2 to 20 values when none is given.
    """

    columns: Path | None = None
    by: tuple[str, ...] = ()


def seeded(row: Any, seed: int) -> Any:
    """Returns a run with another seed."""
    return replace(row, fit=replace(row.fit, seed=seed))
