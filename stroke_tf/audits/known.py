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
_ID, _IMAGE = "id", "image"
_ENDING = re.compile(r"(\.nii)?\.[a-z]\w{0,4}$", re.IGNORECASE)  # of a file, as .png or .nii.gz
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

    The column `id` names the slice. Without it the column `image`, a file's path, does or, where
    these find more slices, the first column, or the first two together, as patient and slice
    number. Ids are compared as they are, then without the ending of a file, and then by their words
    and numbers: "049-001", "49/1" and 49 beside 1 are the same.

    Args:
        table: CSV or TSV whose first line names the columns.
        ids: N ids of slices.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no table, names none of the slices, or names one twice.
    """
    cells = pd.DataFrame([row.values for row in read_table(table)], dtype=str)
    columns = list(cells.columns)
    named = [[name] for name in (_ID, _IMAGE) if name in columns]
    choices = named[:1] if _ID in columns else [*named, columns[:1], columns[:2]]
    found = [(names, _rows_of(ids, cells[names].to_numpy().tolist())) for names in choices]
    names, rows = max(found, key=lambda choice: len(choice[1]))
    if not rows:
        rule = f"{table} must name slices in its column `{_ID}`, or in its first one or two"
        raise ValueError(f"{rule}. Received: columns {columns}, and none of {len(ids)} slices")
    if doubled := [name for name, found in rows.items() if len(found) > 1]:
        raise ValueError(f"{table} must name a slice once. Received more of: {doubled[:3]}")
    places = [rows.get(name, [-1])[0] for name in ids]
    cells = cells.reindex(places).fillna("").set_axis(range(len(ids)))
    has_row = np.array([place >= 0 for place in places])
    return Known(cells.drop(columns=names), cells[names], has_row, table.name)


def _rows_of(ids: Sequence[str], cells: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Returns the rows that name each slice, by its id; a slice that none names is left out.

    A row that has the very id is of that slice alone; then ids are compared without the ending of
    a file, and last by words and numbers. A row that could be of two slices is of neither.
    """
    found: dict[str, list[int]] = {}
    left = {place: row for place, row in enumerate(cells)}
    for spelled in (_exact, _without_ending, _key, lambda row: _key([_without_ending(row)])):
        wanted: dict[str, list[str]] = {}
        for name in dict.fromkeys(ids):
            if name not in found:
                wanted.setdefault(spelled([name]), []).append(name)
        taken: dict[str, list[int]] = {}
        for place, row in left.items():
            if len(names := wanted.get(spelled(row), [])) == 1:
                taken.setdefault(names[0], []).append(place)
        found |= taken
        left = {at: row for at, row in left.items() if not any(at in it for it in taken.values())}
    return found


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


def _exact(cells: Sequence[str]) -> str:
    return "/".join(cells)


def _without_ending(cells: Sequence[str]) -> str:
    return _ENDING.sub("", _exact(cells))


def _key(cells: Iterable[str]) -> str:
    words = (word for cell in cells for word in _WORD.findall(cell.casefold()))
    return " ".join(str(int(word)) if word.isdecimal() else word for word in words)
