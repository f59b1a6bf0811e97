"""Work that a reproduction does in separate processes: only these load TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from stroke_tf.tables.jobs import Estimate
from stroke_tf.tables.run_table import attempt, run_row
from stroke_tf.tables.table import Row


def estimate(runs: Sequence[Row], outside: Sequence[Path]) -> list[Estimate]:
    """See `estimate_runs`."""
    from stroke_tf.reproduce.estimate import estimate_runs

    return estimate_runs(runs, outside)


def train_and_test(run: Row, outside: Sequence[Path]) -> list[str]:
    """Trains and tests a run and scores it on other records; returns which of these failed."""
    run_row(run)
    from stroke_tf.reproduce.outside import score_outside

    failed: list[str] = []
    for records in outside:
        attempt(f"outside {records.name}", partial(score_outside, run, records), failed)
    return failed


def draw_samples(records: Path, out: Path, seed: int, smoke: bool) -> None:
    """Draws the figures that show slices."""
    from stroke_tf.reporting.samples import SMALL_SAMPLES, write_samples

    small: dict[str, Any] = SMALL_SAMPLES if smoke else {}
    write_samples(records, out, seed=seed, **small)


def report(out: Path, records: Sequence[Path]) -> Path:
    """Writes the report of a reproduction; returns its page."""
    from stroke_tf.tables.reproduction import write_reproduction

    return write_reproduction(out, records=records)
