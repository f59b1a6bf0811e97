"""Counts of a yes/no question and the ratios made from them, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stroke_tf.evaluation.intervals import (
    RESAMPLES,
    UNDEFINED,
    Metric,
    bootstrap,
    check_groups,
    wilson,
)

CALIBRATION_BINS = 15
HIGH_SPECIFICITY = 0.9


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
    truth, predicted = check_answers(truth, predicted)
    return _weighted_counts(truth, predicted, np.ones(len(truth), dtype=np.int64))


def accuracy(counts: Counts) -> float:
    """Returns (TP + TN) / all; NaN without samples."""
    return _ratio(*_PROPORTIONS["accuracy"](counts))


def sensitivity(counts: Counts) -> float:
    """Returns TP / (TP + FN), the recall of the positive class; NaN without positives."""
    return _ratio(*_PROPORTIONS["sensitivity"](counts))


def specificity(counts: Counts) -> float:
    """Returns TN / (TN + FP); NaN without negatives."""
    return _ratio(*_PROPORTIONS["specificity"](counts))


def precision(counts: Counts) -> float:
    """Returns TP / (TP + FP); NaN when nothing was called positive."""
    return _ratio(*_PROPORTIONS["precision"](counts))


def npv(counts: Counts) -> float:
    """Returns TN / (TN + FN), the precision of the negative class; NaN when none was called so."""
    return _ratio(*_PROPORTIONS["npv"](counts))


def f1(counts: Counts) -> float:
    """Returns 2 TP / (2 TP + FP + FN), the Dice score; NaN when neither side has a positive."""
    return _ratio(2 * counts.tp, 2 * counts.tp + counts.fp + counts.fn)


def iou(counts: Counts) -> float:
    """Returns TP / (TP + FP + FN), the Jaccard index; NaN when neither side has a positive."""
    return _ratio(counts.tp, counts.tp + counts.fp + counts.fn)


def f1_negative(counts: Counts) -> float:
    """Returns 2 TN / (2 TN + FP + FN), the F1 score of the negative class; NaN when it is absent.

    The other scores of that class are `npv` (precision) and `specificity` (recall).
    """
    return f1(_swapped(counts))


def class_averages(counts: Counts) -> dict[str, float]:
    """Returns precision, recall and F1 averaged over the negative and the positive class.

    Args:
        counts: The counts, as always those of the positive class.

    Returns:
        - `precision_macro`, `recall_macro`, `f1_macro`: the mean of both classes; NaN when the
          score of either is. `f1_macro` is the mean of two F1 scores.
        - `precision_weighted`, `recall_weighted`, `f1_weighted`: the mean weighted by the number
          of slices of each class; a class without slices is left out, NaN when the score of a
          class with slices is. `recall_weighted` is the accuracy.
    """
    sides = (_swapped(counts), counts)
    sizes = [side.tp + side.fn for side in sides]
    macro, weighted = {}, {}
    for name, score in (("precision", precision), ("recall", sensitivity), ("f1", f1)):
        scores = [score(side) for side in sides]
        total = sum(size * value for size, value in zip(sizes, scores, strict=True) if size)
        macro[f"{name}_macro"] = sum(scores) / 2
        weighted[f"{name}_weighted"] = total / sum(sizes) if sum(sizes) else float("nan")
    return macro | weighted


def roc_auc(truth: ArrayLike, scores: ArrayLike) -> float:
    """Returns the area under the ROC curve, equal scores counting half; NaN without both classes.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1].

    Raises:
        ValueError: If shapes differ, a truth is neither 0 nor 1 or a score is not in [0, 1].
    """
    return _ranked_once(truth, scores)[0]


def sensitivity_at_90_specificity(truth: ArrayLike, scores: ArrayLike) -> float:
    """Returns the highest sensitivity at a specificity of at least 0.90; NaN without both classes.

    See `classification_metrics`; arguments and errors are those of `roc_auc`.
    """
    return _ranked_once(truth, scores)[2]


def average_precision(truth: ArrayLike, scores: ArrayLike) -> float:
    """Returns the average precision, not interpolated; NaN where no slice is positive.

    Arguments and errors are those of `roc_auc`.
    """
    return _ranked_once(truth, scores)[1]


def classification_metrics(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float,
    groups: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Metric]:
    """Scores a binary classifier; names without a class or an average mean the positive class.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1]: the probability given to class 1.
        threshold: A score at or above it is called positive.
        groups: Shape (N,), such as patients; without it slices are taken to be independent.
        seed: See `bootstrap`.
        resamples: See `bootstrap`.

    Returns:
        The metrics named in `CLASSIFICATION_METRICS`, NaN where undefined:

        - accuracy, sensitivity, specificity, precision, npv, f1, f1_negative and the averages of
          both classes at the threshold: see the functions of these names and `class_averages`;
        - roc_auc, and average_precision: the sum of (rise of recall) x precision, not interpolated;
        - sensitivity_at_90_specificity: the highest sensitivity of a point of the ROC curve whose
          specificity is at least 0.90, nothing interpolated; 0 where only the point at which
          nothing is called positive is so specific; NaN without both classes. That point is
          chosen on the very slices it is measured on, which flatters a little;
        - brier: the mean squared difference of score and truth;
        - ece: the expected calibration error of the score of class 1 in 15 bins: the mean distance
          of score and share of positives in a bin, weighted by its slices; empty bins add nothing.

        Intervals are from a bootstrap over groups; without groups those of the first five are
        Wilson's. Resampling adds noise to every bin of ece, so that its interval lies to the high
        side and may leave out the value of a well calibrated model.

    Raises:
        ValueError: If shapes differ, a truth is neither 0 nor 1 or a score is not in [0, 1].

    Example:
        >>> from stroke_tf import classification_metrics
        >>> found = classification_metrics([0, 0, 1, 1], [0.1, 0.6, 0.5, 0.9], threshold=0.5)
        >>> found["roc_auc"].value, found["sensitivity"].value, found["specificity"].value
        (0.75, 1.0, 0.5)
    """
    truth, scores = check_scored(truth, scores)
    slices = check_groups(groups, len(truth))
    if not len(truth):
        return dict.fromkeys(CLASSIFICATION_METRICS, UNDEFINED)
    _, rank = np.unique(scores, return_inverse=True)
    called, errors = scores >= threshold, scores - truth
    bin_of = score_bins(scores, CALIBRATION_BINS)

    def statistics(weights: NDArray[np.int64]) -> list[float]:
        counts = _weighted_counts(truth, called, weights)
        return [
            *(_ratio(*parts(counts)) for parts in _PROPORTIONS.values()),
            f1(counts),
            *_ranked(truth, rank, weights),
            float(weights @ errors**2 / weights.sum()),
            float(np.abs(np.bincount(bin_of, weights * errors)).sum() / weights.sum()),
            f1_negative(counts),
            *class_averages(counts).values(),
        ]

    values = bootstrap(statistics, slices, seed=seed, resamples=resamples)
    metrics = dict(zip(CLASSIFICATION_METRICS, values, strict=True))
    if groups is None:
        counts = _weighted_counts(truth, called, np.ones(len(truth), dtype=np.int64))
        metrics |= {name: wilson(*parts(counts)) for name, parts in _PROPORTIONS.items()}
    return metrics


def score_bins(scores: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Returns the bin of each score, shape (N,): `bins` of equal width on [0, 1].

    A bin holds its upper limit and not its lower; 0 is in the first.
    """
    return np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], scores)


def check_answers(
    truth: ArrayLike, predicted: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Returns truth and predicted answers as bool, both of shape (N,).

    Raises:
        ValueError: If the shapes differ or a value is neither 0 nor 1.
    """
    answers = _binary("truth", truth), _binary("predicted", predicted)
    _check_shapes(*answers, name="predicted")
    return answers


def check_scored(
    truth: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Returns truth as bool and scores as float64, both of shape (N,).

    Raises:
        ValueError: If shapes differ, a truth is neither 0 nor 1 or a score is not in [0, 1].
    """
    truth, scores = _binary("truth", truth), np.asarray(scores, dtype=np.float64)
    _check_shapes(truth, scores, name="scores")
    outside = scores[~((scores >= 0) & (scores <= 1))]
    if outside.size:
        raise ValueError(f"`scores` must be in [0, 1]. Received: {outside[0]}")
    return truth, scores


def check_both_classes(
    truth: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Returns the same as `check_scored`; checks too that both classes occur.

    Raises:
        ValueError: As `check_scored`, or if a class is absent.
    """
    truth, scores = check_scored(truth, scores)
    if not truth.any() or truth.all():
        raise ValueError(
            f"`truth` must hold both classes. Received: {int(truth.sum())} positive of {len(truth)}"
        )
    return truth, scores


def _check_shapes(truth: NDArray[Any], other: NDArray[Any], *, name: str) -> None:
    if truth.shape != other.shape:
        raise ValueError(
            f"`truth` and `{name}` must have the same shape. "
            f"Received: {truth.shape} and {other.shape}"
        )


_PROPORTIONS: dict[str, Callable[[Counts], tuple[int, int]]] = {
    "accuracy": lambda counts: (
        counts.tp + counts.tn,
        counts.tp + counts.fp + counts.fn + counts.tn,
    ),
    "sensitivity": lambda counts: (counts.tp, counts.tp + counts.fn),
    "specificity": lambda counts: (counts.tn, counts.tn + counts.fp),
    "precision": lambda counts: (counts.tp, counts.tp + counts.fp),
    "npv": lambda counts: (counts.tn, counts.tn + counts.fn),
}
"""The scores that are a share of slices: how many, of how many."""
CLASSIFICATION_METRICS = (
    *_PROPORTIONS,
    "f1",
    "roc_auc",
    "average_precision",
    "sensitivity_at_90_specificity",
    "brier",
    "ece",
    "f1_negative",
    *(f"{name}_{mean}" for mean in ("macro", "weighted") for name in ("precision", "recall", "f1")),
)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _swapped(counts: Counts) -> Counts:
    """Returns the counts with the negative class as the positive one."""
    return Counts(tp=counts.tn, fp=counts.fn, fn=counts.fp, tn=counts.tp)


def _weighted_counts(
    truth: NDArray[np.bool_], predicted: NDArray[np.bool_], weights: NDArray[np.int64]
) -> Counts:
    cells = np.bincount(2 * truth + predicted, weights=weights, minlength=4)
    tn, fp, fn, tp = (int(cell) for cell in cells)
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)


def _ranked_once(truth: ArrayLike, scores: ArrayLike) -> tuple[float, float, float]:
    truth, scores = check_scored(truth, scores)
    if not len(truth):
        return float("nan"), float("nan"), float("nan")
    _, rank = np.unique(scores, return_inverse=True)
    return _ranked(truth, rank, np.ones(len(truth), dtype=np.int64))


def _ranked(
    truth: NDArray[np.bool_], rank: NDArray[np.int64], weights: NDArray[np.int64]
) -> tuple[float, float, float]:
    """Returns ROC AUC, average precision and sensitivity at high specificity; ties are one point.

    scikit-learn has the curves, but sorts and checks at every call: 20 times the time.
    """
    positives = np.bincount(rank, weights=weights * truth)[::-1]
    negatives = np.bincount(rank, weights=weights * ~truth)[::-1]
    tp, fp = positives.cumsum(), negatives.cumsum()
    if not tp[-1]:
        return float("nan"), float("nan"), float("nan")
    found = positives > 0
    average_precision = positives[found] @ (tp[found] / (tp + fp)[found]) / tp[-1]
    if not fp[-1]:
        return float("nan"), float(average_precision), float("nan")
    area = negatives @ (tp - positives / 2) / (tp[-1] * fp[-1])
    specific = (fp[-1] - fp) / fp[-1] >= HIGH_SPECIFICITY
    sensitivity_there = np.max(tp, where=specific, initial=0) / tp[-1]
    return float(area), float(average_precision), float(sensitivity_there)


def _binary(name: str, values: ArrayLike) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"`{name}` must have shape (N,). Received: {array.shape}")
    wrong = array[(array != 0) & (array != 1)]
    if wrong.size:
        raise ValueError(f"`{name}` must hold 0 and 1 only. Received: {wrong[0]!r}")
    return array.astype(bool)
