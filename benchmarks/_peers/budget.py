"""A process that is stopped when it has spent its CPU time. Knows nothing of what it does."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from stroke_tf.processes import die_with_parent

_POLL_SECONDS = 0.2


class Spent(NamedTuple):
    """The CPU and wall time that a process took.

    Attributes:
        cpu_seconds: User and system time of its whole group, what has ended included.
        wall_seconds: Time until it ended.
        stopped: Whether it was stopped because its CPU time was spent.
    """

    cpu_seconds: float
    wall_seconds: float
    stopped: bool


def run_within(
    command: Sequence[str],
    *,
    log: Path,
    variables: Mapping[str, str],
    cpu_seconds: float | None = None,
) -> Spent:
    """Runs a command in a process group of its own, at most until its CPU time is spent.

    Args:
        command: Program and arguments.
        log: File for all that it prints.
        variables: Environment variables beside those of this process.
        cpu_seconds: CPU time of the group after which it is killed; None for no limit.

    Raises:
        RuntimeError: If it ended with an error; names the log.
    """
    start, spent = time.monotonic(), 0.0
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            start_new_session=True,
            preexec_fn=die_with_parent,
        )
    try:
        while True:
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
            if ended:
                break
            spent = max(spent, group_cpu_seconds(process.pid))
            if cpu_seconds is not None and spent >= cpu_seconds:
                return Spent(spent, time.monotonic() - start, stopped=True)
            time.sleep(_POLL_SECONDS)
    finally:
        _kill_group(process)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(
            f"{' '.join(command)} must end well. Received: exit code {process.returncode}; "
            f"see {log}"
        )
    spent = max(spent, usage.ru_utime + usage.ru_stime)
    return Spent(spent, time.monotonic() - start, stopped=False)


def group_cpu_seconds(group: int) -> float:
    """Returns the user and system time of a process group, its ended children included."""
    spent = 0.0
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group:
                spent += sum(process.cpu_times()[:4])  # own user and system, those of children
        except (ProcessLookupError, psutil.Error):
            continue
    return spent


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
