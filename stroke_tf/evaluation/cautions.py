"""Scores that mean little: what a reader must know of test slices before believing their scores.

Plain sentences, written beside the result of a run and shown with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePath

import numpy as np
import pandas as pd

from stroke_tf.manifest import FoldRow, Manifest

FEW_SLICES, FEW_PATIENTS = 20, 5
"""Fewer slices, or patients, of a class than these are few: 20 right answers of 20 leave a 95 %
interval (Wilson) that begins at 0.84."""
_LESIONS = {"ischemia": "ischaemia", "hemorrhage": "haemorrhage"}
"""The lesions that predictions count, and their names."""
_SAME_DIGITS = 4  # scores that are equal to so many digits tell nothing apart
_GIVEN_AWAY, _GAIN = 0.95, 0.2  # shares of slices whose class their kind of file tells; and more


def cautions(
    predictions: pd.DataFrame,
    rows: Mapping[str, FoldRow],
    manifest: Manifest,
    *,
    classes: tuple[str, str],
) -> list[str]:
    """Returns sentences on scores that mean little; none where nothing is to be said.

    They tell of classes that are absent or rare among the test slices, of scores that are all
    equal, of networks that draw nothing, of a class that goes with the kind of file, and of
    patients that are not known.

    Args:
        predictions: What a run leaves: `id`, and `truth` and `score` or pixel counts.
        rows: What folds.csv says of each id.
        manifest: That of the records.
        classes: Names of classes 0 and 1 of `truth`.
    """
    found: list[str] = []
    known = [rows[name] for name in predictions["id"] if name in rows]
    all_known = len(known) == len(predictions)
    if {"truth", "score"} <= {*predictions.columns}:
        truth = predictions["truth"].to_numpy(bool)
        for positive, name in enumerate(classes):
            found += _of_class(name, truth == bool(positive), known if all_known else [], manifest)
        found += _of_scores(predictions["score"].to_numpy(float))
        if all_known:
            found += _of_files(truth, known)
    found += _of_masks(predictions, known if all_known else [], manifest)
    if manifest.protocol == "clean" and manifest.grouping == "near-duplicate":
        found.append(
            "Patients are not known: folds keep near-duplicates together, and other slices of a "
            "test patient may have been learned from. Scores may be too good."
        )
    return found


def _of_class(
    name: str, shown: np.ndarray, rows: list[FoldRow], manifest: Manifest
) -> Iterator[str]:
    """Yields cautions on a class; `shown`, bool of shape (N,), says which slices show it."""
    count = int(shown.sum())
    if not count:
        yield f"No test slice is of the class {name}: scores that ask for it mean nothing."
        return
    if count < FEW_SLICES:
        verb = "is" if count == 1 else "are"
        yield (
            f"Only {count} of {len(shown)} test slices {verb} of the class {name}: scores may be "
            "luck, however good."
        )
    if rows and manifest.grouping == "patient":
        patients = len({row.group_id for row, yes in zip(rows, shown, strict=True) if yes})
        if patients < FEW_PATIENTS:
            yield (
                f"The test slices of the class {name} are of {patients} "
                f"patient{'s' * (patients > 1)}: what holds for them may not for others."
            )


def _of_scores(scores: np.ndarray) -> Iterator[str]:
    if len(scores) > 1 and len({*scores.round(_SAME_DIGITS)}) == 1:
        yield (
            f"Every score is {scores[0]:.{_SAME_DIGITS}f}: the network tells no slice from another."
        )


def _of_files(truth: np.ndarray, rows: list[FoldRow]) -> Iterator[str]:
    """Yields whether the kind of file, its suffix and size in pixels, gives the class away."""
    kinds: dict[str, Counter[bool]] = {}
    for positive, row in zip(truth.tolist(), rows, strict=True):
        kind = f"{PurePath(row.file).suffix.lower() or 'none'} {row.width}x{row.height}"
        kinds.setdefault(kind, Counter())[positive] += 1
    share = sum(max(counts.values()) for counts in kinds.values()) / max(1, len(truth))
    commonest = max(truth.mean(), 1 - truth.mean()) if len(truth) else 1.0
    if share >= _GIVEN_AWAY and share - commonest >= _GAIN:
        yield (
            f"Suffix and size of the file tell the class of {share:.0%} of the test slices: the "
            "network may have learned the source and not the disease."
        )


def _of_masks(predictions: pd.DataFrame, rows: list[FoldRow], manifest: Manifest) -> Iterator[str]:
    drawn = 0
    lesions = [name for name in _LESIONS if f"{name}_tp" in predictions]
    for name in lesions:
        pixels = {cell: predictions[f"{name}_{cell}"].to_numpy() for cell in ("tp", "fn", "fp")}
        yield from _of_class(_LESIONS[name], pixels["tp"] + pixels["fn"] > 0, rows, manifest)
        drawn += int((pixels["tp"] + pixels["fp"]).sum())
    if lesions and not drawn:
        yield "No lesion is drawn on any test slice: the network tells no pixel from another."
