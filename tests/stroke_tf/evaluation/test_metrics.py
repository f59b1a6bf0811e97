import math
import time
from itertools import pairwise

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from stroke_tf.evaluation import metrics
from stroke_tf.evaluation.intervals import wilson
from stroke_tf.evaluation.metrics import (
    CLASSIFICATION_METRICS,
    Counts,
    class_averages,
    classification_metrics,
    count,
    roc_auc,
)

# The USTH report's best detector: 70 strokes and 130 normal slices
USTH = Counts(tp=65, fp=0, fn=5, tn=130)
TRUTH = [1, 1, 1, 0, 0, 0, 0, 1]
SCORES = [0.9, 0.6, 0.2, 0.7, 0.1, 0.3, 0.4, 0.7]


def _noisy(n, seed=0, decimals=None):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    scores = np.clip(0.3 * truth + rng.normal(0.35, 0.2, n), 0, 1)
    return truth, scores if decimals is None else scores.round(decimals)


def test_count_by_hand():
    assert count([1, 1, 0, 0, 1], [1, 0, 1, 0, 1]) == Counts(tp=2, fp=1, fn=1, tn=1)


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([1, 0], [1], "same shape. Received: \\(2,\\) and \\(1,\\)"),
        ([1, 2], [1, 0], "`truth` must hold 0 and 1 only. Received: .*2"),
        ([1, 0], [1, 0.5], "`predicted` must hold 0 and 1 only. Received: .*0.5"),
        ([[1, 0]], [[1, 0]], "must have shape \\(N,\\). Received: \\(1, 2\\)"),
    ],
)
def test_count_rejects(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        count(truth, predicted)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 195 / 200),
        ("sensitivity", 65 / 70),
        ("specificity", 1.0),
        ("precision", 1.0),
        ("npv", 130 / 135),
        ("f1", 130 / 135),
        ("f1_negative", 260 / 265),
        ("iou", 65 / 70),
    ],
)
def test_ratios_of_a_published_confusion_matrix(name, expected):
    assert getattr(metrics, name)(USTH) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("accuracy", Counts(0, 0, 0, 0)),
        ("sensitivity", Counts(0, 3, 0, 4)),
        ("specificity", Counts(3, 0, 4, 0)),
        ("precision", Counts(0, 0, 4, 3)),
        ("npv", Counts(4, 3, 0, 0)),
        ("f1", Counts(0, 0, 0, 5)),
        ("f1_negative", Counts(5, 0, 0, 0)),
        ("iou", Counts(0, 0, 0, 5)),
    ],
)
def test_a_ratio_without_a_denominator_is_nan(name, counts):
    assert math.isnan(getattr(metrics, name)(counts))


def test_class_averages_of_a_published_confusion_matrix():
    assert class_averages(USTH) == pytest.approx(
        {
            "precision_macro": (130 / 135 + 1) / 2,
            "recall_macro": (1 + 65 / 70) / 2,  # printed as a recall of 96.43 %
            "f1_macro": (260 / 265 + 130 / 135) / 2,
            "precision_weighted": (130 * 130 / 135 + 70) / 200,
            "recall_weighted": 195 / 200,
            "f1_weighted": (130 * 260 / 265 + 70 * 130 / 135) / 200,
        }
    )


def test_class_averages_weigh_an_absent_class_with_nothing_but_have_no_mean_over_it():
    averages = class_averages(Counts(tp=0, fp=1, fn=0, tn=3))
    assert math.isnan(averages["recall_macro"])
    assert averages["precision_macro"] == (1 + 0) / 2
    assert averages["recall_weighted"] == 3 / 4
    assert averages["precision_weighted"] == 1.0
    assert averages["f1_weighted"] == 6 / 7


def test_class_averages_of_nothing_are_nan():
    assert all(math.isnan(value) for value in class_averages(Counts(0, 0, 0, 0)).values())


def test_roc_auc_of_ties_and_of_an_absent_class():
    assert roc_auc(TRUTH, SCORES) == pytest.approx(11.5 / 16)
    assert roc_auc([0, 1], [0.5, 0.5]) == 0.5
    assert math.isnan(roc_auc([1, 1], [0.2, 0.5]))
    assert math.isnan(roc_auc([], []))


@pytest.mark.parametrize(
    ("truth", "scores", "expected"),
    [
        # one of ten normal slices may be called a stroke: two of the three are above the second
        ([1, 0, 1, 0, 1] + [0] * 8, [0.9, 0.8, 0.7, 0.6, 0.5] + [0.1] * 8, 2 / 3),
        # one of nine may not: what lies above the first
        ([1, 0, 1, 0, 1] + [0] * 7, [0.9, 0.8, 0.7, 0.6, 0.5] + [0.1] * 7, 1 / 3),
        ([1, 1, 0, 0], [0.9, 0.8, 0.2, 0.1], 1.0),
        ([1, 1, 0, 0], [0.1, 0.2, 0.8, 0.9], 0.0),
        ([1, 0], [0.5, 0.5], 0.0),
    ],
)
def test_sensitivity_at_90_specificity_by_hand(truth, scores, expected):
    found = classification_metrics(truth, scores, threshold=0.5, resamples=2)
    assert found["sensitivity_at_90_specificity"].value == pytest.approx(expected)


def test_classification_metrics_by_hand():
    # at 0.6: TP 0.9, 0.6, 0.7; FN 0.2; FP 0.7; TN 0.1, 0.3, 0.4
    found = classification_metrics(TRUTH, SCORES, threshold=0.6, resamples=20)
    values = {name: metric.value for name, metric in found.items()}
    # pairs won: 0.9 all 4; 0.7 three and a tie; 0.6 three; 0.2 one = 11.5 of 16
    # precision at each found stroke: 0.9 1/1; 0.7 2/3 (tie with the false alarm); 0.6 3/4; 0.2 4/7
    assert values == pytest.approx(
        {
            "accuracy": 6 / 8,
            "sensitivity": 3 / 4,
            "specificity": 3 / 4,
            "precision": 3 / 4,
            "f1": 3 / 4,
            "roc_auc": 11.5 / 16,
            "average_precision": (1 + 2 / 3 + 3 / 4 + 4 / 7) / 4,
            "sensitivity_at_90_specificity": 1 / 4,  # only 0.9 is above all of the four normal
            "brier": (0.01 + 0.16 + 0.64 + 0.49 + 0.01 + 0.09 + 0.16 + 0.09) / 8,
            # each score is in a bin of its own, but the two of 0.7: a stroke and a normal slice
            "ece": (0.1 + 0.4 + 0.8 + 0.1 + 0.3 + 0.4 + abs(1.4 - 1)) / 8,
            "npv": 3 / 4,
            "f1_negative": 3 / 4,
            **{f"{name}_macro": 3 / 4 for name in ("precision", "recall", "f1")},
            **{f"{name}_weighted": 3 / 4 for name in ("precision", "recall", "f1")},
        }
    )
    assert tuple(found) == CLASSIFICATION_METRICS


def _averaged(truth, called):
    scores = {"precision": sk.precision_score, "recall": sk.recall_score, "f1": sk.f1_score}
    return {
        f"{name}_{mean}": score(truth, called, average=mean)
        for name, score in scores.items()
        for mean in ("macro", "weighted")
    }


def _calibration_error(truth, scores):
    shares, means = calibration_curve(truth, scores, n_bins=15)
    edges = np.linspace(0, 1, 16)
    sizes = [((scores > low) & (scores <= high)).sum() for low, high in pairwise(edges)]
    sizes[0] += (scores == 0).sum()
    return float(np.abs(shares - means) @ [size for size in sizes if size]) / len(truth)


@pytest.mark.parametrize("decimals", [None, 1])
def test_classification_metrics_agree_with_scikit_learn(decimals):
    truth, scores = _noisy(300, decimals=decimals)
    found = classification_metrics(truth, scores, threshold=0.5, resamples=5)
    called = scores >= 0.5
    false_alarms, recall, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    expected = {
        "accuracy": sk.accuracy_score(truth, called),
        "sensitivity": sk.recall_score(truth, called),
        "specificity": sk.recall_score(truth, called, pos_label=0),
        "precision": sk.precision_score(truth, called),
        "npv": sk.precision_score(truth, called, pos_label=0),
        "f1": sk.f1_score(truth, called),
        "f1_negative": sk.f1_score(truth, called, pos_label=0),
        **_averaged(truth, called),
        "roc_auc": sk.roc_auc_score(truth, scores),
        "average_precision": sk.average_precision_score(truth, scores),
        "sensitivity_at_90_specificity": recall[1 - false_alarms >= 0.9].max(),
        "brier": sk.brier_score_loss(truth, scores),
        "ece": _calibration_error(truth, scores),
    }
    assert {name: metric.value for name, metric in found.items()} == pytest.approx(expected)


def test_weighted_ranking_agrees_with_scikit_learn():
    truth, scores = _noisy(200, decimals=1)
    weights = np.random.default_rng(2).integers(0, 4, 200)
    _, rank = np.unique(scores, return_inverse=True)
    found = metrics._ranked(truth.astype(bool), rank, weights)
    assert found[:2] == pytest.approx(
        (
            sk.roc_auc_score(truth, scores, sample_weight=weights),
            sk.average_precision_score(truth, scores, sample_weight=weights),
        )
    )


def test_without_groups_proportions_have_wilson_intervals():
    found = classification_metrics(TRUTH, SCORES, threshold=0.6, resamples=20)
    assert found["accuracy"] == wilson(6, 8)
    assert found["sensitivity"] == found["precision"] == found["npv"] == wilson(3, 4)


def test_with_groups_intervals_are_wider_than_those_of_independent_slices():
    truth, scores = _noisy(40)
    truth, scores, groups = truth.repeat(10), scores.repeat(10), np.arange(40).repeat(10)
    alone = classification_metrics(truth, scores, threshold=0.5, resamples=200)
    grouped = classification_metrics(truth, scores, threshold=0.5, resamples=200, groups=groups)
    for name in CLASSIFICATION_METRICS:
        assert grouped[name].value == pytest.approx(alone[name].value)
        widths = [metric[name].high - metric[name].low for metric in (grouped, alone)]
        # sqrt(10) times as wide; ece, which resampling makes larger, is mended in one of them alone
        assert widths[0] > (1.5 if name == "ece" else 2) * widths[1], name


def test_intervals_hold_their_values_and_repeat_by_seed():
    truth, scores = _noisy(100)
    first, again, other = (
        classification_metrics(truth, scores, threshold=0.5, resamples=100, seed=seed)
        for seed in (0, 0, 1)
    )
    inside = {name for name, (value, low, high) in first.items() if low <= value <= high}
    assert inside >= set(CLASSIFICATION_METRICS) - {"ece"}  # which resampling makes larger
    assert first == again
    assert first["roc_auc"] != other["roc_auc"]


def test_a_missing_positive_class_makes_its_metrics_nan_without_a_warning(recwarn):
    found = classification_metrics([0, 0, 0], [0.1, 0.2, 0.3], threshold=0.5, resamples=10)
    undefined = {name for name, metric in found.items() if math.isnan(metric.value)}
    ranked = {"roc_auc", "average_precision", "sensitivity_at_90_specificity"}
    averages = {"precision_macro", "recall_macro", "f1_macro"}
    assert undefined == {"sensitivity", "precision", "f1"} | ranked | averages
    assert found["specificity"].value == 1.0
    assert not recwarn.list


def test_a_missing_negative_class_leaves_roc_auc_undefined():
    found = classification_metrics([1, 1], [0.1, 0.8], threshold=0.5, resamples=10)
    undefined = {name for name, metric in found.items() if math.isnan(metric.value)}
    at_a_specificity = {"specificity", "sensitivity_at_90_specificity", "recall_macro"}
    assert undefined == {"roc_auc"} | at_a_specificity


def test_no_slices_give_nan_throughout():
    found = classification_metrics([], [], threshold=0.5)
    assert tuple(found) == CLASSIFICATION_METRICS
    assert all(math.isnan(metric.value) for metric in found.values())


def test_a_float32_score_at_the_threshold_is_positive():
    scores = np.array([0.1, 0.7], np.float32)
    found = classification_metrics([0, 1], scores, threshold=float(scores[1]), resamples=5)
    assert found["sensitivity"].value == 1.0


@pytest.mark.parametrize("wrong", [1.2, -0.1, float("nan")])
def test_scores_outside_the_unit_interval_are_rejected(wrong):
    with pytest.raises(ValueError, match=f"`scores` must be in \\[0, 1\\]. Received: {wrong}"):
        classification_metrics([0, 1], [0.5, wrong], threshold=0.5)


def test_scores_of_another_shape_are_rejected():
    with pytest.raises(ValueError, match="`truth` and `scores` must have the same shape"):
        classification_metrics([0, 1], [[0.5], [0.1]], threshold=0.5)


def test_metrics_of_a_weighted_resample_agree_with_those_of_repeated_slices():
    truth, scores = _noisy(30)
    weights = np.bincount(np.random.default_rng(0).integers(0, 30, 30), minlength=30)
    repeated = classification_metrics(
        truth.repeat(weights), scores.repeat(weights), threshold=0.5, resamples=0
    )
    # one resample is its own 2.5th and 97.5th percentile
    resampled = classification_metrics(
        truth, scores, threshold=0.5, resamples=1, groups=np.arange(30), seed=0
    )
    for name in CLASSIFICATION_METRICS:
        assert resampled[name].low == pytest.approx(repeated[name].value), name


def test_groups_of_another_length_are_rejected():
    with pytest.raises(ValueError, match="`groups` must have shape \\(2,\\). Received: \\(1,\\)"):
        classification_metrics([0, 1], [0.5, 0.1], threshold=0.5, groups=["a"])


def test_a_thousand_resamples_of_a_whole_test_fold_are_quick():
    truth, scores = _noisy(700)
    start = time.process_time()
    groups = np.arange(700) // 20
    classification_metrics(truth, scores, threshold=0.5, groups=groups, resamples=1000)
    assert time.process_time() - start < 5
