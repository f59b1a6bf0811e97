"""How well slices of one kind are found beside those of another, with n and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

from stroke_tf.audits.audit import Finding
from stroke_tf.audits.corrected import HOLM, SIGNIFICANT, corrected
from stroke_tf.evaluation.intervals import (
    UNDEFINED,
    Metric,
    bootstrap,
    bootstrap_gain,
    p_text,
    wilson,
)

FEWEST = 10
"""Slices that a kind must have for its share to be compared with that of all."""
FEWEST_GROUPS = 5
"""Patients that these slices must come from: fewer tell little about others."""
Kind: TypeAlias = tuple[str, NDArray[np.bool_]]
"""Name of a kind of slices, and which of N slices are of it: bool, shape (N,)."""


def breakdown(
    frame: pd.DataFrame, kinds: Iterable[Kind], *, seed: int, resamples: int
) -> pd.DataFrame:
    """Returns the scores of each kind of slices; a slice may be of several kinds.

    Args:
        frame: That of `Answers`, with the column `group`.
        kinds: The kinds.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.

    Returns:
        A row for each kind: `slices`; `lesions`, those with one, and their `patients`;
        `sensitivity`; of masks `drawn`, the share of lesion slices with any lesion drawn, `dice` of
        all their pixels and `lesion-wise recall`; and `specificity`. The `judged` scores
        also have p values against those of all slices, see `p_of`. A column without any number is
        left out, and so is a kind without slices.
    """
    drawn: dict[str, Any] = {"seed": seed, "resamples": resamples}
    rows = [
        {"kind": name, **_scores(frame[of], drawn), **_p_values(frame, of, drawn)}
        for name, of in kinds
        if of.any()
    ]
    table = pd.DataFrame(rows)
    empty = [name for name in table if all(_undefined(cell) for cell in table[name])]
    return corrected(table.drop(columns=empty))


def judged(frame: pd.DataFrame) -> tuple[str, str]:
    """Returns the scores that may cause a warning: one of positive slices, one of negative ones."""
    return "drawn" if "drawn" in frame else "sensitivity", "specificity"


def p_of(score: str) -> str:
    """Returns the name of the column of a score's p values."""
    return f"{score}, p {HOLM}"


def kinds_of(column: pd.Series) -> Iterator[Kind]:
    """Yields a kind for each value of a column; a missing value is of no kind."""
    for value in column.astype("category").cat.categories:
        yield str(value), (column == value).to_numpy(bool)


def worse_kinds(
    table: pd.DataFrame, whole: pd.Series, *, score: str, labels: tuple[str, str]
) -> list[Finding]:
    """Returns a warning for each kind whose score is below that of all slices, by its p value.

    Args:
        table: What `breakdown` returns.
        whole: Its row of all slices.
        score: A column: specificity is of negative slices, all others of positive ones.
        labels: Names of the negative and the positive class.
    """
    negative, p = score == "specificity", p_of(score)
    if p not in table:
        return []
    named = [
        (row, row["slices"] - row["lesions"] if negative else row["lesions"])
        for row in table.to_dict("records")
    ]
    return [
        Finding(
            "warning",
            f"{row['kind']}: {score} {row[score].text()} on {n} slices labelled "
            f"{labels[not negative]}, {whole[score].value:.3f} on all (p {p_text(row[p])}).",
        )
        for row, n in named
        if row[score].value < whole[score].value and row[p] < SIGNIFICANT
    ]


def share(
    hits: ArrayLike,
    groups: ArrayLike,
    *,
    of: ArrayLike | None = None,
    seed: int,
    resamples: int,
) -> Metric:
    """Returns the share of hits, with the wider of two intervals at each end.

    A bootstrap over groups has no width where all or none are hits; Wilson's takes the slices of a
    patient to be independent.

    Args:
        hits: Shape (N,): hits on each slice.
        groups: Shape (N,).
        of: Shape (N,): how many there could be; None stands for one.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.
    """
    hits = np.asarray(hits, float)
    most = np.ones(len(hits)) if of is None else np.asarray(of, float)
    mean = ratio(hits, most, groups, seed=seed, resamples=resamples)
    alone = wilson(round(hits.sum()), round(most.sum()))
    return Metric(mean.value, np.fmin(mean.low, alone.low), np.fmax(mean.high, alone.high))


def ratio(
    over: ArrayLike, under: ArrayLike, groups: ArrayLike, *, seed: int, resamples: int
) -> Metric:
    """Returns the sum of one number of N slices over that of another; NaN where it is 0."""
    both = np.stack([np.asarray(over, float), np.asarray(under, float)], axis=1)

    def statistic(weights: NDArray[np.int64]) -> list[float]:
        top, bottom = weights @ both
        return [top / bottom if bottom else float("nan")]

    if not len(both):
        return UNDEFINED
    return bootstrap(statistic, groups, seed=seed, resamples=resamples)[0]


def _scores(frame: pd.DataFrame, drawn: dict[str, Any]) -> dict[str, Any]:
    lesions, others = frame[frame["truth"]], frame[~frame["truth"]]
    groups = lesions["group"]
    scores = {
        "slices": len(frame),
        "lesions": len(lesions),
        "patients": groups.nunique(),
        "sensitivity": share(lesions["called"], groups, **drawn),
    }
    if "drawn" in frame:
        pixels = 2 * lesions["tp"] + lesions["fp"] + lesions["fn"]
        scores["drawn"] = share(lesions["drawn"], groups, **drawn)
        scores["dice"] = ratio(2 * lesions["tp"], pixels, groups, **drawn)
        scores["lesion-wise recall"] = share(
            lesions["found"], groups, of=lesions["lesions"], **drawn
        )
    return {**scores, "specificity": share(~others["called"], others["group"], **drawn)}


def _p_values(
    frame: pd.DataFrame, of: NDArray[np.bool_], drawn: dict[str, Any]
) -> dict[str, float]:
    found, passed = judged(frame)
    truth, called = frame["truth"].to_numpy(), frame["called"].to_numpy()
    hits = frame["drawn"].to_numpy() if found == "drawn" else called
    groups = frame["group"]
    return {
        p_of(found): _p_value(hits[truth], of[truth], groups[truth], **drawn),
        p_of(passed): _p_value(~called[~truth], of[~truth], groups[~truth], **drawn),
    }


def _p_value(
    hits: NDArray[np.bool_], of: NDArray[np.bool_], groups: pd.Series, *, seed: int, resamples: int
) -> float:
    """Returns the p value of a kind's share of hits against that of all N slices; NaN if few.

    As in `share`, the larger of two: that of a bootstrap over groups, which is too sure where all
    or none of a kind are hits, and the exact one, which takes slices to be independent.
    """
    if of.all() or of.sum() < FEWEST or groups[of].nunique() < FEWEST_GROUPS:
        return float("nan")
    counted = np.stack([hits & of, of, hits, np.ones(len(hits), bool)], axis=1).astype(float)

    def difference(weights: NDArray[np.int64]) -> float:
        hits_inside, inside, all_hits, n = weights @ counted
        return hits_inside / inside - all_hits / n if inside else float("nan")

    gain = bootstrap_gain(difference, groups, seed=seed, resamples=resamples)
    alone = binomtest(int(hits[of].sum()), int(of.sum()), hits.mean())
    return float(np.fmax(gain.p_value, alone.pvalue))


def _undefined(cell: Any) -> bool:
    number = cell.value if isinstance(cell, Metric) else cell
    return isinstance(number, float) and number != number
