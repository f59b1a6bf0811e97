import math

import numpy as np
import pytest
from scipy import stats

from stroke_tf.evaluation.intervals import (
    bootstrap,
    bootstrap_gain,
    bootstrap_tests,
    check_groups,
    p_text,
    wilson,
)


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


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (8, 10), (61, 70)])
def test_wilson_agrees_with_statsmodels(successes, trials):
    from statsmodels.stats.proportion import proportion_confint

    theirs = proportion_confint(successes, trials, method="wilson")
    assert wilson(successes, trials)[1:] == pytest.approx(theirs)


def _mean_of(values):
    return lambda weights: [float(weights @ values) / int(weights.sum())]


@pytest.mark.parametrize(("resamples", "method"), [(2000, "BCa"), (60, "percentile")])
def test_bootstrap_of_single_slices_is_that_of_scipy(resamples, method):
    values = np.random.default_rng(1).exponential(size=80)  # skewed, which BCa sees
    (ours,) = bootstrap(_mean_of(values), np.arange(80), seed=3, resamples=resamples)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=resamples, batch=100, method=method, rng=3
    ).confidence_interval
    assert ours == pytest.approx((values.mean(), theirs.low, theirs.high))


def test_bootstrap_takes_percentiles_where_resamples_are_undefined():
    values = np.random.default_rng(1).exponential(size=12)

    def statistics(weights):
        mean = _mean_of(values)(weights)[0]
        return [mean, mean if weights[0] else float("nan")]

    sure, unsure = bootstrap(statistics, np.arange(12), seed=0, resamples=4000)
    drawn = np.random.default_rng(0).integers(0, 12, (4000, 12))
    means = values[drawn[(drawn == 0).any(axis=1)]].mean(axis=1)
    assert unsure == pytest.approx((values.mean(), *np.quantile(means, [0.025, 0.975])))
    assert sure.high > np.quantile(values[drawn].mean(axis=1), 0.975) * 1.02  # BCa


def test_bootstrap_takes_percentiles_where_bca_would_ask_for_an_end_of_the_resamples():
    values = np.random.default_rng(1).normal(size=40)

    def absolute_mean(weights):  # of values centred on 0: every resample is further from it
        return [abs(float(weights @ (values - values.mean()))) / 40]

    ((value, low, high),) = bootstrap(absolute_mean, np.arange(40), seed=0, resamples=500)
    assert value == pytest.approx(0)
    assert 0 < low < high
    drawn = np.random.default_rng(0).integers(0, 40, (500, 40))
    expected = np.quantile(np.abs((values - values.mean())[drawn].mean(axis=1)), [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(expected))


def test_a_gain_has_the_p_value_of_the_resamples_on_the_other_side_of_0():
    values = np.arange(-3.0, 8.0)
    found = bootstrap_gain(lambda weights: _mean_of(values)(weights)[0], values, resamples=400)
    drawn = np.random.default_rng(0).integers(0, 11, (400, 11))
    beyond = (values[drawn].mean(axis=1) <= 0).sum()
    assert 0 < beyond < 40
    assert found.p_value == pytest.approx(2 * (beyond + 1) / 401)
    back = bootstrap_gain(lambda weights: -_mean_of(values)(weights)[0], values, resamples=400)
    assert back.p_value == found.p_value


def test_each_of_several_statistics_has_the_p_value_of_its_own_null():
    values = np.arange(1, 11) / 10
    mean = _mean_of(values)
    found, p_values = bootstrap_tests(
        lambda weights: [*mean(weights)] * 3, [0.55, 0.0, 2.0], values, resamples=400
    )
    assert [interval.value for interval in found] == pytest.approx([0.55] * 3)
    assert p_values[0] > 0.5
    assert p_values[1:] == pytest.approx([2 / 401] * 2)


def test_a_gain_of_one_group_or_without_a_value_has_no_p_value():
    for groups, value in (["a", "a"], 1.0), (["a", "b"], float("nan")):
        found = bootstrap_gain(lambda weights, value=value: value, groups, resamples=20)
        assert p_text(found.p_value) == "n/a"


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
    once = [1, 1, 1, 1]  # for the value, and for BCa, which leaves each group out once too
    sums = [weights[0] + weights[1] + weights[3] for weights in seen]
    assert sums == [3] * 22 + [2] * 3
    assert [weights.tolist() for weights in (seen[0], seen[21])] == [once, once]


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
