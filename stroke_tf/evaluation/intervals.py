"""A number and its 95 % interval. Knows counts and groups, not what they were counted on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

CONFIDENCE = 0.95
RESAMPLES = 1000
INTERVALS = "BCa where that applies, else percentiles"
"""The kind of the intervals of `bootstrap`, for the notes under tables."""
_BATCH = 100  # resamples drawn at once: a row of group numbers each
_TAIL = 1 / 500  # of the resamples: a BCa limit that fewer reach is noise


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


class Gain(NamedTuple):
    """A difference with its 95 % interval, and its two-sided p value against no difference."""

    difference: Metric
    p_value: float


def p_text(p_value: float) -> str:
    """Returns a p value to three digits; n/a if not defined."""
    return "n/a" if p_value != p_value else f"{p_value:.3g}"


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
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> list[Metric]:
    """Returns statistics with bootstrap 95 % intervals of `scipy.stats.bootstrap` over groups.

    An interval is BCa, bias-corrected and accelerated (Efron 1987), where that applies: all
    resamples are defined, the groups, each left out once for it, are no more than the resamples,
    and each limit is reached by 1 in 500 of them at least, which very biased statistics miss.
    Elsewhere it lies between the percentiles of the resamples that are defined: those without a
    positive slice leave no sensitivity. When all resamples agree, as for a sensitivity of 1, the
    interval has no width.

    Args:
        statistics: Takes int64 weights, shape (N,): how often each slice was drawn. Returns any
            number of statistics.
        groups: Shape (N,): the group of each slice, such as its patient.
        seed: Seed of the draws.
        resamples: Number of resamples; 0 leaves values alone.

    Returns:
        One `Metric` for each statistic, its value that of weights of 1; limits are NaN when the
        value is, or when there is one group or no resample.
    """
    return _bootstrap(statistics, groups, seed=seed, resamples=resamples)[0]


def bootstrap_gain(
    difference: Callable[[NDArray[np.int64]], float],
    groups: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Gain:
    """Returns a difference of two answers to the same slices, as `bootstrap` does, and its p value.

    The p value is that of `bootstrap_tests` against no difference.
    """
    (found,), (p_value,) = bootstrap_tests(
        lambda weights: [difference(weights)], [0.0], groups, seed=seed, resamples=resamples
    )
    return Gain(found, p_value)


def bootstrap_tests(
    statistics: Callable[[NDArray[np.int64]], Sequence[float]],
    nulls: Sequence[float],
    groups: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> tuple[list[Metric], list[float]]:
    """Returns statistics, as `bootstrap` does, and the two-sided p value of each against its null.

    The p value is twice the share of the resamples that lie on the other side of the null or on it,
    each share with one resample added, so that it is never 0; NaN where there is no interval.
    """
    found, resampled = _bootstrap(statistics, groups, seed=seed, resamples=resamples)
    return found, list(map(_p_value, found, resampled, nulls))


def _p_value(found: Metric, resampled: NDArray[np.float64], null: float) -> float:
    defined = resampled[~np.isnan(resampled)]
    if np.isnan(found.low):
        return float("nan")
    beyond = min((defined <= null).sum(), (defined >= null).sum())
    return float(min(1, 2 * (beyond + 1) / (len(defined) + 1)))


def _bootstrap(
    statistics: Callable[[NDArray[np.int64]], Sequence[float]],
    groups: ArrayLike,
    *,
    seed: int,
    resamples: int,
) -> tuple[list[Metric], NDArray[np.float64]]:
    """Returns the statistics, and their values in each resample, shape (statistics, resamples)."""
    from scipy import stats

    names, member_of = np.unique(np.asarray(groups), return_inverse=True)
    values = np.array(statistics(np.ones(len(member_of), dtype=np.int64)), dtype=np.float64)
    if len(names) < 2 or not resamples:
        nothing = np.full(len(values), np.nan)
        return _metrics(values, nothing, nothing), np.empty((len(values), 0))

    def of_drawn(drawn: NDArray[np.int64], axis: int) -> NDArray[np.float64]:
        rows = drawn.reshape(-1, drawn.shape[-1])
        weights = (np.bincount(row, minlength=len(names))[member_of] for row in rows)
        found = np.array([statistics(each) for each in weights], dtype=np.float64)
        return found.T.reshape(len(values), *drawn.shape[:-1])

    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(len(names)),),
            of_drawn,
            vectorized=True,
            n_resamples=resamples,
            batch=_BATCH,
            confidence_level=CONFIDENCE,
            method="BCa" if len(names) <= resamples else "percentile",
            rng=seed,
        )
    resampled = found.bootstrap_distribution
    low, high = found.confidence_interval
    limits = _limits(resampled, np.asarray(low), np.asarray(high))
    return _metrics(values, *np.where(np.isnan(values), np.nan, limits)), resampled


def _limits(
    resampled: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns SciPy's limits, shape (2, statistics), or percentiles where these do not serve."""
    reached = np.minimum(
        (resampled <= low[:, None]).mean(axis=1), (resampled >= high[:, None]).mean(axis=1)
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        percentiles = np.nanquantile(
            resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], axis=1
        )
    return np.where(reached >= _TAIL, (low, high), percentiles)  # a limit of NaN reaches nothing


def _metrics(*columns: NDArray[np.float64]) -> list[Metric]:
    return [Metric(*map(float, row)) for row in zip(*columns, strict=True)]
