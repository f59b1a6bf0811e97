"""Threshold and temperature of scores: chosen on validation slices, never on the test slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import precision_recall_curve, roc_curve

from stroke_tf.config import ThresholdRule
from stroke_tf.evaluation.calibration import apply_temperature, fit_temperature
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.metrics import check_scored, classification_metrics

FIXED_THRESHOLD = 0.5
RECALL_FLOOR = 0.88  # USTH: a recall of at least 88 %, precision watched


@dataclass(frozen=True)
class OperatingPoint:
    """Threshold and temperature chosen on validation slices, and the threshold of every rule."""

    threshold: float
    temperature: float
    thresholds: dict[str, float]


def choose_operating_point(
    truth: ArrayLike, scores: ArrayLike, *, rule: ThresholdRule = "recall-floor"
) -> OperatingPoint:
    """Returns threshold and temperature of the scores of validation slices.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1].
        rule: See `choose_threshold`.

    Raises:
        ValueError: If a class is absent, or truth and scores do not fit together.
    """
    thresholds = {
        name: choose_threshold(truth, scores, rule=name) for name in get_args(ThresholdRule)
    }
    return OperatingPoint(thresholds[rule], fit_temperature(truth, scores), thresholds)


def detection_metrics(
    truth: ArrayLike, scores: ArrayLike, point: OperatingPoint, *, groups: ArrayLike, seed: int = 0
) -> dict[str, Metric]:
    """Returns `classification_metrics` at an operating point.

    Beside them stand `brier_calibrated` and `ece_calibrated`, those of the calibrated scores.
    """
    options: dict[str, Any] = {"groups": groups, "seed": seed}
    metrics = classification_metrics(truth, scores, threshold=point.threshold, **options)
    calibrated = apply_temperature(scores, point.temperature)
    again = classification_metrics(truth, calibrated, threshold=FIXED_THRESHOLD, **options)
    return metrics | {f"{name}_calibrated": again[name] for name in ("brier", "ece")}


def choose_threshold(
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    rule: ThresholdRule = "recall-floor",
    recall_floor: float = RECALL_FLOOR,
) -> float:
    """Returns the threshold at or above which a score is called positive.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1].
        rule: "recall-floor": among thresholds whose recall reaches `recall_floor`, the one of
            best precision; "youden": best sensitivity + specificity; "fixed": 0.5 whatever the
            scores. Ties go to the higher recall.
        recall_floor: In (0, 1].

    Raises:
        ValueError: If the rule is unknown, the floor is out of range, the slices lack a class
            that the rule needs, or truth and scores do not fit together.

    Example:
        >>> from stroke_tf import choose_threshold
        >>> choose_threshold([0, 0, 1, 1], [0.1, 0.4, 0.6, 0.9], rule="youden")
        0.6
    """
    if rule not in get_args(ThresholdRule):
        raise ValueError(f"`rule` must be one of {get_args(ThresholdRule)}. Received: {rule!r}")
    if not 0 < recall_floor <= 1:
        raise ValueError(f"`recall_floor` must be in (0, 1]. Received: {recall_floor}")
    if rule == "fixed":
        return FIXED_THRESHOLD
    truth, scores = check_scored(truth, scores)
    if not truth.any() or (rule == "youden" and truth.all()):
        raise ValueError(
            f"`truth` must hold both classes for the rule {rule!r}. "
            f"Received: {int(truth.sum())} positive of {len(truth)}"
        )
    if rule == "youden":
        false_alarms, recall, thresholds = roc_curve(truth, scores, drop_intermediate=False)
        goodness = recall - false_alarms
    else:
        precision, recall, thresholds = precision_recall_curve(truth, scores)
        precision, recall = precision[:-1], recall[:-1]  # the last point has no threshold
        goodness = np.where(recall >= recall_floor, precision, -1.0)
    # Differences of equal ratios may differ in their last bits: those are ties too.
    return float(thresholds[np.lexsort((recall, goodness.round(12)))[-1]])
