import math

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from stroke_tf.evaluation.calibration import (
    apply_temperature,
    fit_temperature,
    reliability,
)
from stroke_tf.evaluation.metrics import classification_metrics

# 8 of the 10 slices scored 0.8 are strokes, and 2 of the 10 scored 0.2
TRUTH = np.array([1] * 8 + [0] * 2 + [1] * 2 + [0] * 8)
CALIBRATED = np.array([0.8] * 10 + [0.2] * 10)


def _noisy(n):
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, n)
    return truth, 1 / (1 + np.exp(-3 * (truth - 0.5 + rng.normal(0, 1, n))))


def test_temperature_divides_the_logit():
    # odds 4:1 become 2:1, odds 1:9 become 1:3
    assert apply_temperature([0.8, 0.1], 2.0) == pytest.approx([2 / 3, 1 / 4])


def test_temperature_1_changes_nothing_but_0_and_1():
    scores = apply_temperature([0.0, 0.3, 0.5, 1.0], 1.0)
    assert scores == pytest.approx([1e-7, 0.3, 0.5, 1 - 1e-7], abs=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 7.0])
def test_temperature_keeps_order_and_side_of_a_half(temperature):
    scores = np.linspace(0, 1, 11)
    tempered = apply_temperature(scores, temperature)
    assert (np.diff(tempered) > 0).all()
    assert ((tempered > 0.5) == (scores > 0.5)).all()
    assert tempered[5] == 0.5


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature):
    with pytest.raises(ValueError, match=f"`temperature` must be > 0. Received: {temperature}"):
        apply_temperature([0.5], temperature)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 3.0])
def test_fit_finds_the_temperature_that_was_taken_off(temperature):
    scores = apply_temperature(CALIBRATED, 1 / temperature)
    assert fit_temperature(TRUTH, scores) == pytest.approx(temperature, rel=1e-3)


def test_fit_has_less_log_loss_than_any_temperature_tried():
    truth, scores = _noisy(200)
    best = log_loss(truth, apply_temperature(scores, fit_temperature(truth, scores)))
    tried = [log_loss(truth, apply_temperature(scores, t)) for t in np.geomspace(0.1, 10, 41)]
    assert best <= min(tried)
    assert best < log_loss(truth, scores) - 0.01


class Logits(ClassifierMixin, BaseEstimator):
    """A classifier whose input is its decision; scikit-learn calibrates classifiers only."""

    def fit(self, logits, truth):
        self.classes_ = np.unique(truth)
        return self

    def decision_function(self, logits):
        return logits[:, 0]

    def predict(self, logits):
        return self.decision_function(logits) > 0


def test_fit_agrees_with_scikit_learn():
    truth, scores = _noisy(200)
    logits = np.log(scores / (1 - scores))[:, None]
    frozen = FrozenEstimator(Logits().fit(logits, truth))
    theirs = CalibratedClassifierCV(frozen, method="temperature").fit(logits, truth)
    ours = apply_temperature(scores, fit_temperature(truth, scores))
    assert ours == pytest.approx(theirs.predict_proba(logits)[:, 1], abs=1e-4)


def test_fit_stays_in_its_limits():
    assert fit_temperature([0, 1], [0.4, 0.6]) == pytest.approx(0.01, rel=1e-3)
    assert fit_temperature([0, 1], [1.0, 0.0]) == pytest.approx(100, rel=1e-3)


def test_fit_needs_both_classes():
    with pytest.raises(ValueError, match="both classes. Received: 2 positive of 2"):
        fit_temperature([1, 1], [0.4, 0.6])


def test_reliability_by_hand():
    table = reliability([0, 0, 1, 1, 1], [0.0, 0.25, 0.2, 0.6, 0.7], bins=4)
    assert list(table) == ["low", "high", "n", "mean_score", "positive_share"]
    assert table["low"].tolist() == [0, 0.25, 0.5, 0.75]
    assert table["high"].tolist() == [0.25, 0.5, 0.75, 1]
    assert table["n"].tolist() == [3, 0, 2, 0]  # 0.25 is still in the first
    assert table["mean_score"].tolist() == pytest.approx([0.15, math.nan, 0.65, math.nan], nan_ok=1)
    assert table["positive_share"].tolist() == pytest.approx(
        [1 / 3, math.nan, 1, math.nan], nan_ok=1
    )


def test_reliability_of_nothing_has_empty_bins():
    assert reliability([], [], bins=3)["n"].tolist() == [0, 0, 0]


def test_the_calibration_error_of_the_metrics_is_that_of_the_table():
    truth, scores = _noisy(150)
    table = reliability(truth, scores)
    gaps = (table["mean_score"] - table["positive_share"]).abs() * table["n"]
    found = classification_metrics(truth, scores, threshold=0.5, resamples=0)["ece"].value
    assert found == pytest.approx(gaps.sum() / 150)


def test_bins_below_1_are_rejected():
    with pytest.raises(ValueError, match="`bins` must be >= 1. Received: 0"):
        reliability([0, 1], [0.1, 0.2], bins=0)
