"""Patients found and missed, where the answers are of slices."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stroke_tf.evaluation.intervals import Metric, bootstrap, wilson
from stroke_tf.evaluation.metrics import roc_auc

CALLED = (1, 2, 3, 5)
"""Numbers of called slices that make a patient called; all are shown, none is preferred."""
HIGHEST = 3
"""Scores whose mean stands for a patient."""


def detect_patients(frame: pd.DataFrame, *, seed: int, resamples: int) -> pd.DataFrame:
    """Returns how well patients with a lesion are told from others by some rules.

    A patient has a lesion when one slice has. Patients are independent: intervals of shares are
    Wilson's, those of areas a bootstrap over patients.

    Args:
        frame: That of `Answers`, with the column `group`, the patient.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.

    Returns:
        A row for each rule: `a patient is positive by`; `patients`, and those `with a lesion`;
        `ROC AUC` of a rule that gives a number; `sensitivity` and `specificity` of one that calls.
    """
    patients = _by_patient(frame)
    truth = patients.pop("truth").to_numpy(bool)
    options = {"seed": seed, "resamples": resamples}
    rows = [
        {"rule": name, "auc": _auc(truth, values, **options)} for name, values in patients.items()
    ]
    for least in CALLED:
        called = (patients["slices called"] >= least).to_numpy()
        rows.append(
            {
                "rule": f"at least {least} slice{'s' * (least > 1)} called",
                "sensitivity": wilson(int((called & truth).sum()), int(truth.sum())),
                "specificity": wilson(int((~called & ~truth).sum()), int((~truth).sum())),
            }
        )
    table = pd.DataFrame(rows).assign(patients=len(truth), positive=int(truth.sum()))
    named = {
        "rule": "a patient is positive by",
        "patients": "patients",
        "positive": "with a lesion",
    }
    named |= {"auc": "ROC AUC", "sensitivity": "sensitivity", "specificity": "specificity"}
    return table[list(named)].rename(columns=named)


def _by_patient(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns `truth` of each patient and the numbers that stand for it."""
    groups = frame.groupby("group")
    columns = {"truth": groups["truth"].any()}
    if "score" in frame:
        columns["highest score"] = groups["score"].max()
        columns[f"mean of the {HIGHEST} highest scores"] = groups["score"].apply(
            lambda scores: scores.nlargest(HIGHEST).mean()
        )
    if "drawn" in frame:
        columns["pixels drawn"] = (frame["tp"] + frame["fp"]).groupby(frame["group"]).sum()
    return pd.DataFrame({**columns, "slices called": groups["called"].sum()})


def _auc(truth: np.ndarray, values: ArrayLike, *, seed: int, resamples: int) -> Metric:
    ranks = pd.Series(np.asarray(values)).rank(pct=True).to_numpy()  # in [0, 1], ties alike

    def statistic(weights: np.ndarray) -> list[float]:
        return [roc_auc(np.repeat(truth, weights), np.repeat(ranks, weights))]

    return bootstrap(statistic, np.arange(len(truth)), seed=seed, resamples=resamples)[0]
