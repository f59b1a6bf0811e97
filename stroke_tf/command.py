"""One way to run a command: settings from flags and a file, errors in a line, an exit code.

Loads nothing heavy, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, NoReturn, TypeVar

import tyro

from stroke_tf import closed_pipe, ctrl_c
from stroke_tf.files import flat, read_json
from stroke_tf.quiet_import import import_quietly

Settings = TypeVar("Settings")
Config = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]
called_as = ""
"""The verb of `stroke-tf` that runs, if one does."""
_SAME = (("backbone", "encoder"),)
"""Names of the same setting in different commands."""
_GPUS = ("nvidia*", "kfd", "dxg")  # of NVIDIA, AMD and Windows' Linux


@dataclass(frozen=True)
class _File:
    config: Config = None


@dataclass(frozen=True)
class _Configured(Generic[Settings]):
    """Settings with a file of their defaults.

    Attributes:
        settings: The settings.
        config: JSON file of settings, such as best.json of a search; flags go before it.
    """

    settings: Annotated[Settings, tyro.conf.arg(name="")]
    config: Config = None


def run(
    main: Callable[[Settings], int],
    kind: type[Settings],
    *,
    doc: str | None,
    default: Settings | None = None,
) -> NoReturn:
    """Parses the command line, runs a command and ends the process with its exit code.

    Args:
        main: Does the work; returns the exit code. Its errors are printed in a line, exit code 1.
        kind: The command's settings.
        doc: The module's docstring, shown by `--help`.
        default: Settings that flags change; None takes those of `kind`.
    """
    closed_pipe.outlive()
    settings = parse(kind, doc=doc, default=default)
    quieten_tensorflow()
    code = reported(lambda: main(settings))
    if code == ctrl_c.CODE:  # a second Ctrl-C, while threads end, ends the process at once
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def parse(
    kind: type[Settings],
    *,
    doc: str | None = None,
    default: Settings | None = None,
    args: Sequence[str] | None = None,
) -> Settings:
    """Returns the settings of a command line; where all have defaults, `--config FILE` gives them.

    Args:
        kind: What to parse.
        doc: What the command does, for `--help`.
        default: Settings that flags change; None takes those of `kind`.
        args: The command line; None takes that of the process.

    Raises:
        SystemExit: If a flag or the file is wrong, which is printed, or for `--help`.
    """
    options: dict[str, Any] = {"prog": command_name(), "description": doc}
    given = sys.argv[1:] if args is None else args
    try:
        start = kind() if default is None else default
    except TypeError:  # a setting has no default, so no file gives all of them
        try:
            return tyro.cli(kind, args=given, **options)
        except SystemExit as end:
            if end.code:
                _hint_records(given, kind)
            raise
    if any(flag.startswith("--config") for flag in given):
        named, _ = tyro.cli(_File, args=given, return_unknown_args=True, add_help=False)
        start = _from_file(named.config, start) if named.config else start
    configured: Any = _Configured[kind]  # type: ignore[valid-type]
    try:
        return tyro.cli(configured, default=_Configured(start), args=given, **options).settings
    except SystemExit as end:
        if end.code:
            _hint(given, start)
            _hint_records(given, configured)
        raise


def _hint(given: Sequence[str], settings: Any) -> None:
    """Prints a command's own name of a flag when the user gave another command's name."""
    known = {key.rpartition(".")[2] for key in flat(dataclasses.asdict(settings))}
    for names in _SAME:
        asked = {flag.partition("=")[0].removeprefix("--") for flag in given} & {*names} - known
        if asked and (ours := known & {*names}):
            print(f"Here --{asked.pop()} is --{ours.pop()}", file=sys.stderr)


def _hint_records(given: Sequence[str], kind: Any) -> None:
    """Prints the command with its records as an argument, where that is what it lacks."""
    words = [word for flag in given for word in _without_equals(flag)]
    if "--records" not in words[:-1]:
        return
    place = words.index("--records")
    meant = [words[place + 1], *words[:place], *words[place + 2 :]]
    try:
        tyro.cli(kind, args=meant, console_outputs=False)
    except SystemExit:
        return
    called = f"{command_name()} {shlex.join(meant)}"
    print(f"Here the records come without a flag: {called}", file=sys.stderr)


def _without_equals(flag: str) -> list[str]:
    return flag.split("=", 1) if flag.startswith("--records=") else [flag]


def reported(work: Callable[[], int]) -> int:
    """Returns the exit code of some work; its errors are a line on standard error, exit code 1."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        return work()
    except ImportError as error:
        told = (str(error) or type(error).__name__).rstrip(".")
        print(f"{told}. `stroke-tf doctor` says what is missing or does not fit", file=sys.stderr)
        return 1
    except (ValueError, OSError, RuntimeError, ArithmeticError, MemoryError) as error:
        print(str(error) or type(error).__name__, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(ctrl_c.STOPPED, file=sys.stderr)
        return ctrl_c.CODE


def quieten_tensorflow() -> None:
    """Hides TensorFlow's messages at its start; without a GPU also those on failed calls of CUDA.

    Call it before TensorFlow is imported. With TF_CPP_MIN_LOG_LEVEL=0 all messages are shown.
    """
    level = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_gpu() else "3")
    if not has_gpu() and level != "0":
        import_quietly("tensorflow")


def has_gpu() -> bool:
    """Returns whether this machine has a device of a GPU; asks no driver."""
    return any(True for name in _GPUS for _ in Path("/dev").glob(name))


def quieten() -> None:
    """Hides the messages of libraries about their own work."""
    for noisy in ("httpx", "tensorflow", "tf2onnx"):
        logging.getLogger(noisy).setLevel(logging.ERROR)


def command_name() -> str:
    """Returns how this command was called: by its verb, its module or its file."""
    if called_as:
        return called_as
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return f"python -m {spec.name.removesuffix('.__main__')}"
    return f"python {Path(sys.argv[0]).name}"


def _from_file(path: Path, start: Settings) -> Settings:
    """Returns settings changed by a file, checked as flags are; a mistake ends the process."""
    try:
        values = read_json(path)
        if not isinstance(values, dict):
            raise ValueError(f"{path} must hold an object of settings. Received: {type(values)}")
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from error
    return tyro.cli(type(start), prog=str(path), default=start, args=[*_flags(values)])


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
