"""The patients that a shipped model learned from are not tested with its weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from stroke_tf.files import read_json
from stroke_tf.manifest import FoldName, read_hashed_manifest
from stroke_tf.zoo.shipped import ZOO, located

_DESCRIPTION = "model.json"


def check_not_learned_from(
    weights: str | None, records: Path, folds: Iterable[FoldName] | None = None
) -> None:
    """Checks that records hold no slices that a shipped model learned from.

    They are known by the layout of their source: a copy in another layout is not recognised.

    Args:
        weights: Initial weights; names that are not those of shipped models are not looked at.
        records: Folder of records.
        folds: Folds that are validated and tested on; None for all. Those that the model itself
            held out for its test are free, in the very records that it was made of.

    Raises:
        FileNotFoundError: If the records or the model are missing.
        ValueError: If it may have learned from their patients.
    """
    shipped = ZOO.get(weights or "")
    if shipped is None:
        return
    manifest, sha256 = read_hashed_manifest(records)
    if manifest.layout != shipped.layout:
        return
    made = read_json(located(weights or "") / _DESCRIPTION)["trained_on"]
    free: set[FoldName] = set()
    if all(run["data_manifest_sha256"] == sha256 for run in made):
        free = set.intersection(*({*run["split"]["test"]} for run in made))
    used = {fold.fold for fold in manifest.folds} if folds is None else {*folds}
    if seen := sorted(used - free, key=str):
        raise ValueError(
            f"weights must not have learned from patients that they are tested on. Received: "
            f"{weights}, which learned from {manifest.layout}, and folds {seen} of {records}, "
            "which are of the same source. Give other weights, such as imagenet"
        )
