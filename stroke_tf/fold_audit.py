"""Says what leaks between folds that others have dealt: patients, copies, equal pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stroke_tf.near_duplicates import near_duplicate_groups, stems, turned_groups

Fold = int | str


def relations(
    source_ids: Sequence[str],
    *,
    patients: Sequence[str | None],
    pictures: Sequence[bytes],
    hashes: Sequence[bytes],
    turned: Sequence[bytes],
) -> dict[str, Sequence[object]]:
    """Returns, for each kind of relation, a label of each slice; relatives have equal labels.

    Args:
        source_ids: Id of each slice.
        patients: Patient of each slice, None where unknown.
        pictures: A value of each slice that is equal for equal pictures, such as a checksum.
        hashes: 32-byte dHash of each slice.
        turned: Its hashes in eight orientations.
    """
    near = near_duplicate_groups(np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32))
    turns = turned_groups(np.frombuffer(b"".join(turned), np.uint8).reshape(-1, 8, 32))
    return {
        "patients": patients,
        "identical pictures": pictures,
        "near-duplicates": near.tolist(),
        "flipped or turned copies": turns.tolist(),
        "ids that name copies": stems(source_ids),
    }


def audit_folds(
    source_ids: Sequence[str],
    folds: Mapping[str, Fold],
    related: Mapping[str, Sequence[object]],
) -> list[tuple[str, str, str, str]]:
    """Returns the name of each kind of leak, how many groups and slices leak, and one pair of ids.

    Args:
        source_ids: Id of each slice.
        folds: The fold of each id; slices without one are left out.
        related: The labels of `relations` for the slices.
    """
    return [(kind, *_leaks(source_ids, folds, labels)) for kind, labels in related.items()]


def split_groups(
    source_ids: Sequence[str], folds: Mapping[str, Fold], labels: Sequence[object]
) -> list[list[str]]:
    """Returns the ids of each group of equal labels that lies in several folds."""
    groups: dict[object, list[str]] = {}
    for source_id, label in zip(source_ids, labels, strict=True):
        if label is not None and source_id in folds:
            groups.setdefault(label, []).append(source_id)
    return [ids for ids in groups.values() if len({folds[source_id] for source_id in ids}) > 1]


def check_clean(
    source_ids: Sequence[str], folds: Mapping[str, Fold], groups: Sequence[str]
) -> None:
    """Raises ValueError if folds split the groups that `clean` keeps together."""
    if split := split_groups(source_ids, folds, groups):
        raise ValueError(
            f"clean folds must keep groups together. Received: folds that split {len(split)} of "
            f"{len(set(groups))}, such as {first_pair(split, folds)}. Mend them, or take them as "
            "they are with --protocol as-published"
        )


def _leaks(
    source_ids: Sequence[str], folds: Mapping[str, Fold], labels: Sequence[object]
) -> tuple[str, str, str]:
    groups = split_groups(source_ids, folds, labels)
    return str(len(groups)), str(sum(map(len, groups))), first_pair(groups, folds)


def first_pair(groups: Sequence[Sequence[str]], folds: Mapping[str, Fold]) -> str:
    """Returns two ids of the first group that lie in different folds, and these folds."""
    if not groups:
        return ""
    first = groups[0][0]
    other = next(name for name in groups[0] if folds[name] != folds[first])
    return f"{first} in {folds[first]}, {other} in {folds[other]}"
