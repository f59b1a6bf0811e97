"""Further columns about each slice, such as its hospital: scores are shown for each value."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from stroke_tf.manifest import read_folds
from stroke_tf.own_table import known_of
from stroke_tf.records import STAGE_FOLDS

MOST_VALUES = 20
_OF_PERSONS = ("patient", "series")
"""Columns that are shown only when they are named, as those that name the slice are."""
_TAKEN = (
    *("id", "group", "part", "seed", "row", "protocol"),
    *("truth", "score", "called", "calibrated", "stroke_type"),
)


def read_columns(path: Path, records: Path, names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Returns columns of a table by their names: the value of each slice that it names, by its id.

    `known_of` says how a table names slices. The log says how many it does not name.

    Args:
        path: CSV or TSV whose first line names the columns.
        records: Folder of the records whose slices they are; those of test sessions are left out.
        names: The columns; when none is named, all with 2 to 20 values but patient, series and
            those that name the slice. The log names the others.

    Raises:
        FileNotFoundError: If there is no such file, or no records.
        ValueError: If it is no table, lacks a column, names none of the slices or one twice, or a
            column is called as one of the predictions.
    """
    ids = [row.source_id for row in read_folds(records) if row.fold not in STAGE_FOLDS]
    ids = list(dict.fromkeys(ids))  # copies share the id of their slice
    known = known_of(path, ids, names)
    if text := known.told():
        logging.info("%s", text)
    columns: dict[str, dict[str, str]] = {}
    shown = [name for name in map(str, known.cells) if name and name not in _OF_PERSONS]
    for name in names or shown:
        cells = zip(ids, known.column(name), known.has_row, strict=True)
        values = {source_id: cell for source_id, cell, is_named in cells if is_named}
        found = len(set(values.values()))
        if name in _TAKEN:
            raise ValueError(f"{path}: a column must not be one of {_TAKEN}. Received: {name}")
        if names or 2 <= found <= MOST_VALUES:
            columns[name] = values
        else:
            logging.info("%s: column %s has %d values: not shown apart", path, name, found)
    return columns


def value_of(values: Mapping[str, str], source_id: str) -> str:
    """Returns the value of a slice; a dash where the table has none."""
    return values.get(source_id) or "–"
