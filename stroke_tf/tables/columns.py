"""What else is known of each slice, such as its hospital: scores are shown for each value of it."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from stroke_tf.text_tables import read_table

MOST_VALUES = 20
ID = "id"
_OF_PERSONS = (ID, "patient", "series")
"""Columns that are shown only when they are named."""
_TAKEN = (
    *("group", "part", "seed", "row", "protocol"),
    *("truth", "score", "called", "calibrated", "stroke_type"),
)


def read_columns(path: Path | None, names: Sequence[str] = ()) -> dict[str, dict[str, str]]:
    """Returns columns of a table by their names: the value of each slice by its id.

    Args:
        path: CSV or TSV with the column `id`; None has no columns.
        names: The columns; when none is named, all with 2 to 20 values but patient and series. The
            log names the others.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it lacks a column or is no table, or a column is called as one of the
            predictions.
    """
    if path is None:
        return {}
    rows = [row.values for row in read_table(path, (ID, *names))]
    heading = rows[0] if rows else ()
    wanted = names or [name for name in heading if name and name not in _OF_PERSONS]
    columns: dict[str, dict[str, str]] = {}
    for name in wanted:
        values = {row[ID]: row[name] for row in rows}
        found = len(set(values.values()))
        if name in _TAKEN:
            raise ValueError(f"{path}: a column must not be one of {_TAKEN}. Received: {name}")
        if names or 2 <= found <= MOST_VALUES:
            columns[name] = values
        else:
            logging.info("%s: column %s has %d values: not shown apart", path, name, found)
    return columns


def check_columns(columns: Mapping[str, Mapping[str, str]], ids: Collection[str]) -> None:
    """Says in the log which slices the columns do not name.

    Raises:
        ValueError: If they name none of them.
    """
    for name, values in columns.items():
        unknown = [source_id for source_id in ids if source_id not in values]
        if len(unknown) == len(ids):
            raise ValueError(
                f"column {name} must name slices by their ids, such as {unknown[:1]}. "
                f"Received: {[*values][:1]}"
            )
        if unknown:
            logging.info("column %s does not name %d slices: %s", name, len(unknown), unknown[:3])


def value_of(values: Mapping[str, str], source_id: str) -> str:
    """Returns the value of a slice; a dash where the table has none."""
    return values.get(source_id) or "–"
