"""A reproduction as it lies on disk: OUT/reproduce.json, run folders, scores on outside slices.

Readable at any moment: a training that is not done leaves its cell without a run. Knows no paper
and no page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from stroke_tf.evaluation.intervals import UNDEFINED, Metric
from stroke_tf.files import read_json
from stroke_tf.manifest import Protocol
from stroke_tf.run_folder import (
    RunFolder,
    RunMetrics,
    metrics_of_json,
    read_metrics,
    read_predictions,
)
from stroke_tf.runs.best_epoch import best_of_run

PLAN_NAME = "reproduce.json"
FEW = 10
"""Fewer test slices of a class than this are too few for a score to say much."""
_EQUAL = float(np.finfo(np.float32).eps)  # scores nearer than a float32 tells apart
_MAY_BE_TOLD = ("deterministic", "budget_hours", "scaled", "order", "samples")

State = Literal["done", "running", "waiting", "not run", "failed"]


@dataclass(frozen=True)
class Planned:
    """One training: a row of a table under one protocol, with one seed.

    Attributes:
        experiment: Name of the experiment, as its folder has it.
        row: Name of the row.
        protocol: Protocol of its records.
        seed: Its seed.
        records: Name of its folder of records; None where there is none for it.
        state: Whether it is done.
        reason: Why it failed or is not run. A training can be done, and fail on outside slices or
            not be scored on them.
        seconds: Time that it is estimated to take.
        memory_bytes: Memory that it is estimated to take.
        disk_bytes: Disk that it is estimated to take.
    """

    experiment: str
    row: str
    protocol: Protocol
    seed: int
    records: str | None
    state: State = "waiting"
    reason: str = ""
    seconds: float | None = None
    memory_bytes: float | None = None
    disk_bytes: float | None = None

    def folder(self, out: Path) -> RunFolder:
        """Returns where its run is kept."""
        return RunFolder(out, self.experiment, f"{self.row}-{self.protocol}", self.seed)


@dataclass(frozen=True)
class Records:
    """One folder of records: its name, protocol, manifest, and slices by fold and class."""

    folder: str
    protocol: Protocol
    manifest_sha256: str
    folds: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outside:
    """Scores of one run on slices of another source: how many, of how many patients."""

    n: int
    patients: int | None
    metrics: Mapping[str, Metric]


@dataclass(frozen=True)
class Cell:
    """The trainings of one row under one protocol, one for each seed.

    Attributes:
        planned: All of them.
        runs: The results of those that are done, those of their best epochs among the metrics.
        doubts: What makes the scores of a run worth little.
        outside: Scores of outside slices, one for each run that has them, by name of their folder.
    """

    planned: tuple[Planned, ...] = ()
    runs: tuple[RunMetrics, ...] = ()
    doubts: tuple[str, ...] = ()
    outside: Mapping[str, tuple[Outside, ...]] = field(default_factory=dict)

    def scores(self, metric: str, *, outside: str | None = None) -> list[Metric]:
        """Returns a score of each run that has it, of test slices or of outside ones."""
        of = self.runs if outside is None else self.outside.get(outside, ())
        found = [run.metrics[metric] for run in of if metric in run.metrics]
        return [score for score in found if not math.isnan(score.value)]

    def state(self) -> str:
        """Returns what a cell without a run shows."""
        return ", ".join(dict.fromkeys(planned.state for planned in self.planned)) or "–"


@dataclass(frozen=True)
class Reproduction:
    """A reproduction as OUT/reproduce.json describes it.

    Attributes:
        out: Folder of results.
        command: The command that runs it.
        seeds: Seeds of each row.
        tables: Keys of the papers' tables that each experiment fills.
        cells: The trainings of each experiment, row and protocol.
        records: Folders of records.
        outside: Name and manifest of the folders that nothing is trained on.
        deterministic: Whether operations were held to be deterministic.
        budget_hours: Hours that the trainings had to fit into, if any.
        scaled: How the rows were made smaller than the papers', in words.
        order: The order in which trainings are run, in words.
        samples: "state" and "reason" of the figures that show slices.
    """

    out: Path
    command: str
    seeds: Sequence[int]
    tables: Mapping[str, Sequence[str]]
    cells: Mapping[tuple[str, str, Protocol], Cell]
    records: tuple[Records, ...] = ()
    outside: Mapping[str, str] = field(default_factory=dict)
    deterministic: bool = False
    budget_hours: float | None = None
    scaled: Sequence[str] = ()
    order: str = ""
    samples: Mapping[str, str] = field(default_factory=dict)

    def rows(self, experiment: str) -> list[str]:
        """Returns the rows of an experiment in their order."""
        return list(dict.fromkeys(row for of, row, _ in self.cells if of == experiment))

    def named(self, experiment: str) -> str:
        """Returns the name of an experiment here: a smoke run has names of its own."""
        smoke = f"{experiment}-smoke"
        return smoke if smoke in self.tables else experiment

    def cell(self, experiment: str, row: str, protocol: Protocol) -> Cell:
        """Returns the trainings of a row under a protocol; an empty cell where none is planned."""
        return self.cells.get((experiment, row, protocol), Cell())

    def records_of(self, experiment: str, protocol: Protocol) -> Records | None:
        """Returns the records that an experiment is run on under a protocol, if it is."""
        jobs = (job for cell in self.cells.values() for job in cell.planned)
        used = {(job.experiment, job.protocol): job.records for job in jobs if job.records}
        by_name = {records.folder: records for records in self.records}
        return by_name.get(used.get((experiment, protocol), ""))


def read_reproduction(out: Path) -> Reproduction:
    """Returns what OUT/reproduce.json holds, a job with a result being done.

    Raises:
        FileNotFoundError: If it is not there.
        ValueError: If it, or a file of a run, is not what this version writes; names the file.
    """
    path = out / PLAN_NAME
    values = read_json(path)
    try:
        jobs = [_settled(out, Planned(**_known(Planned, job))) for job in values["jobs"]]
        records = tuple(Records(**_known(Records, entry)) for entry in values["records"])
        told = {name: values[name] for name in ("command", "seeds", "tables")}
        outside = {entry["folder"]: entry["manifest_sha256"] for entry in values.get("outside", ())}
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} must be a plan of `reproduce`. Received: {error!r}") from error
    more = {name: values[name] for name in _MAY_BE_TOLD if name in values}
    return Reproduction(
        out=out, cells=_cells(out, jobs), records=records, outside=outside, **told, **more
    )


def over_seeds(scores: Sequence[Metric]) -> Metric:
    """Returns the mean over seeds, its limits the means of theirs.

    The seeds share their test slices. So the interval is that of the mean if they err on the same
    ones, and wider if they do not: never too narrow for the choice of test patients.
    """
    if not scores:
        return UNDEFINED
    return Metric(*(sum(part) / len(scores) for part in zip(*scores, strict=True)))


def _known(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    names = {field_.name for field_ in fields(kind)}
    return {name: value for name, value in values.items() if name in names}


def _settled(out: Path, job: Planned) -> Planned:
    """Returns a job in the state that its folder says, which may be newer or gone."""
    if job.state == "done" and not job.folder(out).is_done():
        return replace(job, state="waiting", reason="its result is no longer there")
    if job.state != "failed" and job.folder(out).is_done():
        left_out = job.records is None  # by --tables or --rows of the last command
        return replace(job, state="done", reason="" if left_out else job.reason)
    return job


def _cells(out: Path, jobs: Sequence[Planned]) -> dict[tuple[str, str, Protocol], Cell]:
    planned: dict[tuple[str, str, Protocol], list[Planned]] = {}
    for job in jobs:
        planned.setdefault((job.experiment, job.row, job.protocol), []).append(job)
    return {key: _read_cell(out, of) for key, of in planned.items()}


def _read_cell(out: Path, planned: Sequence[Planned]) -> Cell:
    done = {job: job.folder(out) for job in planned if job.folder(out).is_done()}
    runs = {job: _read_run(folder) for job, folder in done.items()}
    return Cell(
        planned=tuple(planned),
        runs=tuple(runs.values()),
        doubts=tuple(
            f"{folder.path.name}: {doubt}"
            for job, folder in done.items()
            for doubt in _doubts(job, read_predictions(folder.predictions), runs[job].threshold)
        ),
        outside=_outside([*done.values()]),
    )


def _read_run(folder: RunFolder) -> RunMetrics:
    run = read_metrics(folder.metrics)
    watch = read_json(folder.config).get("watch", "loss")  # a U-Net has no choice
    return replace(run, metrics=run.metrics | best_of_run(folder, watch=watch))


def _doubts(job: Planned, slices: pd.DataFrame, threshold: float | None) -> Iterator[str]:
    """Yields the reasons why the scores of a run mean little."""
    if job.state == "failed":
        yield job.reason
    if "score" not in slices:
        with_lesion = (slices["any_lesion_tp"] + slices["any_lesion_fn"] > 0).sum()
        if with_lesion < FEW:
            yield f"{with_lesion} test slices with a lesion are few"
        if not (slices["any_lesion_tp"] + slices["any_lesion_fp"]).any():
            yield f"nothing is drawn on any of {len(slices)} slices"
        return
    few = min((slices["truth"] == kind).sum() for kind in (0, 1))
    if few < FEW:
        yield f"{few} test slices of one class are few"
    if np.ptp(slices["score"]) <= _EQUAL:
        yield f"all {len(slices)} scores are equal"
    elif threshold is not None and len(set(slices["score"] >= threshold)) == 1:
        yield f"all {len(slices)} slices are called one class"


def _outside(folders: Sequence[RunFolder]) -> dict[str, tuple[Outside, ...]]:
    found: dict[str, tuple[Outside, ...]] = {}
    for path in (path for folder in folders for path in sorted(folder.path.glob("outside-*.json"))):
        values = read_json(path)
        metrics = metrics_of_json(values["metrics"])
        scores = Outside(values["n"], values.get("patients"), metrics)
        found[values["name"]] = (*found.get(values["name"], ()), scores)
    return found
