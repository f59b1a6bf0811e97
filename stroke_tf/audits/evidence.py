"""The facts in the files of a run and of its records, which fill the cards. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from stroke_tf.audits.audit import Subject
from stroke_tf.audits.tested_runs import runs_of
from stroke_tf.deploy.description import ModelDescription
from stroke_tf.deploy.sources import read_source, together
from stroke_tf.files import read_json
from stroke_tf.manifest import (
    FoldName,
    FoldRow,
    Manifest,
    read_folds,
    read_hashed_manifest,
)
from stroke_tf.run_folder import DATA_NAME, RunMetrics, read_metrics

UNKNOWN = "not stated: fill in"
"""In place of everything that no file says."""
_METRICS = "metrics.json"


@dataclass(frozen=True)
class Evidence:
    """All known facts; a fact that no file states is None or empty.

    Attributes:
        facts: Of the records: what `Manifest.facts` gives.
        data_sha256: SHA-256 of their manifest.
        manifest: Their manifest.
        rows: What their folds.csv says of each record.
        result: What the run came to.
        settings: Its config.json; of a cross-validation that of its first part, as the next two.
        environment: Its env.json.
        model: What it answers; None of a run that left no network. Of a cross-validation the
            networks of all its parts, with the numbers of each.
        files: Names of what the run left, such as figures/roc.png.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    data_sha256: str | None = None
    manifest: Manifest | None = None
    rows: tuple[FoldRow, ...] = ()
    result: RunMetrics | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    model: ModelDescription | None = None
    files: frozenset[str] = frozenset()

    def parts(self) -> dict[str, tuple[FoldName, ...]]:
        """Returns the folds of training, validation and test; empty without a run."""
        return {} if self.result is None else dict(self.result.split)

    def counts(self, folds: Iterable[FoldName] | None = None) -> dict[str, Any]:
        """Returns numbers of slices, groups, masks and classes of some folds; None takes all."""
        names = None if folds is None else {str(fold) for fold in folds}
        rows = [row for row in self.rows if names is None or row.fold in names]
        classes = pd.Series([row.stroke_type for row in rows], dtype=str).value_counts()
        return {
            "slices": len(rows),
            "groups": len({row.group_id for row in rows}),
            "masks": sum(row.has_mask for row in rows),
            **{name: int(classes.get(name, 0)) for name in self.facts["classes"]},
        }


def read_evidence(subject: Subject) -> Evidence:
    """Returns the facts in the files of a subject.

    Raises:
        FileNotFoundError: If a file of a finished run or of the records is missing.
        ValueError: If a file is not valid.
    """
    of_run = {} if subject.run is None else _of_run(subject.run, subject.row)
    if subject.records is None:
        return Evidence(**of_run)
    manifest, sha256 = read_hashed_manifest(subject.records)
    of_run |= {"facts": manifest.facts(), "data_sha256": sha256, "manifest": manifest}
    return Evidence(**of_run, rows=tuple(read_folds(subject.records)))


def _of_run(folder: Path, row: str | None) -> dict[str, Any]:
    if not (folder / _METRICS).is_file():
        return _of_parts([run for run in runs_of(folder, row=row) if (run / _METRICS).is_file()])
    result = read_metrics(folder / _METRICS)
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        "facts": read_json(folder / DATA_NAME) if (folder / DATA_NAME).is_file() else {},
        "data_sha256": result.data_manifest_sha256,
        "result": result,
        "settings": read_json(folder / "config.json"),
        "environment": read_json(folder / "env.json"),
        "model": read_source(folder).description if (folder / "model.keras").is_file() else None,
        "files": frozenset(path.as_posix() for path in files),
    }


def _of_parts(runs: Sequence[Path]) -> dict[str, Any]:
    """Returns the facts on the parts of a cross-validation, which has no single result or split."""
    if not runs:
        return {}
    networks = [run for run in runs if (run / "model.keras").is_file()]
    sources = [(run.name, read_source(run).description) for run in networks]
    shared = ("facts", "data_sha256", "settings", "environment")
    known = {name: value for name, value in _of_run(runs[0], None).items() if name in shared}
    return known | {"model": together(sources) if len(networks) == len(runs) else None}
