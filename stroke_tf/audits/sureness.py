"""How far the scores of a run are from probabilities, before and after a temperature."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stroke_tf.audits.audit import Finding, Level
from stroke_tf.evaluation.calibration import apply_temperature, fit_temperature, reliability
from stroke_tf.evaluation.metrics import classification_metrics
from stroke_tf.reporting.figures import figure_reliability

_FAR = 0.1  # expected calibration error: scores whose interval lies above are no probabilities
_SCORES = ("brier", "ece")


class Sureness(NamedTuple):
    """The result: a table of scores, their reliability diagrams by name, and a finding."""

    table: pd.DataFrame
    figures: dict[str, Figure]
    finding: Finding


def sureness(frame: pd.DataFrame, *, seed: int, resamples: int) -> Sureness:
    """Returns Brier score and expected calibration error of scores, as they are and calibrated.

    Args:
        frame: That of `Answers` with scores, and `group`. Its `calibrated` is used; where there
            is none, each half of the groups (each part of a cross-validation) is calibrated by a
            temperature fitted to the other half (the other parts).
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    given = "calibrated" in frame
    after = frame["calibrated"].to_numpy() if given else _cross_fitted(frame)
    other = "the other parts" if frame["part"].nunique() > 1 else "the other half of the patients"
    where = "slices of no test" if given else other
    scores = {"as they are": frame["score"].to_numpy()}
    if after is not None:
        scores[f"by a temperature from {where}"] = after
    options: dict[str, Any] = {"groups": frame["group"], "seed": seed, "resamples": resamples}
    found = [
        classification_metrics(frame["truth"], probs, threshold=0.5, **options)
        for probs in scores.values()
    ]
    table = pd.DataFrame([{name: metrics[name] for name in _SCORES} for metrics in found])
    table.insert(0, "scores", list(scores))
    figures = {
        name: figure_reliability(reliability(frame["truth"], probs))
        for name, probs in zip(
            ("reliability", "reliability-after-the-temperature"), scores.values(), strict=False
        )
    }
    return Sureness(table, figures, _finding(table, len(frame)))


def _finding(table: pd.DataFrame, slices: int) -> Finding:
    told = "; ".join(f"{row['scores']} {row['ece'].text()}" for row in table.to_dict("records"))
    error = table["ece"].iloc[-1]
    level: Level = "note" if error.value > _FAR else "fine"
    # Resamples have larger errors than the slices themselves: the lower limit alone may mislead.
    if min(error.value, error.low) > _FAR:
        level = "warning"
    return Finding(
        level,
        f"Expected calibration error of the scores of {slices} slices: {told}.",
    )


def _cross_fitted(frame: pd.DataFrame) -> NDArray[np.float64] | None:
    """Returns scores calibrated on other slices; None where these lack a class."""
    parts = frame["part"].to_numpy()
    if len(np.unique(parts)) < 2:
        parts = np.unique(frame["group"], return_inverse=True)[1] % 2
    truth, scores = frame["truth"].to_numpy(), frame["score"].to_numpy()
    calibrated = np.empty(len(frame))
    for part in np.unique(parts):
        here = parts == part
        if len(np.unique(truth[~here])) < 2:
            return None
        temperature = fit_temperature(truth[~here], scores[~here])
        calibrated[here] = apply_temperature(scores[here], temperature)
    return calibrated
