"""A classifier for audits, quick and without settings: logistic regression, out of fold."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stroke_tf.evaluation.intervals import Metric, bootstrap

PARTS = 5
_STEPS, _TOLERANCE = 300, 1e-3


def parts_of(folds: Sequence[int | str]) -> NDArray[np.int64]:
    """Returns the part, 0 to 4, of each slice by its fold, 0 to 9: pairs of folds are parts."""
    return np.array([int(fold) // 2 for fold in folds], np.int64)


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
    """ROC AUC of each score: the mean over the parts that have both classes; NaN without one.

    Scores of different models share no scale, so slices are compared inside a part alone.
    """

    def __init__(
        self, truth: NDArray[np.bool_], scores: Mapping[str, NDArray[np.float64]], parts: NDArray
    ):
        members = [np.flatnonzero(parts == part) for part in np.unique(parts)]
        self._ranked = [
            [_Ranked(truth[member], score[member], member) for member in members]
            for score in scores.values()
        ]

    def __call__(self, weights: NDArray[np.int64]) -> list[float]:
        """Returns the AUC of each score when slices are drawn as often as the weights say."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Mean of empty slice")
            return [
                float(np.nanmean([part.auc(weights) for part in parts])) for parts in self._ranked
            ]


class _Ranked:
    """Slices sorted once, so that each resample costs a few sums."""

    def __init__(self, truth: NDArray[np.bool_], scores: NDArray[np.float64], places: NDArray):
        order = np.argsort(scores, kind="stable")
        self._places, self._truth = places[order], truth[order]
        self._starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))

    def auc(self, weights: NDArray[np.int64]) -> float:
        drawn = weights[self._places]
        positives, negatives = (
            np.add.reduceat(drawn * mask, self._starts) for mask in (self._truth, ~self._truth)
        )
        pairs = positives.sum() * negatives.sum()
        below = np.cumsum(negatives) - negatives / 2  # equal scores count half
        return float(positives @ below / pairs) if pairs else float("nan")


def aucs(
    truth: ArrayLike,
    scores: Mapping[str, NDArray[np.float64]],
    parts: ArrayLike,
    groups: ArrayLike,
    *,
    seed: int,
    resamples: int,
) -> dict[str, tuple[Metric, Metric]]:
    """Returns for each score its ROC AUC, and that of the first score minus it, with intervals.

    The AUC is the mean over the parts. All scores are drawn on the same resamples of whole groups.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: By name, each of shape (N,).
        parts: Shape (N,): the part of each slice.
        groups: Shape (N,): the patient of each slice.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    statistic = AucInParts(np.asarray(truth, bool), scores, np.asarray(parts))

    def both(weights: NDArray[np.int64]) -> list[float]:
        values = statistic(weights)
        return [*values, *(values[0] - value for value in values)]

    found = bootstrap(both, groups, seed=seed, resamples=resamples)
    half = len(scores)
    return dict(zip(scores, zip(found[:half], found[half:], strict=True), strict=True))
