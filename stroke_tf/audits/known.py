"""What a table of one's own says of slices, joined to them by their ids."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from stroke_tf.text_tables import read_table

_MOST_VALUES = 12  # a column of more does not divide slices into groups worth a row each
_ID = "id"
_WORD = re.compile(r"\d+|[^\W\d_]+")


def known_of(table: Path, ids: Sequence[str]) -> pd.DataFrame:
    """Returns what a table says of some slices, a row for each of them in their order.

    The column `id` names the slice. Without it the first column does or, where that finds more
    slices, the first two together, as patient and slice number. Ids are compared by their words
    and numbers: "049-001", "49/1" and 49 beside 1 are the same.

    Args:
        table: CSV or TSV whose first line names the columns.
        ids: N ids of slices.

    Returns:
        The other columns as text, N rows; empty cells where the table has no row for a slice.

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
        raise ValueError(f"{rule}. Received: columns {columns}, and no id of these slices")
    if doubled := [key for key in found if keys.count(key) > 1]:
        raise ValueError(f"{table} must name a slice once. Received more of: {doubled[:3]}")
    named = cells.drop(columns=names).set_axis(keys)
    return named[named.index.isin(wanted)].reindex(wanted).fillna("").set_axis(range(len(ids)))


def flags_of(known: pd.DataFrame) -> pd.DataFrame:
    """Returns the columns that hold 0 and 1 alone, as bool; an empty cell is False."""
    return known[[name for name in known if set(known[name]) - {""} == {"0", "1"}]] == "1"


def classes_of(known: pd.DataFrame) -> pd.DataFrame:
    """Returns the other columns of 2 to 12 different values; an empty cell is missing."""
    names = [name for name in known if 2 <= known[name].nunique() <= _MOST_VALUES]
    chosen = known[names].drop(columns=flags_of(known).columns)
    return chosen.where(chosen != "")


def _key(cells: Iterable[str]) -> str:
    words = (word for cell in cells for word in _WORD.findall(cell.casefold()))
    return " ".join(str(int(word)) if word.isdecimal() else word for word in words)
