"""Counts of a yes/no question and the ratios made from them, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stroke_tf.evaluation.intervals import UNDEFINED, Metric, bootstrap, wilson


@dataclass(frozen=True)
class Counts:
    """How often a yes/no question was answered rightly and wrongly.

    Attributes:
        tp: Positives found.
        fp: Negatives called positive.
        fn: Positives missed.
        tn: Negatives called negative.
    """

    tp: int
    fp: int
    fn: int
    tn: int


def count(truth: ArrayLike, predicted: ArrayLike) -> Counts:
    """Counts right and wrong answers.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        predicted: Shape (N,), 0 or 1 (or bool).

    Raises:
        ValueError: If the shapes differ or a value is neither 0 nor 1.
    """
    truth, predicted = _binary("truth", truth), _binary("predicted", predicted)
    if truth.shape != predicted.shape:
        raise ValueError(
            "`truth` and `predicted` must have the same shape. "
            f"Received: {truth.shape} and {predicted.shape}"
        )
    return _weighted_counts(truth, predicted, np.ones(len(truth), dtype=np.int64))


def accuracy(counts: Counts) -> float:
    """Returns (TP + TN) / all; NaN without samples."""
    return _ratio(*_accuracy(counts))


def sensitivity(counts: Counts) -> float:
    """Returns TP / (TP + FN), the recall of the positive class; NaN without positives."""
    return _ratio(*_sensitivity(counts))


def specificity(counts: Counts) -> float:
    """Returns TN / (TN + FP); NaN without negatives."""
    return _ratio(*_specificity(counts))


def precision(counts: Counts) -> float:
    """Returns TP / (TP + FP); NaN when nothing was called positive."""
    return _ratio(*_precision(counts))


def f1(counts: Counts) -> float:
    """Returns 2 TP / (2 TP + FP + FN), the Dice score; NaN when neither side has a positive."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou(counts: Counts) -> float:
    """Returns TP / (TP + FP + FN), the Jaccard index; NaN when neither side has a positive."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def classification_metrics(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float,
    groups: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Metric]:
    """Scores a binary classifier; the positive class alone is looked at, nothing is averaged.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1]: the probability given to class 1.
        threshold: A score at or above it is called positive.
        groups: Shape (N,), such as patients; without it slices are taken to be independent.
        seed: Seed of the bootstrap.
        resamples: Number of bootstrap resamples.

    Returns:
        accuracy, sensitivity, specificity, precision, f1, roc_auc, average_precision and brier,
        NaN where undefined. Intervals are from a bootstrap over groups; without groups those of
        the first four are Wilson's.

    Raises:
        ValueError: If shapes differ, a truth is neither 0 nor 1 or a score is not in [0, 1].
    """
    truth, scores = check_scored(truth, scores)
    slices = np.arange(len(truth)) if groups is None else np.asarray(groups)
    if slices.shape != truth.shape:
        raise ValueError(f"`groups` must have shape {truth.shape}. Received: {slices.shape}")
    if not len(truth):
        return dict.fromkeys(CLASSIFICATION_METRICS, UNDEFINED)
    _, rank = np.unique(scores, return_inverse=True)

    def statistics(weights: NDArray[np.int64]) -> list[float]:
        counts = _weighted_counts(truth, scores >= threshold, weights)
        return [
            *(_ratio(*parts(counts)) for parts in _PROPORTIONS.values()),
            f1(counts),
            *_ranked(truth, rank, weights),
            float(np.average((scores - truth) ** 2, weights=weights)),
        ]

    values = bootstrap(statistics, slices, seed=seed, resamples=resamples)
    metrics = dict(zip(CLASSIFICATION_METRICS, values, strict=True))
    if groups is None:
        counts = count(truth, scores >= threshold)
        metrics |= {name: wilson(*parts(counts)) for name, parts in _PROPORTIONS.items()}
    return metrics


def check_scored(
    truth: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Returns truth as bool and scores as float64, both of shape (N,).

    Raises:
        ValueError: If shapes differ, a truth is neither 0 nor 1 or a score is not in [0, 1].
    """
    truth, scores = _binary("truth", truth), np.asarray(scores, dtype=np.float64)
    if truth.shape != scores.shape:
        raise ValueError(
            "`truth` and `scores` must have the same shape. "
            f"Received: {truth.shape} and {scores.shape}"
        )
    outside = scores[~((scores >= 0) & (scores <= 1))]
    if outside.size:
        raise ValueError(f"`scores` must be in [0, 1]. Received: {outside[0]}")
    return truth, scores


def _accuracy(counts: Counts) -> tuple[int, int]:
    return counts.tp + counts.tn, counts.tp + counts.fp + counts.fn + counts.tn


def _sensitivity(counts: Counts) -> tuple[int, int]:
    return counts.tp, counts.tp + counts.fn


def _specificity(counts: Counts) -> tuple[int, int]:
    return counts.tn, counts.tn + counts.fp


def _precision(counts: Counts) -> tuple[int, int]:
    return counts.tp, counts.tp + counts.fp


_PROPORTIONS = {
    "accuracy": _accuracy,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
    "precision": _precision,
}
CLASSIFICATION_METRICS = (*_PROPORTIONS, "f1", "roc_auc", "average_precision", "brier")


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _weighted_counts(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: NDArray[np.int64]
) -> Counts:
    cells = np.bincount(2 * truth + predicted, weights=weights, minlength=4)
    tn, fp, fn, tp = (int(cell) for cell in cells)
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)


def _ranked(
    truth: NDArray[np.bool_], rank: NDArray[np.int64], weights: NDArray[np.int64]
) -> tuple[float, float]:
    """Returns ROC AUC and average precision, equal scores counting half and together.

    scikit-learn has both, but sorts and checks at every call: 20 times the time of a bootstrap.
    """
    positives = np.bincount(rank, weights=weights * truth)[::-1]
    negatives = np.bincount(rank, weights=weights * ~truth)[::-1]
    tp, fp = positives.cumsum(), negatives.cumsum()
    if not tp[-1]:
        return float("nan"), float("nan")
    found = positives > 0
    average_precision = positives[found] @ (tp[found] / (tp + fp)[found]) / tp[-1]
    if not fp[-1]:
        return float("nan"), float(average_precision)
    roc_auc = negatives @ (tp - positives / 2) / (tp[-1] * fp[-1])
    return float(roc_auc), float(average_precision)


def _binary(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"`{name}` must have shape (N,). Received: {array.shape}")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise ValueError(f"`{name}` must hold 0 and 1 only. Received: {wrong[0]!r}")
    return array.astype(bool)
