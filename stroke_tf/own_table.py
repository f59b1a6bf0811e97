"""The user's own table on slices, whose rows are joined to slices by their ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stroke_tf.text_tables import read_table

_ID, _IMAGE = "id", "image"
_ENDING = re.compile(r"(\.nii)?\.[a-z]\w{0,4}$", re.IGNORECASE)  # of a file, as .png or .nii.gz
_WORD = re.compile(r"\d+|[^\W\d_]+")


@dataclass(frozen=True)
class Known:
    """The cells of a table for N slices, in the order of the slices.

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

    def told(self) -> str:
        """Returns how many slices the table names; empty text where it names all."""
        if self.has_row.all():
            return ""
        named, n = int(self.has_row.sum()), len(self.has_row)
        return f"{self.table} names {named} of {n} slices: of the others it says nothing."


def known_of(table: Path, ids: Sequence[str], columns: Sequence[str] = ()) -> Known:
    """Returns the cells of a table for some slices, one row for each slice in their order.

    The column `id` names the slice. Without it, one of these does, whichever finds most slices: the
    column `image`, a file's path; the first column; or the first two together, as patient and slice
    number. Ids are compared as they are, then without the ending of a file, and then by their words
    and numbers: "049-001", "49/1" and 49 beside 1 are the same.

    Args:
        table: CSV or TSV whose first line names the columns.
        ids: N ids of slices.
        columns: Columns that it must have.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no table, lacks a column, names none of the slices, or names one twice.
    """
    cells = pd.DataFrame([row.values for row in read_table(table, columns)], dtype=str)
    heading = list(cells.columns)
    named = [[name] for name in (_ID, _IMAGE) if name in heading]
    choices = named[:1] if _ID in heading else [*named, heading[:1], heading[:2]]
    found = [(names, _rows_of(ids, cells[names].to_numpy().tolist())) for names in choices]
    names, rows = max(found, key=lambda choice: len(choice[1]))
    if not rows:
        rule = f"{table} must name slices in its column `{_ID}`, or in its first one or two"
        none = f"none of {len(ids)} slices, such as {', '.join(ids[:1])}"
        raise ValueError(f"{rule}. Received: columns {heading}, and {none}")
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
        done = {place for places in taken.values() for place in places}
        left = {place: row for place, row in left.items() if place not in done}
    return found


def _exact(cells: Sequence[str]) -> str:
    return "/".join(cells)


def _without_ending(cells: Sequence[str]) -> str:
    return _ENDING.sub("", _exact(cells))


def _key(cells: Iterable[str]) -> str:
    words = (word for cell in cells for word in _WORD.findall(cell.casefold()))
    return " ".join(str(int(word)) if word.isdecimal() else word for word in words)
