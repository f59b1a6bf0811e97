"""OUT/reproduce.json: the parts of a reproduction, and how far it is.

Written when it starts and after each training; the results themselves are the folders of the runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stroke_tf.files import flat, plain, read_json, without_folders, write_json
from stroke_tf.reproduce.settings import Reproduction
from stroke_tf.tables.jobs import ORDER, Estimate, Job, Key, NotRun, Records
from stroke_tf.tables.reproduced import PLAN_NAME, State
from stroke_tf.tables.table import Table

_SCHEMA_VERSION = 1


@dataclass
class Entry:
    """One training and how far it is.

    Attributes:
        key: What names it.
        job: How it is run; None if it is not.
        state: Whether it is done.
        reason: Why it is not run, or failed.
        estimate: What it takes at most, once that is known.
        scoring: What is left of a training that is done: scoring it on outside slices.
    """

    key: Key
    job: Job | None = None
    state: State = "waiting"
    reason: str = ""
    estimate: Estimate | None = None
    scoring: Estimate | None = None

    @classmethod
    def of(cls, planned: Job | NotRun) -> Entry:
        """Returns the entry of a training, or of one that is left out."""
        if isinstance(planned, NotRun):
            return cls(planned.key, state="not run", reason=planned.reason)
        return cls(planned.key, planned)

    def ends(self, state: State, reason: str = "") -> None:
        """Notes how it ended, the reason without the folders that it may name."""
        self.state, self.reason = state, without_folders(reason)

    def to_json(self) -> dict[str, Any]:
        """Returns the values that are kept."""
        estimate = self.estimate._asdict() if self.estimate else {}
        records = self.job.run.records.name if self.job else None
        return {
            **self.key._asdict(),
            "records": records,
            "state": self.state,
            "reason": self.reason,
            **{name: estimate.get(name) for name in Estimate._fields},
        }


@dataclass
class Record:
    """A whole reproduction.

    Attributes:
        config: Its settings.
        command: The command that runs it.
        tables: Its tables.
        records: Its folders of records.
        outside: Those that nothing is trained on.
        entries: All trainings, in the order of the tables.
        samples: How it stands with the figures that show slices.
    """

    config: Reproduction
    command: str
    tables: Sequence[Table]
    records: Sequence[Records]
    outside: Sequence[Records]
    entries: Sequence[Entry]
    samples: dict[str, str] = field(default_factory=lambda: {"state": "waiting", "reason": ""})

    @property
    def path(self) -> Path:
        """Where it is kept."""
        return self.config.out / PLAN_NAME

    def take_up(self) -> None:
        """Takes over what an earlier start knew: estimates, and figures that are drawn.

        Raises:
            ValueError: If that was of other records or settings; names them.
        """
        if not self.path.is_file():
            return
        old = read_json(self.path)
        before, now = flat(old["definition"]), flat(plain(self._definition()))
        changed = sorted(key for key in before.keys() & now.keys() if before[key] != now[key])
        if changed:
            raise ValueError(
                f"{self.path} must be continued with the records and settings it was started "
                f"with; another --out starts anew. Received others for: {', '.join(changed)}"
            )
        self.samples = old["samples"]
        known = _estimates(old["jobs"])
        for entry in self.entries:
            entry.estimate = known.get(entry.key._replace(seed=0))

    def write(self) -> None:
        """Writes OUT/reproduce.json."""
        config = self.config
        values = {
            "schema_version": _SCHEMA_VERSION,
            "command": self.command,
            "definition": self._definition(),
            "seeds": config.seeds,
            "budget_hours": config.budget_hours,
            "order": ORDER,
            "deterministic": config.deterministic,
            "scaled": _scaled(config),
            "tables": {self._name(table): table.published for table in self.tables},
            "records": [_records_json(record_set) for record_set in self.records],
            "outside": [_records_json(record_set) for record_set in self.outside],
            "samples": self.samples,
            "jobs": [entry.to_json() for entry in self.entries],
        }
        write_json(self.path, values)

    def _name(self, table: Table) -> str:
        return table.experiment + "-smoke" * self.config.smoke

    def _definition(self) -> dict[str, Any]:
        """Returns the settings and records that must not change from one start to the next."""
        names = ("weights", "small_size", "small_epochs", "deterministic", "smoke")
        found = {name: getattr(self.config, name) for name in names}
        records = {
            f"{record_set.protocol} {record_set.copies}": record_set.manifest_sha256
            for record_set in self.records
        }
        return found | {"records": records}


def _estimates(jobs: Sequence[Mapping[str, Any]]) -> dict[Key, Estimate]:
    """Returns the estimates of rows, each under seed 0: seeds take equally long."""
    found = {}
    for job in jobs:
        numbers = [job[name] for name in Estimate._fields]
        if None not in numbers:
            found[Key(job["experiment"], job["row"], job["protocol"], 0)] = Estimate(*numbers)
    return found


def _scaled(config: Reproduction) -> list[str]:
    """Returns how rows were made smaller than the papers', in words."""
    words = {
        f"slices of at most {config.small_size} pixels (--small-size)": config.small_size,
        f"at most {config.small_epochs} epochs (--small-epochs)": config.small_epochs,
        "a smoke run: tiny slices, one epoch, random weights": config.smoke,
    }
    return [text for text, said in words.items() if said]


def _records_json(records: Records) -> dict[str, Any]:
    return {
        "folder": records.path.name,
        "protocol": records.protocol,
        "copies": records.copies,
        "manifest_sha256": records.manifest_sha256,
        "folds": {str(fold.fold): fold.classes for fold in records.folds},
    }
