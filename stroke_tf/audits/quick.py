"""A classifier for audits, quick and without settings: logistic regression, out of fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stroke_tf.evaluation.intervals import Metric, bootstrap_tests

PARTS = 5
_STEPS, _TOLERANCE = 300, 1e-3


def parts_of(folds: Sequence[int | str]) -> NDArray[np.int64]:
    """Returns the part, 0 to 4, of each slice by its fold: of ten folds pairs, else each alone."""
    numbers = np.array([int(fold) for fold in folds], np.int64)
    return numbers // 2 if len(set(numbers)) > PARTS else numbers


def out_of_fold(
    features: ArrayLike, truth: ArrayLike, parts: ArrayLike, *, seed: int = 0
) -> NDArray[np.float64]:
    """Returns the score of each slice by a classifier fitted to the other parts.

    Features are standardised; the penalty grows with their number (C = 1 / D), so that views of a
    few numbers and of a thousand are judged alike; classes weigh the same.

    Args:
        features: Shape (N, D).
        truth: Shape (N,), 0 or 1 (or bool).
        parts: Shape (N,): the part of each slice, any labels.
        seed: Seed of the solver.

    Returns:
        Shape (N,), in [0, 1]: the probability of class 1; 0.5 where the other parts lack a class.
    """
    features, truth = np.asarray(features, np.float32), np.asarray(truth, bool)
    parts, scores = np.asarray(parts), np.full(len(truth), 0.5)
    for part in np.unique(parts):
        test = parts == part
        scores[test] = fit_and_score(features[~test], truth[~test], features[test], seed=seed)
    return scores


def fit_and_score(
    features: NDArray[np.float32],
    truth: NDArray[np.bool_],
    new: NDArray[np.float32],
    *,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Returns scores of new slices by the classifier of `out_of_fold` fitted to others."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if truth.all() or not truth.any():
        return np.full(len(new), 0.5)
    model = LogisticRegression(
        C=1 / features.shape[1],
        class_weight="balanced",
        max_iter=_STEPS,
        tol=_TOLERANCE,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), model).fit(features, truth).predict_proba(new)[:, 1]


class AucInParts:
    """The ROC AUC: the mean over the parts that have both classes; NaN without such a part.

    Scores of different models share no scale, so slices are compared inside a part alone. They are
    sorted once, so that each resample costs a few sums.
    """

    def __init__(
        self,
        truth: NDArray[np.bool_],
        scores: NDArray[np.float64],
        parts: NDArray[Any],
        counted: NDArray[np.bool_] | None = None,
    ):
        """Takes slices, each array of shape (N,); where `counted` is False they do not count."""
        counted = np.ones(len(truth), bool) if counted is None else counted
        self._parts = []
        for part in np.unique(parts[counted]):
            places = np.flatnonzero(counted & (parts == part))
            places = places[np.argsort(scores[places], kind="stable")]
            starts = np.flatnonzero(np.diff(scores[places], prepend=-np.inf))
            self._parts.append((places, truth[places], starts))

    def __call__(self, weights: NDArray[np.int64]) -> float:
        """Returns the AUC when each slice is drawn as often as the weights, shape (N,), say."""
        found = [_auc(weights[places], truth, starts) for places, truth, starts in self._parts]
        defined = [auc for auc in found if auc == auc]
        return float(np.mean(defined)) if defined else float("nan")


def _auc(weights: NDArray[np.int64], truth: NDArray[np.bool_], starts: NDArray[np.int64]) -> float:
    """Returns the AUC of slices in the order of their scores; equal ones begin at `starts`."""
    positives, negatives = (
        np.add.reduceat(weights * of_class, starts) for of_class in (truth, ~truth)
    )
    pairs = positives.sum() * negatives.sum()
    below = np.cumsum(negatives) - negatives / 2  # equal scores count half
    return float(positives @ below / pairs) if pairs else float("nan")


class Auc(NamedTuple):
    """A ROC AUC, that of the first score minus it, and the p value of each against no effect."""

    auc: Metric
    first_minus: Metric
    p_auc: float
    p_minus: float


def aucs(
    truth: ArrayLike,
    scores: Mapping[str, NDArray[np.float64]],
    parts: ArrayLike | Mapping[str, ArrayLike],
    groups: ArrayLike,
    *,
    counted: Mapping[str, NDArray[np.bool_]] | None = None,
    nothing: float = 0.5,
    seed: int,
    resamples: int,
) -> dict[str, Auc]:
    """Returns the ROC AUC of each score, and that of the first one minus it, with intervals.

    All scores are drawn on the same resamples of whole groups, so that differences are paired.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: By name, each of shape (N,).
        parts: Shape (N,): the part that each slice was held out in; or that by name of the score.
        groups: Shape (N,): the patient of each slice.
        counted: By name of a score, bool, shape (N,): the slices that count; all where not given.
        nothing: The AUC that `p_auc` tests against; `p_minus` tests against no difference.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    truth, counted = np.asarray(truth, bool), counted or {}
    parts = parts if isinstance(parts, Mapping) else dict.fromkeys(scores, parts)
    statistics = [
        AucInParts(truth, of_slices, np.asarray(parts[name]), counted.get(name))
        for name, of_slices in scores.items()
    ]

    def both(weights: NDArray[np.int64]) -> list[float]:
        values = [statistic(weights) for statistic in statistics]
        return [*values, *(values[0] - value for value in values)]

    half = len(scores)
    nulls = [nothing] * half + [0.0] * half
    found, p_values = bootstrap_tests(both, nulls, groups, seed=seed, resamples=resamples)
    columns = found[:half], found[half:], p_values[:half], p_values[half:]
    return dict(zip(scores, map(Auc, *columns), strict=True))
