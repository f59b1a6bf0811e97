"""The temperature and the thresholds of a finished model, from slices it did not learn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from stroke_tf.config import PointName
from stroke_tf.data import decode_slices
from stroke_tf.data.selection import label_of
from stroke_tf.deploy.model import StrokeModel, class_one_score
from stroke_tf.evaluation.calibration import fit_temperature
from stroke_tf.evaluation.metrics import check_both_classes
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName, FoldRow, natural_key, read_manifest
from stroke_tf.records import HU_OFFSET

HIGH = 0.9
"""The sensitivity, or the specificity, of `operating_points`."""


def calibration(
    answered: Sequence[tuple[StrokeModel, tuple[FoldName, ...]]], records: Path | str
) -> dict[str, Any]:
    """Returns `temperatures` and `operating_points` of a model, as its description has them.

    Args:
        answered: A model of one network that scores slices, and folds of validation; or several
            models made alike, each with folds that it has not seen: all their scores count
            together.
        records: Folder of records.

    Raises:
        FileNotFoundError: If the records are missing.
        ValueError: If a model has several networks or gives no scores, or the folds lack a class.
    """
    for model, _ in answered:
        if (count := len(model.description.networks)) != 1:
            raise ValueError(f"`answered` must hold models of one network. Received: {count}")
    found = [score_slices(model, records, folds)[:2] for model, folds in answered]
    truth, scores = map(np.concatenate, zip(*found, strict=True))
    scores = scores.clip(0, 1)
    return {
        "temperatures": (fit_temperature(truth, scores),),
        "operating_points": operating_points(truth, scores),
    }


def score_slices(
    model: StrokeModel, records: Path | str, folds: tuple[FoldName, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.float64], list[str]]:
    """Returns the truth, the scores and the groups of N slices of records.

    Slices go the whole way of a prediction: each alone or, if the model needs their order, those of
    a group as a series. Masks are not looked at: labels suffice.

    Args:
        model: A model that scores slices.
        records: Folder of records.
        folds: The folds to score.

    Returns:
        bool, shape (N,): class 1 of the model's task; float64, shape (N,): its score; N groups.

    Raises:
        FileNotFoundError: If the records are missing.
        ValueError: If the model gives no scores.
    """
    described = model.description
    if described.task == "segment" and not described.mask_scores:
        raise ValueError("`model` must score slices. Received: one whose masks give no score")
    task = Task.TYPE if described.task == "type" else Task.DETECT
    size = read_manifest(records).size
    slices = decode_slices(records, folds, task=task, image_size=size)
    scores = np.empty(len(slices.rows))
    for places in _series_of(slices.rows):
        images = (_pixels(slices.images[place, ..., 0], slices.is_hu[place]) for place in places)
        said = model.predict(images, series=described.needs_order)
        scores[places] = [class_one_score(one.scores) for one in said]
    truth = np.array([label_of(row, task=task) for row in slices.rows], bool)
    return truth, scores, [row.group_id for row in slices.rows]


def operating_points(truth: ArrayLike, scores: ArrayLike) -> dict[PointName, float]:
    """Returns two thresholds at or above which a score is called positive.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1].

    Returns:
        "sensitive": the highest threshold of a sensitivity of at least 0.9. "specific": the lowest
        of a specificity of at least 0.9; above all scores where only that is so specific.

    Raises:
        ValueError: If a class is absent, or truth and scores do not fit together.
    """
    truth, scores = check_both_classes(truth, scores)
    false_alarms, recall, thresholds = roc_curve(truth, scores, drop_intermediate=False)
    thresholds[0] = np.nextafter(scores.max(), np.inf)  # scikit-learn has infinity there
    return {
        "sensitive": float(thresholds[np.flatnonzero(recall >= HIGH)[0]]),
        "specific": float(thresholds[np.flatnonzero(1 - false_alarms >= HIGH)[-1]]),
    }


def _series_of(rows: Sequence[FoldRow]) -> Iterator[list[int]]:
    """Yields the places of the slices of each group, in the order of their ids."""
    series = defaultdict(list)
    for place in sorted(range(len(rows)), key=lambda place: natural_key(rows[place].source_id)):
        series[rows[place].group_id].append(place)
    yield from series.values()


def _pixels(image: np.ndarray, is_hu: bool) -> np.ndarray:
    """Returns a stored slice, shape (S, S), as it was: uint8 grey or int16 HU."""
    return (
        (image.astype(np.int32) - HU_OFFSET).astype(np.int16) if is_hu else image.astype(np.uint8)
    )
