"""How far scores are from probabilities, and the temperature that brings them nearer."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from stroke_tf.evaluation.metrics import (
    CALIBRATION_BINS,
    check_both_classes,
    check_scored,
    score_bins,
)

_LOG_TEMPERATURES = (math.log(0.01), math.log(100))
_CLIP = 1e-7  # a float32 sigmoid gives exactly 1 from a logit of 17 on


def fit_temperature(truth: ArrayLike, scores: ArrayLike) -> float:
    """Returns the temperature of least log loss, to be fitted on validation slices.

    Temperature scaling (Guo et al. 2017): the logit of every score is divided by one number, which
    changes neither the order of the scores nor the side of 0.5 on which they are. So it corrects
    how sure scores are. It does not correct a shift of all of them, such as class weights leave.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1].

    Returns:
        Above 1 where scores are too sure of themselves, below 1 where they are too timid. Kept in
        [0.01, 100]: separable slices ask for 0, and scores no better than chance for infinity.

    Raises:
        ValueError: If a class is absent, or truth and scores do not fit together.
    """
    truth, scores = check_both_classes(truth, scores)
    against = np.where(truth, -1, 1) * _logits(scores)

    def log_loss(log_temperature: float) -> float:
        return float(np.logaddexp(0, against / np.exp(log_temperature)).mean())

    # Convex in 1/T, so there is one minimum; the logarithm makes 1/10 and 10 equally far.
    found = minimize_scalar(log_loss, bounds=_LOG_TEMPERATURES, method="bounded")
    return float(np.exp(found.x))


def apply_temperature(scores: ArrayLike, temperature: float) -> NDArray[np.float64]:
    """Returns the scores, shape (N,), in (0, 1), with their logits divided by the temperature.

    Args:
        scores: Shape (N,), in [0, 1]; brought into [1e-7, 1 - 1e-7] first.
        temperature: Above 0.

    Raises:
        ValueError: If the temperature is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"`temperature` must be > 0. Received: {temperature}")
    return expit(_logits(np.asarray(scores, dtype=np.float64)) / temperature)


def reliability(
    truth: ArrayLike, scores: ArrayLike, *, bins: int = CALIBRATION_BINS
) -> pd.DataFrame:
    """Returns the table of a reliability diagram.

    Args:
        truth: Shape (N,), 0 or 1 (or bool).
        scores: Shape (N,), in [0, 1].
        bins: Number of bins, >= 1, of equal width; each holds its upper limit.

    Returns:
        A row for each bin, empty ones too: `low` and `high`, its limits; `n`, its slices;
        `mean_score` and `positive_share`, NaN without slices.

    Raises:
        ValueError: If `bins` is below 1, or truth and scores do not fit together.
    """
    truth, scores = check_scored(truth, scores)
    if bins < 1:
        raise ValueError(f"`bins` must be >= 1. Received: {bins}")
    edges, bin_of = np.linspace(0, 1, bins + 1), score_bins(scores, bins)
    n, total, positive = (
        np.bincount(bin_of, weights, bins) for weights in (None, scores, truth.astype(float))
    )
    with np.errstate(invalid="ignore"):
        means = {"mean_score": total / n, "positive_share": positive / n}
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n": n, **means})


def _logits(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    return logit(np.clip(scores, _CLIP, 1 - _CLIP))
