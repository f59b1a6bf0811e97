"""The plan of a reproduction: all trainings of its tables, those left out with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from stroke_tf.reproduce.record import Entry, Record
from stroke_tf.reproduce.settings import Reproduction
from stroke_tf.runs.settings import ClassifierRun, small
from stroke_tf.tables.jobs import Records, jobs_of, read_records, scaled
from stroke_tf.tables.table import Row, Table

SAMPLES = "samples"
_SMOKE_NETWORKS = 1


def planned(config: Reproduction, tables: Sequence[Table], *, command: str) -> Record:
    """Returns all trainings of some tables, none of them begun.

    Args:
        config: What to reproduce.
        tables: The tables that can be chosen from; all that stand beside a paper's are planned,
            the others when they are named.
        command: The command line.

    Raises:
        FileNotFoundError: If a folder of records holds no manifest.
        ValueError: If a flag names something unknown, records do not fit together, or outside
            records are made of the same slices as others.
    """
    _check(config, tables)
    used = [table for table in tables if table.published or table.experiment in config.tables]
    records, outside = read_records(config.records), [_alone(path) for path in config.outside]
    _check_outside(records, outside)
    entries = [
        Entry.of(training)
        for table in used
        for training in jobs_of(
            table,
            records,
            config.seeds,
            settled=partial(_settled, config, table),
            why_not=_why_not(config),
        )
    ]
    record = Record(config, command, used, records, outside, entries)
    if config.rows or config.tables and SAMPLES not in config.tables:
        record.samples = {"state": "not run", "reason": "left out by --tables or --rows"}
    return record


def _check(config: Reproduction, tables: Sequence[Table]) -> None:
    names = [*(table.experiment for table in tables), SAMPLES]
    rows = [name for table in tables for row in table.rows for name in _names(table, row)]
    for flag, given, known in (("tables", config.tables, names), ("rows", config.rows, rows)):
        if wrong := [name for name in given if name not in known]:
            shown = sorted({name for name in known if "/" not in name})
            raise ValueError(f"--{flag} must be of {shown}. Received: {wrong}")
    for name, least, of in (("small_size", 32, 32), ("small_epochs", 1, 1)):
        value = getattr(config, name)
        if value is not None and (value < least or value % of):
            flag = name.replace("_", "-")
            raise ValueError(f"--{flag} must be >= {least}, a multiple of {of}. Received: {value}")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise ValueError(f"--seeds must be different numbers. Received: {list(config.seeds)}")


def _alone(path: Path) -> Records:
    (records,) = read_records([path])
    if records.copies != "none":
        raise ValueError(f"--outside must hold slices without copies. Received: {path}")
    return records


def _check_outside(records: Sequence[Records], outside: Sequence[Records]) -> None:
    sources = {record_set.source_sha256: record_set.path for record_set in records}
    for record_set in outside:
        if record_set.source_sha256 in sources:
            raise ValueError(
                "--outside must be of slices that nothing is trained on. "
                f"Received: {record_set.path}, made of the same as "
                f"{sources[record_set.source_sha256]}"
            )
    names = [record_set.path.name for record_set in outside]
    if len(set(names)) < len(names):
        raise ValueError(f"--outside folders must differ in their names. Received: {names}")


def _names(table: Table, row: str) -> Iterator[str]:
    """Yields what --rows may call a row."""
    yield row
    yield f"{table.experiment}/{row}"


def _why_not(config: Reproduction) -> Callable[[Table, str], str | None]:
    def why_not(table: Table, row: str) -> str | None:
        if config.tables and table.experiment not in config.tables:
            return "left out by --tables"
        if config.rows:
            chosen = set(config.rows) & set(_names(table, row))
            return None if chosen else "left out by --rows"
        if config.smoke and row not in _few(table):
            return "not part of a smoke run"
        return None

    return why_not


def _few(table: Table) -> list[str]:
    """Returns the rows of a smoke run: those without a network, and the first with one."""
    networks = [name for name, row in table.rows.items() if not _is_baseline(row)]
    return [name for name in table.rows if name not in networks[_SMOKE_NETWORKS:]]


def _is_baseline(row: Row) -> bool:
    return isinstance(row, ClassifierRun) and row.backbone == "histogram"


def _settled(config: Reproduction, table: Table, row: Row) -> Row:
    """Returns a row as it is run, but for its records, protocol and seed."""
    row = replace(
        row,
        experiment=table.experiment,
        out=config.out,
        weights=None if row.weights is None else config.weights,
        fit=replace(row.fit, deterministic=config.deterministic),
    )
    row = scaled(row, size=config.small_size, epochs=config.small_epochs)
    return small(row) if config.smoke else row
