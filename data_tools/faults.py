"""Reports of faults: faults of one kind in one line, and all faults in a CSV file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from stroke_tf.files import write_text
from stroke_tf.manifest import Rejected
from stroke_tf.text_tables import csv_text

FAULTS_NAME = "faults.csv"
_SHOWN = 5
_RECEIVED = ". Received:"
_NUMBER = re.compile(r"\d+")


def fault_rows(faults: Iterable[Rejected]) -> list[tuple[str, str, str]]:
    """Returns a row for each kind of fault: count, rule, first files (file 2 before file 10).

    Faults are of one kind if their rules differ at most in numbers. A single fault keeps the value
    that was received.
    """
    kinds: dict[str, list[Rejected]] = {}
    for fault in sorted(
        faults, key=lambda rejected: _NUMBER.sub(lambda found: found[0].zfill(20), rejected.file)
    ):
        rule = fault.reason.partition(_RECEIVED)[0]
        kinds.setdefault(_NUMBER.sub("#", rule), []).append(fault)
    return [_row(kind) for kind in kinds.values()]


def fault_lines(faults: Iterable[Rejected]) -> list[str]:
    """Returns a line for each kind of fault."""
    return [
        f"{files}: {rule}" if count == "1" else f"{count} faults: {rule}. In {files}"
        for count, rule, files in fault_rows(faults)
    ]


def write_faults(path: Path, faults: Iterable[Rejected]) -> None:
    """Writes every fault to a CSV file with the columns file and fault."""
    rows = [(fault.file, fault.reason) for fault in faults]
    write_text(path, csv_text([("file", "fault"), *rows]))


def _row(faults: list[Rejected]) -> tuple[str, str, str]:
    if len(faults) == 1:
        return "1", faults[0].reason, faults[0].file
    files = list(dict.fromkeys(fault.file for fault in faults))
    more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    rule, _, received = faults[0].reason.partition(_RECEIVED)
    first = f". First received:{received}" if received else ""
    return str(len(faults)), rule + first, ", ".join(files[:_SHOWN]) + more
