"""Gives slices the folds that a file names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from data_tools.names import fold_name, split_name, whole_number
from data_tools.sources import Source
from stroke_tf.manifest import FOLDS, Rejected

_WORDS = {  # the folds that trainings use for these by default
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("val", "valid", "validation", "dev"), FOLDS - 2),
    **dict.fromkeys(("test", "testing"), FOLDS - 1),
}


def with_folds(source: Source, names: Mapping[str, str], *, name: str) -> Source:
    """Returns the source with the folds that a file names.

    Ids are those of slices or volumes, with or without an ending. Faults are an id without a slice,
    a slice for training without a fold, and a fold that is not 0 to 9, train, val or test. Slices
    with a fault are left out. Messages call the file `name`.
    """
    trained = [slice_ for slice_ in source.slices if slice_.stage is None]
    members: dict[str, list[str]] = {}
    for slice_ in trained:
        for known in {slice_.source_id, slice_.case}:
            members.setdefault(known, []).append(slice_.source_id)
    folds: dict[str, int | None] = {}
    faults: list[Rejected] = []
    for given, fold in names.items():
        spellings = given, split_name(given)[0], split_name(given.rpartition("/")[2])[0]
        ids = next((members[spelling] for spelling in spellings if spelling in members), [])
        number = _number(fold)
        folds |= dict.fromkeys(ids, number)
        if not ids:
            faults.append(Rejected(name, f"an id must be a slice's. Received: {given}"))
        elif number is None:
            rule = f"a fold must be 0 to {FOLDS - 1}, train, val or test. Received: {fold}"
            faults.append(Rejected(name, f"{rule} for id {given}"))
    rule = f"must have a fold in {name}. Received: none for id"
    lacking = (slice_ for slice_ in trained if slice_.source_id not in folds)
    faults.extend(Rejected(slice_.first, f"{rule} {slice_.source_id}") for slice_ in lacking)
    sound = {source_id: fold for source_id, fold in folds.items() if fold is not None}
    return replace(
        source,
        slices=tuple(
            slice_ for slice_ in source.slices if slice_.stage or slice_.source_id in sound
        ),
        faults=(*source.faults, *faults),
        folds=sound,
    )


def _number(fold: str) -> int | None:
    key = re.sub(r"^fold[ _-]*", "", fold_name(whole_number(fold)))
    number = int(key) if key.isdecimal() else _WORDS.get(key, FOLDS)
    return number if number < FOLDS else None
