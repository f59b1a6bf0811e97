"""Whether the source of a slice can be told, and whether it goes with the class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from stroke_tf.audits.audit import Finding, Level
from stroke_tf.audits.corrected import HOLM, SIGNIFICANT, corrected
from stroke_tf.audits.known import findings_of
from stroke_tf.audits.quick import Auc, aucs, out_of_fold
from stroke_tf.evaluation.intervals import UNDEFINED, Metric, bootstrap, p_text
from stroke_tf.own_table import known_of
from stroke_tf.text_tables import read_columns

_CONFOUNDED = 0.3  # Cramér's V whose interval lies above this
_TOLD = 0.6  # an AUC above this, by its p value, tells the source
UNKNOWN = "unknown"
"""Source of a slice whose source no table names."""
_FEW = 5  # slices, or groups, that a source must have to be told


def read_sources(
    table: Path | None, ids: ArrayLike
) -> tuple[NDArray[np.str_] | None, list[Finding]]:
    """Returns the source of each slice by a table's column source, and findings on the table.

    See `known_of`. None without a table or without such a column.

    Raises:
        ValueError: If the table names none of the slices, or one twice.
    """
    if table is None or "source" not in read_columns(table):
        return None, []
    known = known_of(table, [str(name) for name in np.asarray(ids)])
    sources = np.array([source or UNKNOWN for source in known.column("source")])
    return sources, findings_of(known)


def are_several(sources: NDArray[np.str_]) -> bool:
    """Returns whether slices are of more than one source that is known."""
    return len(set(sources) - {UNKNOWN}) > 1


def cramers_v(classes: ArrayLike, sources: ArrayLike, groups: ArrayLike, **drawn: Any) -> Metric:
    """Returns how far class and source go together, 0 to 1, with its interval over groups.

    Args:
        classes: Shape (N,), labels of any type, as in the other arrays.
        sources: Shape (N,).
        groups: Shape (N,): the patient of each slice.
        drawn: `seed` and `resamples` of the bootstrap.
    """
    from scipy.stats.contingency import association

    (names, rows), (others, columns) = (
        np.unique(np.asarray(column), return_inverse=True) for column in (classes, sources)
    )

    def statistic(weights: NDArray[np.int64]) -> list[float]:
        counts = np.zeros((len(names), len(others)), np.int64)
        np.add.at(counts, (rows, columns), weights)
        counts = counts[counts.any(axis=1)][:, counts.any(axis=0)]
        return [float("nan") if min(counts.shape) < 2 else float(association(counts))]

    return bootstrap(statistic, groups, **drawn)[0]


def source_findings(
    classes: NDArray[np.str_],
    sources: NDArray[np.str_],
    groups: NDArray[np.str_],
    parts: NDArray[Any],
    views: Mapping[str, NDArray[np.float32]],
    **drawn: Any,
) -> tuple[pd.DataFrame, list[Finding]]:
    """Returns a table of the sources, and findings: do they go with classes, can they be told?

    Args:
        classes: Shape (N,): class of each slice.
        sources: Shape (N,).
        groups: Shape (N,).
        parts: Shape (N,): the part that each slice is held out in.
        views: Features by the name of a view, each of shape (N, D).
        drawn: `seed` and `resamples` of the bootstrap.
    """
    counts = pd.crosstab(sources, classes)
    told = {name: _told(name, sources, groups, parts, views, **drawn) for name in counts.index}
    table = counts.reset_index(names="source")
    table.insert(1, "groups", pd.Series(groups).groupby(sources).nunique().to_numpy())
    for view in views:
        table[f"told by {view}"] = [by_view[view].auc for by_view in told.values()]
        table[_p_of(view)] = [by_view[view].p_auc for by_view in told.values()]
    table = corrected(table)
    v = cramers_v(classes, sources, groups, **drawn)
    confounded, n = v.low > _CONFOUNDED, f"n {len(sources)}, {len(counts)} sources"
    share = counts.max(axis=1).sum() / len(sources)
    text = (
        f"Class and source {'go together' if confounded else 'are not one'}: Cramér's V {v.text()} "
        f"({n}). The commonest class of its source is right for {share:.0%} of the slices"
    )
    if confounded:
        found = [Finding("warning", f"{text}: what is said of the class may be of the source.")]
    else:
        found = [Finding("fine", f"{text}.")]
    level: Level = "warning" if confounded else "note"
    for view in views:
        rows = zip(table["source"], table[f"told by {view}"], table[_p_of(view)], strict=True)
        if judged := [row for row in rows if row[1].value == row[1].value]:
            best, auc, p = max(judged, key=lambda row: row[1].value)
            told_by = f"The source can be told by the {view}: {best} with ROC AUC {auc.text()}"
            tells = auc.value > _TOLD and p < SIGNIFICANT
            found.append(Finding(level if tells else "fine", f"{told_by} ({n}, p {p_text(p)})."))
    return table, found


def _p_of(view: str) -> str:
    return f"p of AUC {_TOLD}, {view} {HOLM}"


def _told(
    source: str,
    sources: NDArray[np.str_],
    groups: NDArray[np.str_],
    parts: NDArray[Any],
    views: Mapping[str, NDArray[np.float32]],
    **drawn: Any,
) -> dict[str, Auc]:
    """Returns by view the AUC of a source against the others; NaN for a source of few slices."""
    truth = sources == source
    few = min(truth.sum(), (~truth).sum(), len(set(groups[truth])), len(set(groups[~truth])))
    if few < _FEW:
        return dict.fromkeys(views, Auc(UNDEFINED, UNDEFINED, np.nan, np.nan))
    scores = {
        view: out_of_fold(features, truth, parts, seed=drawn["seed"])
        for view, features in views.items()
    }
    return aucs(truth, scores, parts, groups, nothing=_TOLD, **drawn)


def within_sources(
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    parts: NDArray[Any],
    sources: NDArray[np.str_],
    groups: NDArray[np.str_],
    **drawn: Any,
) -> Finding:
    """Returns how well scores of the class do among slices of one source, beside all slices."""
    inside = np.array([f"{part} {source}" for part, source in zip(parts, sources, strict=True)])
    both = {"all": scores, "inside": scores}
    found = aucs(truth, both, {"all": parts, "inside": inside}, groups, **drawn)
    everywhere, apart = found["all"].auc, found["inside"]
    differs = apart.first_minus.value > 0 and apart.p_minus < SIGNIFICANT
    if apart.auc.value != apart.auc.value:
        text = "Inside a source there is one class: what is told there is not known"
        return Finding("warning", f"{text} ({len(set(sources))} sources, n {len(truth)}).")
    return Finding(
        "warning" if differs else "note",
        f"Inside a source the class is told with ROC AUC {apart.auc.text()}, over all of them with "
        f"{everywhere.text()} (difference {apart.first_minus.text(sign=True)}, n {len(truth)}, "
        f"p {p_text(apart.p_minus)}).",
    )
