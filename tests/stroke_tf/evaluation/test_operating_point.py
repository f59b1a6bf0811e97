import numpy as np
import pytest

from stroke_tf.evaluation.calibration import fit_temperature
from stroke_tf.evaluation.metrics import count, precision, sensitivity
from stroke_tf.evaluation.operating_point import (
    OperatingPoint,
    choose_operating_point,
    choose_threshold,
    detection_metrics,
)

TRUTH = [1, 1, 1, 1, 0, 0, 0, 0]
SCORES = [0.9, 0.8, 0.7, 0.3, 0.75, 0.6, 0.2, 0.1]


@pytest.mark.parametrize(
    ("floor", "expected"),
    [
        (0.88, 0.3),  # all four must be found: 4 of 6 right
        (0.75, 0.7),  # three found, one false alarm: 3/4 beats 4/6
        (0.50, 0.8),  # two found without a false alarm
        (0.25, 0.8),  # 0.9 is as precise, and finds one less
    ],
)
def test_recall_floor_gives_the_best_precision_above_the_floor(floor, expected):
    assert choose_threshold(TRUTH, SCORES, recall_floor=floor) == expected


def test_default_rule_is_the_recall_floor_of_88_percent():
    assert choose_threshold(TRUTH, SCORES) == choose_threshold(TRUTH, SCORES, recall_floor=0.88)


def test_a_recall_of_exactly_the_floor_is_enough():
    truth = np.array([1] * 25 + [0] * 10)
    scores = np.concatenate([np.linspace(0.9, 0.6, 22), [0.1, 0.1, 0.1], np.full(10, 0.3)])
    assert choose_threshold(truth, scores) == pytest.approx(0.6)  # 22 of 25 is 0.88


@pytest.mark.parametrize("seed", range(5))
def test_recall_floor_agrees_with_trying_every_score(seed):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 80)
    scores = np.clip(0.3 * truth + rng.normal(0.35, 0.2, 80), 0, 1).round(2)
    tried = [(count(truth, scores >= threshold), threshold) for threshold in np.unique(scores)]
    allowed = [(c, t) for c, t in tried if sensitivity(c) >= 0.88]
    _, _, best = max((precision(c), sensitivity(c), t) for c, t in allowed)
    assert choose_threshold(truth, scores) == best


def test_youden_maximises_sensitivity_plus_specificity():
    # 0.8: 2/4 + 4/4; 0.7: 3/4 + 3/4, which ties and finds more; 0.3: 4/4 + 2/4, which finds most
    assert choose_threshold(TRUTH, SCORES, rule="youden") == 0.3
    assert choose_threshold([1, 1, 0, 0], [0.9, 0.6, 0.5, 0.1], rule="youden") == 0.6


def test_equal_scores_stay_together():
    assert choose_threshold([1, 0, 1, 0], [0.5, 0.5, 0.5, 0.2]) == 0.5


def test_fixed_rule_looks_at_no_slice():
    assert choose_threshold([], [], rule="fixed") == 0.5


def test_threshold_keeps_a_float32_score_positive():
    scores = np.array([0.1, 0.7], np.float32)
    assert (scores >= choose_threshold([0, 1], scores)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((TRUTH, SCORES), {"rule": "best"}, "`rule` must be one of .*youden.* Received: 'best'"),
        ((TRUTH, SCORES), {"recall_floor": 0}, "`recall_floor` must be in \\(0, 1\\]. Received: 0"),
        (([0, 0], [0.1, 0.2]), {}, "both classes .*Received: 0 positive of 2"),
        (([1, 1], [0.1, 0.2]), {"rule": "youden"}, "both classes .*Received: 2 positive of 2"),
        ((TRUTH, SCORES[1:]), {}, "same shape"),
    ],
)
def test_choose_threshold_rejects(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        choose_threshold(*arguments, **options)


def test_an_operating_point_has_the_threshold_of_its_rule_and_those_of_the_others():
    point = choose_operating_point(TRUTH, SCORES, rule="youden")
    assert point.thresholds == {
        rule: choose_threshold(TRUTH, SCORES, rule=rule)
        for rule in ("recall-floor", "youden", "fixed")
    }
    assert point.threshold == point.thresholds["youden"] != point.thresholds["fixed"]
    assert point.temperature == fit_temperature(TRUTH, SCORES)


def test_detection_is_measured_at_the_operating_point_and_calibrated():
    point = OperatingPoint(threshold=0.65, temperature=2.0, thresholds={})
    groups = list("aabbccdd")
    found = detection_metrics(TRUTH, SCORES, point, groups=groups, seed=1)
    assert found["sensitivity"].value == 3 / 4
    assert found["specificity"].value == 3 / 4
    odds = (np.array(SCORES) / (1 - np.array(SCORES))) ** 0.5
    errors = odds / (1 + odds) - TRUTH
    assert found["brier_calibrated"].value == pytest.approx(np.mean(errors**2))
    assert found["brier"].low < found["brier"].value < found["brier"].high
