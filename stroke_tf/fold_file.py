"""Folds that others have dealt, read from a table, nnU-Net's splits, or lists of ids."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stroke_tf.files import read_json
from stroke_tf.text_tables import read_columns, read_table

_IDS = ("id", "source_id", "image")


def read_fold_file(path: Path) -> dict[str, str]:
    """Returns the name of the fold of each id.

    Args:
        path: A CSV with the columns `fold` and `id`; or JSON: nnU-Net's `splits_final.json`, whose
            folds are its `val` lists, in a list or by the names of folds, or lists of ids alone.

    Raises:
        ValueError: If it is none of these, or an id has two folds.
    """
    found: dict[str, str] = {}
    for source_id, fold in _json_folds(path) if path.suffix == ".json" else _table_folds(path):
        if found.setdefault(unicodedata.normalize("NFC", source_id), fold) != fold:
            raise ValueError(f"{path}: an id must have one fold. Received: {source_id!r} has two")
    return found


def _table_folds(path: Path) -> Iterator[tuple[str, str]]:
    columns = read_columns(path)
    column = next((name for name in _IDS if name in columns), "id")
    for line, row in read_table(path, (column, "fold")):
        if not (row[column] and row["fold"]):
            raise ValueError(f"{path}: a row must have id and fold. Received on line {line}: {row}")
        yield row[column], row["fold"]


def _json_folds(path: Path) -> Iterator[tuple[str, str]]:
    values = read_json(path)
    lists: Mapping[str, Any] = values if isinstance(values, dict) else {}
    if isinstance(values, list):
        lists = {str(fold): value for fold, value in enumerate(values)}
    if len(lists) == 1 and isinstance(next(iter(lists.values())), dict):
        (lists,) = lists.values()
    elif all(isinstance(value, dict) and "val" in value for value in lists.values()):
        lists = {fold: value["val"] for fold, value in lists.items()}
    if not lists or not all(isinstance(ids, list) for ids in lists.values()):
        raise ValueError(
            f"{path}: must hold nnU-Net's splits, a list of ids for each fold, or such lists by "
            f"the names of folds. Received: {str(values)[:80]}"
        )
    for fold, ids in lists.items():
        yield from ((str(source_id), fold) for source_id in ids)
