"""The columns of the user's own table that audits use."""

from __future__ import annotations

import pandas as pd

from stroke_tf.audits.audit import Finding
from stroke_tf.own_table import Known

_MOST_VALUES = 12  # a column of more does not divide slices into groups worth a row each
_FEW = 0.5  # share of the slices: a table that names fewer is perhaps of others


def findings_of(known: Known) -> list[Finding]:
    """Returns a finding on how many slices the table names; none where it names all."""
    few = known.has_row.mean() < _FEW
    return [Finding("warning" if few else "note", text)] if (text := known.told()) else []


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
