"""The trainings of a reproduction: which there are, in which order, and what a budget has room for.

Pure but for the manifests that are read. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from stroke_tf.files import read_json
from stroke_tf.manifest import Fold, Protocol, read_hashed_manifest
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import HEAD_FITTED, ClassifierRun
from stroke_tf.tables.table import Row, Table

PROTOCOLS: tuple[Protocol, ...] = ("clean", "as-published")


class Key(NamedTuple):
    """The name of a training, its parts in the order of the tables."""

    experiment: str
    row: str
    protocol: Protocol
    seed: int

    def __str__(self) -> str:
        return f"{self.experiment}/{self.row}-{self.protocol}-s{self.seed}"


@dataclass(frozen=True)
class Job:
    """One training: a row of a table under one protocol, with one seed, ready to be run."""

    key: Key
    run: Row


@dataclass(frozen=True)
class NotRun:
    """A training that is left out, and why."""

    key: Key
    reason: str


@dataclass(frozen=True)
class Records:
    """One folder of records.

    Attributes:
        path: Where it is.
        protocol: Protocol of its folds.
        copies: Task that its copies augmented before folding are for, or "none".
        source_sha256: Fingerprint of the slices it was made of.
        manifest_sha256: SHA-256 of its manifest.
        folds: What it holds.
    """

    path: Path
    protocol: Protocol
    copies: str
    source_sha256: str
    manifest_sha256: str
    folds: tuple[Fold, ...]


class Estimate(NamedTuple):
    """Upper estimate of time, memory and disk of a training, from a few timed steps."""

    seconds: float
    memory_bytes: float
    disk_bytes: float


def read_records(folders: Sequence[Path]) -> list[Records]:
    """Returns the description of each folder of records.

    Raises:
        FileNotFoundError: If one holds no manifest.
        ValueError: If two have one name, or are for the same.
    """
    found = []
    for path in folders:
        manifest, sha256 = read_hashed_manifest(path)
        of_slices = manifest.augmented, manifest.source_sha256
        found.append(Records(path, manifest.protocol, *of_slices, sha256, manifest.folds))
    for what in (
        [record_set.path.name for record_set in found],
        [(record_set.protocol, record_set.copies) for record_set in found],
    ):
        if len(set(what)) < len(what):
            raise ValueError(
                "folders of records must differ in their names, and in protocol or copies. "
                f"Received: {what}"
            )
    return found


def jobs_of(
    table: Table,
    records: Sequence[Records],
    seeds: Sequence[int],
    *,
    settled: Callable[[Row], Row],
    why_not: Callable[[Table, str], str | None],
) -> Iterator[Job | NotRun]:
    """Yields all trainings of a table.

    Args:
        table: The table.
        records: Folders of records: each protocol of a table takes the one that is for it.
        seeds: Seeds of each row.
        settled: Gives a row as it is run, but for what is set here: row, seed and records.
        why_not: Says why a row of a table is left out; None of one that is not.
    """
    found = {(record_set.protocol, record_set.copies): record_set for record_set in records}
    for protocol in PROTOCOLS:
        copies = "none" if protocol == "clean" else table.copies
        given = found.get((protocol, copies))
        for name, row in table.rows.items():
            if protocol != "clean" and name in table.clean_only:
                continue
            reason = why_not(table, name) or (None if given else _convert(protocol, copies))
            for seed in seeds:
                run = settled(row)
                key = Key(run.experiment, name, protocol, seed)
                if reason or given is None:
                    yield NotRun(key, reason or "")
                    continue
                fit = replace(run.fit, seed=seed)
                yield Job(key, replace(run, row=f"{name}-{protocol}", records=given.path, fit=fit))


def _convert(protocol: Protocol, copies: str) -> str:
    made = "" if copies == "none" else f" --augment-before-folding --copies-for {copies}"
    return f"no such records among --records: stroke-tf convert --protocol {protocol}{made}"


def scaled(row: Row, *, size: int | None, epochs: int | None) -> Row:
    """Returns a row with slices of at most so many pixels and at most so many epochs."""
    most = row.fit.epochs if epochs is None else epochs
    row = replace(
        row,
        image_size=row.image_size if size is None else min(size, row.image_size),
        fit=replace(row.fit, epochs=min(most, row.fit.epochs)),
    )
    if epochs is None or not isinstance(row, ClassifierRun) or row.training not in HEAD_FITTED:
        return row
    return replace(row, head_fit=replace(row.head_fit, epochs=min(most, row.head_fit.epochs)))


ORDER = (
    "the first seed of every row before any second one; among these clean before as-published; "
    "among these the quickest first"
)
"""The order in which trainings are run, in words."""


def in_order(
    jobs: Sequence[Job], estimates: Mapping[Key, Estimate], *, seeds: Sequence[int]
) -> list[Job]:
    """Returns jobs as they are run, see ORDER; `seeds` are those of all rows."""

    def rank(job: Job) -> tuple[int, int, float]:
        place = seeds.index(job.key.seed), PROTOCOLS.index(job.key.protocol)
        return *place, estimates[job.key].seconds

    return sorted(jobs, key=rank)


def over_budget(estimate: Estimate, left_seconds: float, budget_hours: float | None) -> str | None:
    """Returns why a training does not fit into what is left of a budget; None if it does."""
    if budget_hours is None or estimate.seconds <= left_seconds:
        return None
    return (
        f"outside the budget of {budget_hours:g} h: estimated {hours(estimate.seconds)}, "
        f"{hours(max(0.0, left_seconds))} left"
    )


def outside_file(run: Row, records: Path) -> Path:
    """Returns where the scores of a run on records of another source are kept."""
    return folder_of(run).path / f"outside-{records.name}.json"


def is_scored(run: Row, outside: Records) -> bool:
    """Returns whether a run has been scored on records of another source, as they are now."""
    path = outside_file(run, outside.path)
    return path.is_file() and read_json(path)["manifest_sha256"] == outside.manifest_sha256


def hours(seconds: float) -> str:
    """Returns a time as it is shown: in hours, or in minutes below one."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


_NOT_OF_SPEED = (
    *("records", "out", "experiment", "row", "val_folds", "test_folds"),
    *("unused_folds", "choose_on", "lesions_only"),
    *("augment", "strength", "copies", "negatives_per_positive", "view", "window"),
    *("threshold_rule", "label_smoothing", "inverse_penalty", "watch", "smooth_slices"),
    *("mirror_test", "tune_mask", "slice_weight", "hard_negatives", "small_lesions"),
    "pasted_lesions",
)
"""Settings that do not change the time of a training step."""


def network_of(run: Row) -> Row:
    """Returns a run without the settings that do not change the time of its steps.

    Runs whose steps take equally long give equal results.
    """
    plain = type(run)()
    unset = {name: getattr(plain, name) for name in _NOT_OF_SPEED if hasattr(plain, name)}
    fit = replace(
        plain.fit,
        precision=run.fit.precision,
        jit_compile=run.fit.jit_compile,
        deterministic=run.fit.deterministic,
    )
    alike = replace(run, fit=fit, **unset)
    return replace(alike, head_fit=fit) if isinstance(alike, ClassifierRun) else alike
