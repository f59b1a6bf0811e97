"""Whether one classifier is better than another on the same slices.

`mcnemar` and `delong` take slices to be independent. Those of one patient are not, and both then
find differences that are not there: trust `paired_bootstrap`, which draws whole patients. Of many
comparisons some seem real by chance: `holm` corrects their p values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm, rankdata

from stroke_tf.evaluation.intervals import (
    CONFIDENCE,
    RESAMPLES,
    Gain,
    Metric,
    bootstrap_gain,
    check_groups,
)
from stroke_tf.evaluation.metrics import check_answers, check_scored, roc_auc


class McNemar(NamedTuple):
    """Slices that one classifier alone got right, and the two-sided exact p value."""

    only_a: int
    only_b: int
    p_value: float


class DeLong(NamedTuple):
    """Two ROC AUCs, a minus b with its 95 % interval, and the two-sided p value."""

    auc_a: float
    auc_b: float
    difference: Metric
    p_value: float


def mcnemar(truth: ArrayLike, predicted_a: ArrayLike, predicted_b: ArrayLike) -> McNemar:
    """Tests whether two classifiers are right equally often; takes slices to be independent.

    The exact test: of the slices that one of them got wrong, each should get half. With no such
    slice the p value is 1.

    Truth and answers have shape (N,) and are 0 or 1 (or bool).

    Raises:
        ValueError: If shapes differ or a value is neither 0 nor 1.
    """
    truth, answers_a = check_answers(truth, predicted_a)
    _, answers_b = check_answers(truth, predicted_b)
    right_a, right_b = answers_a == truth, answers_b == truth
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    discordant = only_a + only_b
    p_value = float(binomtest(only_a, discordant).pvalue) if discordant else 1.0
    return McNemar(only_a, only_b, p_value)


def delong(truth: ArrayLike, scores_a: ArrayLike, scores_b: ArrayLike) -> DeLong:
    """Tests whether two ROC AUCs are equal (DeLong et al. 1988); takes slices to be independent.

    By midranks (Sun and Xu 2014), O(N log N). Where neither AUC varies, as when both classifiers
    separate the classes, the interval has no width, and p is 1 if the AUCs are equal, else 0.

    The truth, shape (N,), is 0 or 1 (or bool), at least two of each; scores are in [0, 1].

    Raises:
        ValueError: If a class has fewer than two slices, or truth and scores do not fit together.
    """
    truth, first = check_scored(truth, scores_a)
    scores = np.stack([first, check_scored(truth, scores_b)[1]])
    positives, negatives = int(truth.sum()), int((~truth).sum())
    if min(positives, negatives) < 2:
        raise ValueError(
            "`truth` must hold at least two slices of each class. "
            f"Received: {positives} positive, {negatives} negative"
        )
    ranks = rankdata(scores, axis=1)
    # For each slice the share of the other class that it is on the right side of, shape (2, n)
    won_by_positive = (ranks[:, truth] - rankdata(scores[:, truth], axis=1)) / negatives
    won_by_negative = 1 - (ranks[:, ~truth] - rankdata(scores[:, ~truth], axis=1)) / positives
    auc_a, auc_b = (float(auc) for auc in won_by_positive.mean(axis=1))
    gains = [first - second for first, second in (won_by_positive, won_by_negative)]
    error = float(sum(gain.var(ddof=1) / len(gain) for gain in gains)) ** 0.5
    difference = auc_a - auc_b
    half = float(norm.ppf((1 + CONFIDENCE) / 2)) * error
    interval = Metric(difference, difference - half, difference + half)
    p_value = 2 * norm.sf(abs(difference) / error) if error else difference == 0
    return DeLong(auc_a, auc_b, interval, float(p_value))


def paired_bootstrap(
    truth: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    groups: ArrayLike,
    statistic: Callable[[NDArray[np.bool_], NDArray[np.float64]], float] = roc_auc,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Gain:
    """Returns a statistic of a minus that of b, with an interval and p value over whole patients.

    Both are scored on the same resamples, so that slices hard for both do not widen the interval.
    It stays right when slices of a patient depend on each other, as they do.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores_a: Shape (N,), in [0, 1].
        scores_b: Shape (N,), in [0, 1].
        groups: Shape (N,): the patient of each slice.
        statistic: Takes the truth and the scores of any number of slices; NaN where undefined.
        seed: Seed of the bootstrap.
        resamples: Number of bootstrap resamples.

    Raises:
        ValueError: If truth, scores and groups do not fit together.
    """
    truth, first = check_scored(truth, scores_a)
    _, second = check_scored(truth, scores_b)
    members = check_groups(groups, len(truth))

    def difference(weights: NDArray[np.int64]) -> float:
        drawn = np.repeat(np.arange(len(weights)), weights)
        return statistic(truth[drawn], first[drawn]) - statistic(truth[drawn], second[drawn])

    return bootstrap_gain(difference, members, seed=seed, resamples=resamples)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p values of several comparisons, corrected for their number by Holm (1979).

    The least is multiplied by their number, the next by one less and so on; none falls below a
    lesser one or exceeds 1. A value of NaN stays so and is not counted.
    """
    given = np.array(p_values, dtype=np.float64)
    order = np.argsort(given)  # NaN last
    factors = np.count_nonzero(~np.isnan(given)) - np.arange(len(given))
    corrected = np.empty_like(given)
    corrected[order] = np.minimum(1, np.maximum.accumulate(given[order] * factors))
    return corrected.tolist()
