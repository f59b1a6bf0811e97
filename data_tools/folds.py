"""Puts slices into folds: by group under `clean`, one by one under `as-published`."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from stroke_tf.manifest import FOLDS, Protocol
from stroke_tf.near_duplicates import connected, near_duplicate_groups, stems, turned_groups


def group_slices(
    source_ids: Sequence[str],
    *,
    patients: Sequence[str | None],
    hashes: Sequence[bytes | None],
    turned: Sequence[bytes | None] = (),
) -> list[str]:
    """Names the group of each slice: slices of one patient, and copies, belong together.

    A group is named after the smallest source id in it, so that no name says who the patient is.

    Args:
        source_ids: Id of each slice; ids that name copies of another one are of its group.
        patients: Patient of each slice, None where unknown.
        hashes: 32-byte dHash of each slice; None: no search for near-duplicates of the slice.
        turned: Its hashes in eight orientations; None or empty: no search for turned copies.

    Returns:
        The group id of each slice.
    """
    count = nodes = len(source_ids)
    rows, columns = [], []
    for members, labels in (
        _hashed(hashes, (32,), near_duplicate_groups),
        _hashed(turned, (8, 32), turned_groups),
        _named(patients),
        _named(stems(source_ids)),
    ):
        rows.append(members)
        columns.append(nodes + labels)
        nodes += int(labels.max(initial=-1)) + 1
    labels = connected(np.concatenate(rows), np.concatenate(columns), nodes=nodes)[:count]
    names: dict[int, str] = {}
    for label, source_id in zip(labels, source_ids, strict=True):
        names[label] = min(names.get(label, source_id), source_id)
    return [names[label] for label in labels]


def _hashed(
    hashes: Sequence[bytes | None],
    shape: tuple[int, ...],
    label: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which slices have a hash, and how they are labelled by it."""
    packed = np.frombuffer(b"".join(value for value in hashes if value), np.uint8)
    return np.flatnonzero([bool(value) for value in hashes]), label(packed.reshape(-1, *shape))


def _named(names: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """Returns which slices have a name, and equal numbers for equal names."""
    known = [name for name in names if name is not None]
    labels = np.unique(known, return_inverse=True)[1] if known else np.zeros(0, int)
    return np.flatnonzero([name is not None for name in names]), labels


def assign_folds(
    classes: Sequence[int],
    groups: Sequence[str],
    *,
    protocol: Protocol,
    seed: int,
    count: int = FOLDS,
    patients: Sequence[str | None] = (),
) -> np.ndarray:
    """Deals records to folds, stratified by class.

    Args:
        classes: `StrokeType` value of each record.
        groups: Group id of each record.
        protocol: `clean` keeps every group in one fold; `as-published` deals records one by one.
        seed: Seed of the shuffle.
        count: How many folds.
        patients: Patient of each record, None where unknown, for messages.

    Returns:
        int64, shape (N,): fold of each record, from 0.

    Raises:
        ValueError: As `check_enough`.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    check_enough(classes, groups, protocol=protocol, count=count, patients=patients)
    clean = protocol == "clean"
    splitter, kept = (StratifiedGroupKFold, groups) if clean else (StratifiedKFold, None)
    folds = np.zeros(len(classes), np.int64)
    with warnings.catch_warnings():
        # A class with fewer members than folds leaves some folds without it: the manifest shows it.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        split = splitter(count, shuffle=True, random_state=seed).split
        for fold, (_, held_out) in enumerate(split(np.zeros(len(classes)), list(classes), kept)):
            folds[held_out] = fold
    return folds


def check_enough(
    classes: Sequence[int],
    groups: Sequence[str],
    *,
    protocol: Protocol,
    count: int,
    patients: Sequence[str | None] = (),
) -> None:
    """Raises ValueError, with the reason, if there are too few groups or records for folds."""
    most = max(Counter(classes).values(), default=0)
    if protocol == "clean" and (units := len(set(groups))) < count:
        received = f"{count} groups. Received: {units}{_why_few(groups, patients)}"
    elif len(classes) < count:
        received = f"{count} records. Received: {len(classes)}"
    elif most < count:
        received = f"{count} records of one class. Received: {most}"
    else:
        return
    raise ValueError(f"{protocol} folds need at least {received}. --folds N deals fewer")


def _why_few(groups: Sequence[str], patients: Sequence[str | None]) -> str:
    known = {patient for patient in patients if patient is not None}
    size = len(groups)
    if len(known) == 1 and None not in patients:
        return f": all {size} slices have the same patient, by the DICOM header, table or --groups"
    largest = max(Counter(groups).values(), default=0)
    return f", of {size} slices and {len(known)} patients, the largest with {largest} slices"
