"""What a table of one's own says of slices, joined to them by their ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stroke_tf.audits.audit import Finding
from stroke_tf.text_tables import read_table

_MOST_VALUES = 12  # a column of more does not divide slices into groups worth a row each
_FEW = 0.5  # share of the slices: a table that names fewer is perhaps of others
_ID = "id"
_WORD = re.compile(r"\d+|[^\W\d_]+")


@dataclass(frozen=True)
class Known:
    """What a table says of N slices, in their order.

    Attributes:
        cells: The columns that do not name the slice, as text; empty where it has no row.
        naming: The columns that do.
        has_row: bool, shape (N,): whether the table names the slice.
        table: Name of the file.
    """

    cells: pd.DataFrame
    naming: pd.DataFrame
    has_row: NDArray[np.bool_]
    table: str

    def column(self, name: str) -> list[str]:
        """Returns the cells of a column, which may be one of those that name the slice."""
        return list((self.naming if name in self.naming else self.cells)[name])

    def findings(self) -> list[Finding]:
        """Returns how many slices the table names: nothing where it names all."""
        if self.has_row.all():
            return []
        named, n = int(self.has_row.sum()), len(self.has_row)
        text = f"{self.table} names {named} of {n} slices: of the others it says nothing."
        return [Finding("warning" if named < _FEW * n else "note", text)]


def known_of(table: Path, ids: Sequence[str]) -> Known:
    """Returns what a table says of some slices, a row for each of them in their order.

    The column `id` names the slice. Without it the first column does or, where that finds more
    slices, the first two together, as patient and slice number. Ids are compared by their words
    and numbers: "049-001", "49/1" and 49 beside 1 are the same.

    Args:
        table: CSV or TSV whose first line names the columns.
        ids: N ids of slices.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no table, names none of the slices, or names one twice.
    """
    cells = pd.DataFrame([row.values for row in read_table(table)], dtype=str)
    columns, wanted = list(cells.columns), [_key([name]) for name in ids]
    choices = [[_ID]] if _ID in columns else [columns[:1], columns[:2]]
    keyed = [(names, [_key(row) for row in cells[names].to_numpy()]) for names in choices]
    names, keys = max(keyed, key=lambda choice: len(set(wanted).intersection(choice[1])))
    found = set(wanted).intersection(keys)
    if not found:
        rule = f"{table} must name slices in its column `{_ID}`, or in its first one or two"
        raise ValueError(f"{rule}. Received: columns {columns}, and none of {len(ids)} slices")
    if doubled := [key for key in found if keys.count(key) > 1]:
        raise ValueError(f"{table} must name a slice once. Received more of: {doubled[:3]}")
    cells = cells.set_axis(keys)
    cells = cells[cells.index.isin(wanted)].reindex(wanted).fillna("").set_axis(range(len(ids)))
    has_row = np.array([key in found for key in wanted])
    return Known(cells.drop(columns=names), cells[names], has_row, table.name)


def flags_of(known: Known) -> pd.DataFrame:
    """Returns the columns that hold 0 and 1 alone, as bool; an empty cell is False."""
    cells = known.cells
    return cells[[name for name in cells if set(cells[name]) - {""} == {"0", "1"}]] == "1"


def classes_of(known: Known) -> pd.DataFrame:
    """Returns the other columns of 2 to 12 different values; an empty cell is missing."""
    cells = known.cells
    names = [name for name in cells if 2 <= cells[name].nunique() <= _MOST_VALUES]
    chosen = cells[names].drop(columns=flags_of(known).columns)
    return chosen.where(chosen != "")


def _key(cells: Iterable[str]) -> str:
    words = (word for cell in cells for word in _WORD.findall(cell.casefold()))
    return " ".join(str(int(word)) if word.isdecimal() else word for word in words)
