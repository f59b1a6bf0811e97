import math

import numpy as np
import pytest
from scipy import stats

from stroke_tf.evaluation.intervals import bootstrap, check_groups, wilson


def test_wilson_agrees_with_its_formula():
    # z = 1.959964: centre (8 + z^2/2) / (10 + z^2), half-width z sqrt(8*2/10 + z^2/4) / (10 + z^2)
    z = 1.959963985
    centre, half = (8 + z**2 / 2) / (10 + z**2), z * math.sqrt(1.6 + z**2 / 4) / (10 + z**2)
    assert wilson(8, 10) == pytest.approx((0.8, centre - half, centre + half), abs=1e-6)


def test_wilson_of_a_perfect_score_still_has_width():
    value, low, high = wilson(20, 20)
    assert (value, high) == (1.0, 1.0)
    assert low == pytest.approx(20 / (20 + 1.959963985**2), abs=1e-6)


def test_wilson_without_trials_is_nan():
    assert all(math.isnan(number) for number in wilson(0, 0))


def _mean_of(values):
    return lambda weights: [float(weights @ values) / int(weights.sum())]


def test_bootstrap_agrees_with_scipy_when_every_slice_is_its_own_group():
    values = np.random.default_rng(1).normal(size=80)
    (ours,) = bootstrap(_mean_of(values), np.arange(80), seed=0, resamples=4000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=1
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert ours[1:] == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_bootstrap_over_groups_is_wider_when_slices_repeat_each_other():
    values = np.random.default_rng(1).normal(size=20).repeat(10)
    (alone,) = bootstrap(_mean_of(values), np.arange(200), seed=0, resamples=500)
    (grouped,) = bootstrap(_mean_of(values), np.arange(20).repeat(10), seed=0, resamples=500)
    assert grouped.value == alone.value
    # ten copies of each value: the standard error is sqrt(10) times that of independent slices
    ratio = (grouped.high - grouped.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.2)


def test_bootstrap_draws_whole_groups():
    seen = []

    def statistics(weights):
        seen.append(weights)
        return [0.0]

    bootstrap(statistics, ["a", "b", "a", "c"], seed=0, resamples=20)
    assert all(weights[0] == weights[2] for weights in seen)
    assert all(weights[0] + weights[1] + weights[3] == 3 for weights in seen[1:])
    assert len(seen) == 21


def test_bootstrap_repeats_by_seed():
    values = np.arange(10.0)
    runs = [bootstrap(_mean_of(values), values, seed=seed, resamples=50) for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


def test_bootstrap_of_one_group_has_a_value_but_no_interval():
    ((value, low, high),) = bootstrap(_mean_of(np.arange(4.0)), ["a"] * 4, seed=0, resamples=50)
    assert value == 1.5
    assert math.isnan(low)
    assert math.isnan(high)


def test_bootstrap_leaves_resamples_out_in_which_a_statistic_is_undefined():
    def statistics(weights):
        return [7.0 if weights[0] else float("nan"), float("nan")]

    first, second = bootstrap(statistics, [0, 1, 2], seed=0, resamples=50)
    assert first == (7.0, 7.0, 7.0)
    assert all(math.isnan(number) for number in second)


def test_without_groups_each_slice_is_its_own():
    assert check_groups(None, 3).tolist() == [0, 1, 2]
    assert check_groups(["a", "a", "b"], 3).tolist() == ["a", "a", "b"]
