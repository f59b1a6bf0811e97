"""Puts slices into folds: by group under `clean`, one by one under `as-published`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from data_tools.near_duplicates import near_duplicate_groups
from stroke_tf.manifest import FOLDS, Protocol


def group_slices(
    source_ids: Sequence[str],
    *,
    patients: Sequence[str | None],
    hashes: Sequence[bytes | None],
) -> list[str]:
    """Names the group of each slice: slices of one patient, and near-duplicates, belong together.

    A group is named after the smallest source id in it, so that no name says who the patient is.

    Args:
        source_ids: Id of each slice.
        patients: Patient of each slice, None where unknown.
        hashes: 32-byte dHash of each slice, None where near-duplicates need not be looked for.

    Returns:
        The group id of each slice.
    """
    from scipy.sparse import coo_array  # workers need none of SciPy
    from scipy.sparse.csgraph import connected_components

    count = len(source_ids)
    hashed = np.flatnonzero([value is not None for value in hashes])
    packed = np.frombuffer(b"".join(value for value in hashes if value), np.uint8)
    near = near_duplicate_groups(packed.reshape(-1, 32))
    known = np.flatnonzero([value is not None for value in patients])
    patient_names = [value for value in patients if value is not None]
    _, people = np.unique(patient_names, return_inverse=True) if patient_names else (None, known)
    near_node = count + near
    patient_node = count + (int(near.max()) + 1 if len(near) else 0) + people
    nodes = count + len(np.unique(near)) + len(np.unique(people))
    rows, columns = np.concatenate([hashed, known]), np.concatenate([near_node, patient_node])
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(nodes, nodes))
    labels = connected_components(graph, directed=False)[1][:count]
    names: dict[int, str] = {}
    for label, source_id in zip(labels, source_ids, strict=True):
        names[label] = min(names.get(label, source_id), source_id)
    return [names[label] for label in labels]


def assign_folds(
    classes: Sequence[int], groups: Sequence[str], *, protocol: Protocol, seed: int
) -> np.ndarray:
    """Deals records to 10 folds, stratified by class.

    Args:
        classes: `StrokeType` value of each record.
        groups: Group id of each record.
        protocol: `clean` keeps every group in one fold; `as-published` deals records one by one.
        seed: Seed of the shuffle.

    Returns:
        int64, shape (N,): fold of each record, 0 to 9.

    Raises:
        ValueError: If there are fewer than 10 groups (`clean`) or records (`as-published`).
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    what, units = ("groups", len(set(groups))) if protocol == "clean" else ("records", len(classes))
    if units < FOLDS:
        raise ValueError(f"{protocol} folds need at least {FOLDS} {what}. Received: {units}")
    if protocol == "clean":
        splitter, kept = StratifiedGroupKFold, list(groups)
    else:
        splitter, kept = StratifiedKFold, None
    folds = np.zeros(len(classes), np.int64)
    with warnings.catch_warnings():
        # A class with fewer members than folds leaves some folds without it: the manifest shows it.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        split = splitter(FOLDS, shuffle=True, random_state=seed).split
        for fold, (_, held_out) in enumerate(split(np.zeros(len(classes)), list(classes), kept)):
            folds[held_out] = fold
    return folds
