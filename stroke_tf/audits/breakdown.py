"""How well slices of one kind are found beside those of another, with n and intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from stroke_tf.audits.audit import Finding
from stroke_tf.evaluation.intervals import UNDEFINED, Metric, bootstrap, wilson

FEWEST = 10
"""Slices of a kind that is worth a finding."""
Kind: TypeAlias = tuple[str, NDArray[np.bool_]]
"""Name of a kind of slices, and which of N slices are of it: bool, shape (N,)."""


def breakdown(
    frame: pd.DataFrame, kinds: Iterable[Kind], *, seed: int, resamples: int
) -> pd.DataFrame:
    """Returns the scores of each kind of slices; one may be of several.

    Args:
        frame: That of `Answers`, with the column `group`.
        kinds: The kinds.
        seed: Seed of the bootstrap.
        resamples: Number of resamples.

    Returns:
        A row for each kind: `slices`; `lesions`, those with one, and their `patients`;
        `sensitivity`; of masks `drawn`, the share of lesion slices with any lesion drawn, `dice` of
        all their pixels and `lesion-wise recall`; and `specificity`. A column without any number
        is left out, and so is a kind without slices.
    """
    drawn: dict[str, Any] = {"seed": seed, "resamples": resamples}
    rows = [{"kind": name, **_scores(frame[of], drawn)} for name, of in kinds if of.any()]
    table = pd.DataFrame(rows)
    empty = [name for name in table if all(_undefined(cell) for cell in table[name])]
    return table.drop(columns=empty)


def kinds_of(column: pd.Series) -> Iterator[Kind]:
    """Yields the kinds that the values of a column are; a missing value is of no kind."""
    for value in column.astype("category").cat.categories:
        yield str(value), (column == value).to_numpy(bool)


def worse_kinds(
    table: pd.DataFrame, whole: pd.Series, *, score: str, labels: tuple[str, str]
) -> list[Finding]:
    """Returns a warning for each kind whose interval lies below the score of all slices.

    Args:
        table: What `breakdown` returns.
        whole: Its row of all slices.
        score: A column: specificity is of negative slices, all others of positive ones.
        labels: Names of the negative and the positive class.
    """
    negative = score == "specificity"
    named = [
        (row, row["slices"] - row["lesions"] if negative else row["lesions"])
        for row in table.to_dict("records")
    ]
    return [
        Finding(
            "warning",
            f"{row['kind']}: {score} {row[score].text()} on {n} slices labelled "
            f"{labels[not negative]}, {whole[score].value:.3f} on all.",
        )
        for row, n in named
        if n >= FEWEST and row[score].high < whole[score].value
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


def _undefined(cell: Any) -> bool:
    return isinstance(cell, Metric) and cell.value != cell.value
