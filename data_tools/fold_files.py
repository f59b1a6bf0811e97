"""Folds that others have dealt, taken as they are: a table, nnU-Net's splits, or lists of ids."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from data_tools.names import fold_name, one_spelling, split_name, whole_number
from data_tools.sources import Source
from stroke_tf.files import read_json
from stroke_tf.manifest import FOLDS, Rejected
from stroke_tf.text_tables import read_columns, read_table

_IDS = ("id", "source_id", "image")
_WORDS = {  # the folds that trainings take for these by themselves
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("val", "valid", "validation", "dev"), FOLDS - 2),
    **dict.fromkeys(("test", "testing"), FOLDS - 1),
}


def read_fold_file(path: Path) -> dict[str, str]:
    """Returns the name of the fold of each id.

    Args:
        path: A CSV with the columns `fold` and `id`; or JSON: nnU-Net's `splits_final.json`, whose
            folds are its `val` lists, or lists of ids, in a list or by the names of folds.

    Raises:
        ValueError: If it is none of these, or an id has two folds.
    """
    found: dict[str, str] = {}
    for source_id, fold in _json_folds(path) if path.suffix == ".json" else _table_folds(path):
        if found.setdefault(one_spelling(source_id), fold) != fold:
            raise ValueError(f"{path}: an id must have one fold. Received: {source_id!r} has two")
    return found


def with_folds(source: Source, names: Mapping[str, str], *, name: str) -> Source:
    """Returns the source with the folds that a file names.

    Ids are those of slices or volumes, with or without an ending. An id without a slice, a slice
    for training without a fold, and a fold of another name than 0 to 9, train, val or test are
    faults, and such slices are left out. `name` is how messages call the file.
    """
    trained = [it for it in source.slices if it.stage is None]
    members: dict[str, list[str]] = {}
    for it in trained:
        for known in {it.source_id, it.case}:
            members.setdefault(known, []).append(it.source_id)
    folds: dict[str, int | None] = {}
    faults: list[Rejected] = []
    for given, fold in names.items():
        spellings = given, split_name(given)[0], split_name(given.rpartition("/")[2])[0]
        ids = next((members[it] for it in spellings if it in members), [])
        number = _number(fold)
        folds |= dict.fromkeys(ids, number)
        if not ids:
            faults.append(Rejected(name, f"an id must be a slice's. Received: {given}"))
        elif number is None:
            rule = f"a fold must be 0 to {FOLDS - 1}, train, val or test. Received: {fold}"
            faults.append(Rejected(name, f"{rule} for id {given}"))
    rule = f"must have a fold in {name}. Received: none for id"
    lacking = (it for it in trained if it.source_id not in folds)
    faults.extend(Rejected(it.first, f"{rule} {it.source_id}") for it in lacking)
    sound = {source_id: fold for source_id, fold in folds.items() if fold is not None}
    return replace(
        source,
        slices=tuple(it for it in source.slices if it.stage or it.source_id in sound),
        faults=(*source.faults, *faults),
        folds=sound,
    )


def _number(fold: str) -> int | None:
    key = re.sub(r"^fold[ _-]*", "", fold_name(whole_number(fold)))
    number = int(key) if key.isdecimal() else _WORDS.get(key, FOLDS)
    return number if number < FOLDS else None


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
        if len(values) == 1 and isinstance(values[0], dict):
            lists = values[0]
        elif all(isinstance(value, dict) and "val" in value for value in values):
            lists = {fold: value["val"] for fold, value in lists.items()}
    if not lists or not all(isinstance(ids, list) for ids in lists.values()):
        raise ValueError(
            f"{path}: must hold nnU-Net's splits, a list of ids for each fold, or such lists by "
            f"the names of folds. Received: {str(values)[:80]}"
        )
    for fold, ids in lists.items():
        yield from ((str(source_id), fold) for source_id in ids)
