"""The flags of a reproduction. Imports nothing heavy: `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stroke_tf.tables.settings import TableRun


@dataclass(frozen=True)
class Reproduction(TableRun):
    """Settings of a reproduction.

    Attributes:
        records: Folders of records, one for each protocol, and for each kind of copies where a
            table has some.
        out: Folder of results. Started again, the command goes on in it.
        tables: Experiments to run, such as usth-t1-detect; those of the papers when none is given.
        rows: Rows to run, such as resnet50 or usth-t1-detect/resnet50; all when none is given.
        seeds: Seeds of each row.
        outside: Folders of records of another source: nothing is trained on them, finished runs are
            scored on them.
        budget_hours: Hours that this command may take; a row whose estimate does not fit into what
            is left of them is not run. None: no limit.
        small_size: Most pixels of the side of slices in every row, a multiple of 32. Such rows are
            not the papers' and the report says so. None: as the papers have it.
        small_epochs: Most epochs of every row, likewise.
        deterministic: Have equal runs give bit-equal histories on one machine; takes more time.
        smoke: Only see that everything runs: a histogram and a network of each table, tiny slices,
            one epoch, random weights, phantoms where there are no records; in OUT/reproduce-smoke.
    """

    tables: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0, 1, 2)
    outside: tuple[Path, ...] = ()
    budget_hours: float | None = None
    small_size: int | None = None
    small_epochs: int | None = None
    deterministic: bool = False
