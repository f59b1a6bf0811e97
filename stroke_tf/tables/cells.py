"""What tables of all kinds are made of: a cell, and a row with another seed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stroke_tf.evaluation.intervals import Metric


def seeded(row: Any, seed: int) -> Any:
    """Returns a run with another seed."""
    return replace(row, fit=replace(row.fit, seed=seed))


def cell(metric: Metric, *, sign: bool = False) -> str:
    """Returns a metric with its interval, if it has one."""
    value, low, high = metric
    form = "+.3f" if sign else ".3f"
    if value != value:
        return "n/a"
    return f"{value:{form}}" if low != low else f"{value:{form}} [{low:{form}}, {high:{form}}]"
