"""A number and its 95 % interval. Knows counts and groups, not what they were counted on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95


class Metric(NamedTuple):
    """A number with the limits of its 95 % interval; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def text(self, *, sign: bool = False) -> str:
        """Returns it with its interval, if it has one, to three digits; n/a if not defined."""
        if self.value != self.value:
            return "n/a"
        value, low, high = (f"{number:{'+' * sign}.3f}" for number in self)
        return value if self.low != self.low else f"{value} [{low}, {high}]"


UNDEFINED = Metric(float("nan"), float("nan"), float("nan"))


def wilson(successes: int, trials: int) -> Metric:
    """Returns successes / trials with its Wilson 95 % interval; NaN without trials.

    It takes the trials to be independent: slices of one patient are not, see `bootstrap`.
    """
    if not trials:
        return UNDEFINED
    # Half a second that reading a finished run should not cost.
    from scipy.stats import binomtest

    interval = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Metric(successes / trials, float(interval.low), float(interval.high))


def check_groups(groups: ArrayLike | None, size: int) -> NDArray[Any]:
    """Returns the group of each of `size` slices; without groups each slice is its own.

    Raises:
        ValueError: If there is not one group for each slice.
    """
    array = np.arange(size) if groups is None else np.asarray(groups)
    if array.shape != (size,):
        raise ValueError(f"`groups` must have shape ({size},). Received: {array.shape}")
    return array


def bootstrap(
    statistics: Callable[[NDArray[np.int64]], Sequence[float]],
    groups: ArrayLike,
    *,
    seed: int,
    resamples: int,
) -> list[Metric]:
    """Returns statistics with percentile bootstrap 95 % intervals, drawing whole groups.

    Resamples in which a statistic is NaN (a class was not drawn) are left out of its interval.
    When all resamples agree, as for a sensitivity of 1, the interval has no width.

    Args:
        statistics: Takes int64 weights, shape (N,): how often each slice was drawn. Returns any
            number of statistics.
        groups: Shape (N,): the group of each slice, such as its patient.
        seed: Seed of the draws.
        resamples: Number of resamples.

    Returns:
        One `Metric` for each statistic, its value that of weights of 1; limits are NaN when the
        value is, or when there is one group only.
    """
    names, member_of = np.unique(np.asarray(groups), return_inverse=True)
    values = statistics(np.ones(len(member_of), dtype=np.int64))
    rng, shares = np.random.default_rng(seed), np.full(len(names), 1 / len(names))
    table = np.array(
        [
            statistics(rng.multinomial(len(names), shares)[member_of])
            for _ in range(resamples if len(names) > 1 else 0)
        ]
    ).reshape(-1, len(values))
    return [_percentiles(value, column) for value, column in zip(values, table.T, strict=True)]


def _percentiles(value: float, resampled: NDArray[np.float64]) -> Metric:
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(value) or not defined.size:
        return Metric(float(value), float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Metric(float(value), float(low), float(high))
