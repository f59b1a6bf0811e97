"""A reproduction at work: figures, estimates, then one training after another, and the report.

Each is done in a process of its own, so that one that fails, or takes more memory than there is,
is named and the others go on. This process never loads TensorFlow.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stroke_tf.files import locked, without_folders
from stroke_tf.progress import Progress, progress_bar
from stroke_tf.reproduce import work
from stroke_tf.reproduce.own_process import in_own_process
from stroke_tf.reproduce.plan import planned
from stroke_tf.reproduce.record import Entry, Record, State
from stroke_tf.reproduce.settings import Reproduction
from stroke_tf.runs.keep_or_run import defaults_of, folder_of, settings_of
from stroke_tf.tables.jobs import (
    Estimate,
    Job,
    hours,
    in_order,
    is_scored,
    network_of,
    over_budget,
)
from stroke_tf.tables.table import Row, Table

SMOKE_FOLDER = "reproduce-smoke"
_GIB = 1 << 30


@dataclass(frozen=True)
class _Clock:
    """The clock of a budget: it runs from the start of the process's work."""

    begin: float
    budget_hours: float | None

    def left(self) -> float:
        """Returns the seconds that are left."""
        if self.budget_hours is None:
            return float("inf")
        return self.budget_hours * 3600 - (time.monotonic() - self.begin)


def reproduce(
    config: Reproduction,
    tables: Sequence[Table],
    *,
    command: str,
    smoke_records: Callable[..., tuple[Path, ...]],
) -> int:
    """Runs what is chosen of some tables, see `Reproduction`, and writes one report of it.

    Args:
        config: What to reproduce.
        tables: The tables.
        command: The command line.
        smoke_records: As for `run_table`; it is told the kinds of copies too.

    Returns:
        The exit code: 1 if something failed.

    Raises:
        RuntimeError: If another process is at work in the folder of results.
        ValueError: If the folder was started with other records or settings, and as `planned`.
        OSError: If something cannot be read or written.
    """
    clock = _Clock(time.monotonic(), config.budget_hours)
    if config.smoke:
        config = _in_small(config, tables, smoke_records)
    record = planned(config, tables, command=command)
    with locked(config.out), progress_bar() as progress:
        record.take_up()
        _find_done(record)
        record.write()
        _draw_samples(record)
        _time_networks(record, clock, progress)
        print("\n".join(_estimates(record)), flush=True)
        _run_all(record, clock, progress)
        page = in_own_process(work.report, config.out, config.records)
    return _summarise(record, page)


def _in_small(
    config: Reproduction, tables: Sequence[Table], smoke_records: Callable[..., tuple[Path, ...]]
) -> Reproduction:
    out = config.out / SMOKE_FOLDER
    copies = tuple(dict.fromkeys(["none", *(table.copies for table in tables)]))
    records = smoke_records(config.records, out=out, copies=copies)
    return replace(config, out=out, records=records, seeds=config.seeds[:1])


def _find_done(record: Record) -> None:
    """Notes the trainings that an earlier start has done."""
    for entry in record.entries:
        if entry.job is None:
            continue
        folder, run = folder_of(entry.job.run), entry.job.run
        if not folder.is_done():
            continue
        (sha256,) = (
            record_set.manifest_sha256
            for record_set in record.records
            if record_set.path == run.records
        )
        try:
            folder.check(settings_of(run), data_manifest_sha256=sha256, defaults=defaults_of(run))
        except ValueError as error:
            entry.ends("failed", str(error))
        else:
            if all(is_scored(run, record_set) for record_set in record.outside):
                entry.ends("done")


def _waiting(record: Record) -> Iterator[tuple[Entry, Job]]:
    for entry in record.entries:
        if entry.job is not None and entry.state == "waiting":
            yield entry, entry.job


def _is_trained(job: Job) -> bool:
    """Returns whether a training that waits is done, and waits for outside scores alone."""
    return folder_of(job.run).is_done()


def _left(entry: Entry, job: Job) -> Estimate | None:
    """Returns the estimate of what is left to do of a training that waits, if it is known."""
    return entry.scoring if _is_trained(job) else entry.estimate


def _draw_samples(record: Record) -> None:
    config = record.config
    if record.samples["state"] not in ("waiting", "failed"):
        return
    arguments = record.records[0].path, config.out, config.seeds[0], config.smoke
    try:
        in_own_process(work.draw_samples, *arguments)
        record.samples = {"state": "done", "reason": ""}
    except RuntimeError as error:
        record.samples = {"state": "failed", "reason": without_folders(str(error))}
    record.write()


def _time_networks(record: Record, clock: _Clock, progress: Progress) -> None:
    """Estimates the waiting trainings: each network once for all that share it.

    Estimates of an earlier start are kept. They are those of whole trainings: where only outside
    scores are missing they are too long, and a run is estimated anew if there is a budget.
    """
    networks: dict[Row, list[tuple[Entry, Job]]] = {}
    for entry, job in _waiting(record):
        if entry.estimate is None or (_is_trained(job) and clock.budget_hours is not None):
            networks.setdefault(network_of(job.run), []).append((entry, job))
    outside = [record_set.path for record_set in record.outside]
    for number, together in enumerate(networks.values()):
        progress("networks timed", number, len(networks))
        if clock.left() <= 0:
            reason = f"outside the budget of {record.config.budget_hours:g} h: not even timed"
            _end_all(together, "not run", reason)
        else:
            _time_one(together, outside)
        progress("networks timed", number + 1, len(networks))
        record.write()


def _time_one(together: Sequence[tuple[Entry, Job]], outside: Sequence[Path]) -> None:
    try:
        found = in_own_process(work.estimate, [job.run for _, job in together], outside)
    except RuntimeError as error:
        _end_all(together, "failed", str(error))
    else:
        for (entry, job), estimate in zip(together, found, strict=True):
            if _is_trained(job):
                entry.scoring = estimate
            else:
                entry.estimate = estimate


def _end_all(together: Sequence[tuple[Entry, Job]], state: State, reason: str) -> None:
    for entry, _ in together:
        entry.ends(state, reason)


def _estimates(record: Record) -> Iterator[str]:
    """Yields the lines printed before the first training: one for each row and protocol."""
    rows: dict[tuple[str, str, str], list[Estimate]] = {}
    for entry, job in _waiting(record):
        if estimate := _left(entry, job):
            rows.setdefault(entry.key[:3], []).append(estimate)
    if not rows:
        return
    yield f"{'':58}{'seeds':>6}{'each':>11}{'memory':>10}{'disk':>10}"
    for (experiment, row, protocol), several in rows.items():
        each = several[0]
        yield (
            f"{experiment}/{row}, {protocol}".ljust(58)
            + f"{len(several):>6}{hours(each.seconds):>11}"
            + f"{each.memory_bytes / _GIB:>6.1f} GiB{each.disk_bytes / _GIB:>6.2f} GiB"
        )
    every = [estimate for several in rows.values() for estimate in several]
    yield (
        f"All: {hours(sum(cost.seconds for cost in every))}, at most "
        f"{max(cost.memory_bytes for cost in every) / _GIB:.1f} GiB of memory, "
        f"{sum(cost.disk_bytes for cost in every) / _GIB:.2f} GiB of disk. "
        "From timed steps and the most epochs: early stopping makes it less."
    )


def _run_all(record: Record, clock: _Clock, progress: Progress) -> None:
    entries = {job.key: entry for entry, job in _waiting(record)}
    known = {key: entry.scoring or entry.estimate for key, entry in entries.items()}
    estimates = {key: estimate for key, estimate in known.items() if estimate}
    waiting = [job for _, job in _waiting(record)]
    jobs = in_order(waiting, estimates, seeds=record.config.seeds)
    for number, job in enumerate(jobs):
        progress("trainings", number, len(jobs))
        entry = entries[job.key]
        reason = over_budget(estimates[job.key], clock.left(), clock.budget_hours)
        if reason:
            trained = "done, but not scored on --outside: " if _is_trained(job) else ""
            entry.ends("not run", trained + reason)
        else:
            _run_one(entry, job, record, progress)
        record.write()
        progress("trainings", number + 1, len(jobs))


def _run_one(entry: Entry, job: Job, record: Record, progress: Progress) -> None:
    begin, left = time.monotonic(), _left(entry, job)
    outside = [
        record_set.path for record_set in record.outside if not is_scored(job.run, record_set)
    ]
    try:
        failed = in_own_process(
            work.train_and_test, job.run, outside, watch=partial(_show_epochs, job, progress)
        )
        entry.ends("failed" if failed else "done", "; ".join(failed))
    except RuntimeError as error:
        entry.ends("failed", str(error))
    said = f"{entry.state}: {entry.reason}" if entry.reason else entry.state
    expected = f", estimated {hours(left.seconds)}" if left else ""
    print(f"{job.key}: {said}; {hours(time.monotonic() - begin)}{expected}", flush=True)


def _show_epochs(job: Job, progress: Progress) -> None:
    """Shows how many epochs the training at work has done, from what it has written."""
    history = folder_of(job.run).history
    lines = len(history.read_bytes().splitlines()) if history.is_file() else 0
    progress("epochs of this one", max(0, lines - 1), job.run.fit.epochs)


def _summarise(record: Record, page: Path) -> int:
    states = [entry.state for entry in record.entries]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    print(f"Of {len(states)} trainings: {counts}\nReport: {page}")
    failed = {str(entry.key): entry.reason for entry in record.entries if entry.state == "failed"}
    if record.samples["state"] == "failed":
        failed["samples"] = record.samples["reason"]
    for name, reason in failed.items():
        print(f"Failed: {name}: {reason}", file=sys.stderr)
    return int(bool(failed))
