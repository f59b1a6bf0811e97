"""Related slices, the folds that split them, and the slices with a relative in training."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from stroke_tf.data.head_mask import HEAD_GREY
from stroke_tf.fold_audit import relations
from stroke_tf.near_duplicates import dhash, turned_hashes
from stroke_tf.records import STAGE_FOLDS

NO_FOLD = ""
OF_PICTURES = ("identical pictures", "near-duplicates", "flipped or turned copies")
_EMPTY = 0.01  # share of bright pixels below which a picture shows nothing
_TRAINING = ("train", "training")


def related_slices(
    ids: Sequence[str], images: NDArray[np.uint8], patients: Sequence[str | None]
) -> dict[str, Sequence[object]]:
    """Returns the labels of `relations` for pictures, uint8 grey, shape (N, S, S).

    Nearly empty pictures are alike without being copies, so they have no label by picture.
    """
    empty = (images > HEAD_GREY).mean(axis=(1, 2)) < _EMPTY
    found = relations(
        ids,
        patients=patients,
        pictures=[hashlib.sha256(image.tobytes()).digest() for image in images],
        hashes=[dhash(image) for image in images],
        turned=[turned_hashes(image) for image in images],
    )
    for kind in OF_PICTURES:
        labels = zip(found[kind], empty, strict=True)
        found[kind] = [None if nothing else label for label, nothing in labels]
    return found


def folds_of_file(names: Mapping[str, str], ids: Sequence[str]) -> NDArray[np.str_]:
    """Returns the fold of each slice that a file names, or NO_FOLD.

    The file names a slice by its id or its file name, with or without ending. Either may have
    folders in front that the other lacks. A name that fits two slices has no fold, nor has a slice
    that fits two names: "01.png" fits "p1/01.png" and "p2/01.png".

    Raises:
        ValueError: If the file names none of the slices.
    """
    tails_of_names, tails_of_ids, known = _by_tail(names), _by_tail(ids), set(ids)

    def is_of(name: str, one: str) -> bool:
        return not any(len(tail) > len(one) for tail in _tails(name) & known)

    def fold_of(name: str) -> str:
        if name in names:
            return names[name]
        found = {candidate for candidate in tails_of_names.get(name, ()) if is_of(candidate, name)}
        for tail in () if found else _tails(name):
            if len(tails_of_ids[tail]) == 1:
                found = found | {
                    candidate
                    for candidate in tails_of_names.get(tail, ())
                    if tail in _whole(candidate)
                }
        return names[found.pop()] if len(found) == 1 else NO_FOLD

    found = [fold_of(name) for name in ids]
    if not any(found):
        raise ValueError(
            "a split must name slices of the records. Received: ids such as "
            f"{sorted(names)[:2]}, for slices such as {sorted(ids)[:2]}"
        )
    return np.array(found)


def _whole(name: str) -> tuple[str, ...]:
    """Returns a name as it is, and without its ending."""
    path = PurePath(name)
    return (path.as_posix(), path.with_suffix("").as_posix()) if path.suffix else (path.as_posix(),)


def _tails(name: str) -> set[str]:
    """Returns a name, with and without ending, and the same without its first folders."""
    parts = [PurePath(path).parts for path in _whole(name)]
    return {"/".join(folders[at:]) for folders in parts for at in range(len(folders))}


def _by_tail(names: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name in names:
        for tail in _tails(name):
            found.setdefault(tail, set()).add(name)
    return found


def rounds_of(folds: NDArray[np.str_]) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yields for each fold that is tested its slices and those that a model may be trained on.

    Where a fold is called train, that alone is trained on. Test sessions never are.
    """
    names = sorted(set(folds) - {NO_FOLD})
    fixed = [name for name in names if name.lower() in _TRAINING]
    for name in names:
        if name not in fixed:
            never = [name, NO_FOLD, *STAGE_FOLDS]
            training = np.isin(folds, fixed) if fixed else ~np.isin(folds, never)
            yield folds == name, training


def with_relative(labels: Sequence[object], folds: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Returns whether each slice has a relative in training when it is tested, see `rounds_of`.

    Args:
        labels: Of each slice, equal for relatives; None where unknown.
        folds: Fold of each slice.
    """
    numbers = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    of_slices = np.array([-1 if label is None else numbers[label] for label in labels])
    found = np.zeros(len(folds), bool)
    for test, training in rounds_of(folds):
        known = set(of_slices[training]) - {-1}
        found[test] = np.isin(of_slices[test], list(known))
    return found
