"""Settings as files: what a search finds, and `--config` takes."""

from __future__ import annotations

import dataclasses
import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from stroke_tf.runs.settings import ClassifierRun, UnetRun

Settings = TypeVar("Settings")
_PLACES = ("records", "out")


def settings_text(run: ClassifierRun | UnetRun) -> str:
    """Returns the settings of a run as JSON, without where its records and results are."""
    values = dataclasses.asdict(run)
    kept = {name: value for name, value in values.items() if name not in _PLACES}
    return json.dumps(kept, indent=2) + "\n"


def parse_settings(
    kind: type[Settings], *, prog: str, description: str | None, args: Sequence[str] | None = None
) -> Settings:
    """Returns the settings of a command line, with `--config FILE` for its defaults.

    Args:
        kind: What to parse.
        prog: Name of the command.
        description: What it does, for `--help`.
        args: The command line; None takes that of the process.

    Raises:
        SystemExit: If a flag or the file is wrong, which is printed, or for `--help`.
    """
    first = ArgumentParser(prog=prog, add_help=False, allow_abbrev=False)
    first.add_argument("--config", type=Path)
    known, rest = first.parse_known_args(args)
    try:
        flags = [] if known.config is None else list(_flags(_read(known.config)))
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    # Of a flag that is given twice the last counts: the command line overrides the file.
    return tyro.cli(kind, prog=prog, description=description, args=[*flags, *rest])


def _read(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} must be JSON. Received: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold an object of settings. Received: {type(values)}")
    return values


def _flags(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        flag = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flags(value, f"{flag}.")
        elif isinstance(value, bool):
            section, dot, last = flag.rpartition(".")
            yield f"--{flag}" if value else f"--{section}{dot}no-{last}"
        elif isinstance(value, list):
            yield from (f"--{flag}", *map(str, value))
        else:
            yield from (f"--{flag}", str(value))
