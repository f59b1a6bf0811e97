import math

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, roc_auc_score

from stroke_tf.evaluation.comparisons import delong, holm, mcnemar, paired_bootstrap


def _pair(n, seed=0, decimals=None):
    """Truth and the scores of two classifiers, the first the better one."""
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(n) % 3 == 0)
    scores = [
        np.clip(gain * truth + rng.normal(0.35, 0.2, n), 0, 1).round(decimals or 9)
        for gain in (0.3, 0.15)
    ]
    return truth, *scores


def test_mcnemar_by_hand():
    truth = [1] * 10
    a = [1] * 3 + [1] + [0] * 5 + [0]
    b = [1] * 3 + [0] + [1] * 5 + [0]
    # 6 slices on which one is wrong, 1 and 5: both tails of 1 or less of 6 = 2 (1 + 6) / 2^6
    assert mcnemar(truth, a, b) == (1, 5, pytest.approx(14 / 64))


def test_mcnemar_counts_negatives_found_as_right_too():
    assert mcnemar([0, 0, 1], [0, 1, 1], [1, 0, 0])[:2] == (2, 1)


def test_mcnemar_of_equal_answers_finds_nothing():
    assert mcnemar([1, 0, 1], [1, 1, 0], [1, 1, 0]) == (0, 0, 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_mcnemar_agrees_with_statsmodels(seed):
    from statsmodels.stats import contingency_tables

    truth, a, b = (values >= 0.5 for values in _pair(80, seed))
    right_a, right_b = a == truth, b == truth
    cells = [[(right_a & right_b).sum(), (right_a & ~right_b).sum()]]
    cells.append([(~right_a & right_b).sum(), (~right_a & ~right_b).sum()])
    theirs = contingency_tables.mcnemar(cells, exact=True)
    assert mcnemar(truth, a, b).p_value == pytest.approx(theirs.pvalue)


def test_mcnemar_rejects_other_shapes():
    with pytest.raises(ValueError, match="same shape"):
        mcnemar([1, 0], [1, 0], [1])


def test_delong_by_hand():
    # a wins 3 of 4 pairs: strokes 0.35 and 0.8 beat 1/2 and 2/2, normal 0.1 and 0.4 lose to 2/2
    # and 1/2; b wins all. Differences by stroke (-1/2, 0), by normal slice (0, -1/2): variance
    # 1/8 each, of two slices
    found = delong([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8], [0.1, 0.2, 0.3, 0.9])
    error = math.sqrt(1 / 8 / 2 + 1 / 8 / 2)
    assert (found.auc_a, found.auc_b) == (0.75, 1.0)
    assert found.difference == pytest.approx(
        (-0.25, -0.25 - 1.959964 * error, -0.25 + 1.959964 * error)
    )
    assert found.p_value == pytest.approx(2 * norm.cdf(-0.25 / error))


@pytest.mark.parametrize("decimals", [None, 1])
def test_delong_agrees_with_comparing_every_pair(decimals):
    truth, *both = _pair(60, decimals=decimals)
    wins = [
        np.sign(scores[truth][:, None] - scores[~truth][None]) / 2 + 0.5 for scores in both
    ]  # (positives, negatives)
    by_positive, by_negative = (np.stack([win.mean(axis=axis) for win in wins]) for axis in (1, 0))
    covariance = (
        np.cov(by_positive) / by_positive.shape[1] + np.cov(by_negative) / by_negative.shape[1]
    )
    error = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    difference = wins[0].mean() - wins[1].mean()
    found = delong(truth, *both)
    assert (found.auc_a, found.auc_b) == pytest.approx([roc_auc_score(truth, s) for s in both])
    assert found.difference.high - found.difference.low == pytest.approx(2 * 1.959964 * error)
    assert found.p_value == pytest.approx(2 * norm.sf(abs(difference) / error))


def test_delong_is_antisymmetric():
    truth, a, b = _pair(60)
    forth, back = delong(truth, a, b), delong(truth, b, a)
    assert forth.difference == pytest.approx(tuple(-back.difference[i] for i in (0, 2, 1)))
    assert forth.p_value == pytest.approx(back.p_value)


def test_delong_of_equal_scores_finds_nothing():
    truth, a, _ = _pair(30)
    assert delong(truth, a, a)[2:] == ((0, 0, 0), 1.0)


def test_delong_of_separable_against_constant_scores_has_no_width():
    truth = [0, 0, 1, 1]
    assert delong(truth, [0.1, 0.2, 0.8, 0.9], [0.5] * 4) == (1.0, 0.5, (0.5, 0.5, 0.5), 0.0)


def test_delong_needs_two_slices_of_each_class():
    with pytest.raises(ValueError, match="two slices of each class. Received: 1 positive, 2 neg"):
        delong([0, 1, 0], [0.1, 0.2, 0.3], [0.1, 0.2, 0.3])


def test_paired_bootstrap_of_independent_slices_agrees_with_delong():
    truth, a, b = _pair(300)
    found = paired_bootstrap(truth, a, b, groups=np.arange(300), resamples=1000).difference
    expected = delong(truth, a, b).difference
    assert found.value == pytest.approx(expected.value)
    assert found[1:] == pytest.approx(expected[1:], abs=0.015)


def test_paired_bootstrap_is_wider_when_slices_of_a_patient_repeat_each_other():
    truth, a, b = (values.repeat(10) for values in _pair(150))
    patients = np.arange(150).repeat(10)
    alone = paired_bootstrap(truth, a, b, groups=np.arange(1500), resamples=300).difference
    whole = paired_bootstrap(truth, a, b, groups=patients, resamples=300).difference
    assert whole.value == alone.value
    # ten copies of each slice: sqrt(10) times the standard error
    ratio = (whole.high - whole.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.25)


def test_paired_bootstrap_draws_patients_whole():
    sizes = set()

    def size(truth, scores):
        sizes.add(len(scores))
        return 0.0

    paired_bootstrap(
        [0, 1, 0, 1, 1], [0.5] * 5, [0.5] * 5, groups=list("aabbb"), statistic=size, resamples=30
    )
    assert sizes == {2, 3, 4, 5, 6}  # both patients, one twice, and one left out for BCa


def test_paired_bootstrap_of_equal_scores_has_no_width():
    truth, a, _ = _pair(30)
    found = paired_bootstrap(truth, a, a, groups=np.arange(30), resamples=50)
    assert found == ((0, 0, 0), 1.0)


def test_paired_bootstrap_takes_any_statistic_and_repeats_by_seed():
    truth, a, b = _pair(50)
    groups = np.arange(50) // 5
    runs = [
        paired_bootstrap(
            truth, a, b, groups=groups, statistic=brier_score_loss, seed=seed, resamples=20
        )
        for seed in (1, 1, 2)
    ]
    expected = brier_score_loss(truth, a) - brier_score_loss(truth, b)
    assert runs[0].difference.value == pytest.approx(expected)
    assert runs[0] == runs[1] != runs[2]


def test_paired_bootstrap_rejects_groups_of_another_length():
    with pytest.raises(ValueError, match="`groups` must have shape \\(2,\\). Received: \\(1,\\)"):
        paired_bootstrap([0, 1], [0.5, 0.1], [0.5, 0.1], groups=["a"])


def test_holm_by_hand():
    # sorted 0.01, 0.02, 0.03: 3 x 0.01, 2 x 0.02, and 0.03 may not fall below that
    assert holm([0.02, 0.03, 0.01]) == pytest.approx([0.04, 0.04, 0.03])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_holm_does_not_count_what_is_undefined():
    corrected = holm([0.02, float("nan"), 0.04])
    assert corrected == pytest.approx([0.04, float("nan"), 0.04], nan_ok=True)


@pytest.mark.parametrize("seed", range(3))
def test_holm_agrees_with_statsmodels(seed):
    from statsmodels.stats.multitest import multipletests

    p_values = np.random.default_rng(seed).random(7) ** 3
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])
