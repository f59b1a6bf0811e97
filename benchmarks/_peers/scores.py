"""A peer's answers counted, and peers compared. Runs in the interpreter of `stroke_tf`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._peers.slices import Handed, read_answers
from stroke_tf.evaluation.intervals import Gain, Metric, bootstrap_gain
from stroke_tf.evaluation.lesions import LesionCounts, count_lesions, lesion_metrics
from stroke_tf.evaluation.mask_rule import MaskRule, apply_mask_rule, choose_mask_rule
from stroke_tf.evaluation.metrics import Counts, f1
from stroke_tf.evaluation.segmentation import (
    COUNTED,
    SegmentationCounts,
    count_masks,
    lesion_mean,
    segmentation_metrics,
)
from stroke_tf.files import write_text
from stroke_tf.labels import LESION_CLASSES

RULES = ("likeliest", "tuned")
"""How masks are made of probabilities: the likeliest class of each pixel; or by the threshold and
the smallest lesion of the best Dice on the validation slices."""
METRICS = {
    "lesion_dice": "Dice of all pixels",
    "lesion_slice_dice": "mean of lesion slices",
    "any_lesion_lesionwise_recall": "lesion-wise recall",
    "any_lesion_false_lesions_per_slice": "false lesions a slice",
}


def count_answers(handed: Handed, folder: Path, files: dict[str, Path]) -> dict[str, Any]:
    """Counts what a peer says of the test slices by each of `RULES`, one CSV file each.

    Args:
        handed: The slices.
        folder: Where to write.
        files: The answers on validation ("val") and test slices ("test").

    Returns:
        The rule chosen on the validation slices.
    """
    val, test = (read_answers(handed, use, files[use]) for use in ("val", "test"))
    tuned = choose_mask_rule([(handed.truth["val"].masks, val)])
    rules: dict[str, MaskRule | None] = {"likeliest": None, "tuned": tuned}
    truth = handed.truth["test"]
    for name, rule in rules.items():
        drawn = apply_mask_rule(test, rule)
        frame = count_masks(truth.masks, drawn).to_frame(truth.ids)
        frame = frame.join(count_lesions(truth.masks, drawn).to_frame())
        frame.insert(1, "group", truth.groups)
        write_text(folder / f"{name}.csv", frame.to_csv(index=False))
    return {"threshold": tuned.threshold, "min_area_px": tuned.min_area_px}


def read_counts(folders: Sequence[Path], rule: str) -> pd.DataFrame:
    """Returns the counts of several parts, one under the other."""
    frames = [
        pd.read_csv(folder / f"{rule}.csv", dtype={"id": str, "group": str}) for folder in folders
    ]
    return pd.concat(frames, ignore_index=True)


def metrics(frame: pd.DataFrame, *, seed: int) -> dict[str, Metric]:
    """Returns `METRICS` with intervals over groups."""
    counts, lesions = SegmentationCounts.from_frame(frame), LesionCounts.from_frame(frame)
    found = segmentation_metrics(counts, frame["group"], seed=seed)
    found |= lesion_metrics(counts, lesions, frame["group"], seed=seed)
    return {name: found[name] for name in METRICS}


def gain(ours: pd.DataFrame, other: pd.DataFrame, *, seed: int) -> Gain:
    """Returns how much our Dice of all pixels is ahead, with an interval over groups.

    Raises:
        ValueError: If they are not of the same slices in the same order.
    """
    if list(ours["id"]) != list(other["id"]):
        raise ValueError("both must be of the same slices. Received: other ids")
    both = [SegmentationCounts.from_frame(frame).per_slice for frame in (ours, other)]

    def difference(weights: np.ndarray) -> float:
        mine, theirs = (_dice(weights, cells) for cells in both)
        return mine - theirs

    return bootstrap_gain(difference, ours["group"], seed=seed)


def _dice(weights: np.ndarray, cells: np.ndarray) -> float:
    total = np.tensordot(weights, cells, axes=1)
    named = {
        name: Counts(*(int(cell) for cell in row))
        for name, row in zip(COUNTED[: len(LESION_CLASSES)], total, strict=False)
    }
    return lesion_mean(f1, named)
