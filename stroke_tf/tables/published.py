"""The parts of a published table, and a published number beside ours.

Knows none of the numbers: those are in `stroke_tf.tables.papers`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.metrics import (
    Counts,
    accuracy,
    class_averages,
    f1,
    f1_negative,
    precision,
    sensitivity,
    specificity,
)


@dataclass(frozen=True)
class PublishedCounts:
    """Counts decoded from printed ratios: the smallest that give all of them.

    Attributes:
        tp: Positives found.
        fn: Positives missed.
        fp: Negatives called positive.
        tn: Negatives called negative; None where no printed ratio depends on it.
    """

    tp: int
    fn: int
    fp: int
    tn: int | None = None

    def metrics(self) -> dict[str, float]:
        """Returns the ratios the counts give, under the names of our metrics."""
        counts = Counts(tp=self.tp, fp=self.fp, fn=self.fn, tn=self.tn or 0)
        scores = [sensitivity, precision, f1]
        if self.tn is not None:
            scores += [accuracy, specificity, f1_negative]
        values = {score.__name__: score(counts) for score in scores}
        return values if self.tn is None else values | class_averages(counts)


@dataclass(frozen=True)
class PublishedRow:
    """One row of a published table.

    Attributes:
        name: Name of the row in our experiments: a key of BACKBONES, a custom CNN or an encoder.
        values: What is printed, percentages as fractions. A name is that of our metric where
            there is one; `slices` is a number of slices.
        counts: The confusion matrix behind the values, where they determine it.
        note: What to know about this row alone.
    """

    name: str
    values: Mapping[str, float]
    counts: PublishedCounts | None = None
    note: str = ""


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper, or the numbers of its text.

    Attributes:
        title: What the paper calls it.
        source: The paper, SAUCIS or USTH, and the place in it.
        rows: Its rows in the order of the paper.
        notes: What does not add up, and how the numbers are to be read.
    """

    title: str
    source: tuple[str, str]
    rows: tuple[PublishedRow, ...]
    notes: tuple[str, ...] = ()


def compare(published: float | None, ours: Metric, *, decoded: bool = False) -> str:
    """Returns a cell "paper / ours (ours - paper) [95 % interval]", what is missing as "–".

    Args:
        published: The paper's number; None where it gives none.
        ours: Ours with its interval.
        decoded: Whether the paper's number was decoded from others: it is marked †.
    """
    measured = not math.isnan(ours.value)
    if published is None and not measured:
        return "–"
    paper, gain = "–", ""
    if published is not None:
        paper = f"{round(published, 4):g}{'†' * decoded}"
        gain = f" ({ours.value - published:+.3f})"
    if not measured:
        return f"{paper} / –"
    interval = "" if math.isnan(ours.low) else f" [{ours.low:.3f}, {ours.high:.3f}]"
    return f"{paper} / {ours.value:.3f}{gain}{interval}"
