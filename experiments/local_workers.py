"""A chief and workers as processes of this machine, each started again when it is killed.

keras-tuner's service hands out the trials: the same three variables start chief and workers on
several hosts. Loads nothing heavy.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

IP, PORT, ID = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"
CHIEF = "chief"
_LOOPBACK = "127.0.0.1"
_MOST_STARTS = 30  # of one process: what dies so often dies of a fault
_POLL_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1  # prctl(2)

_logger = logging.getLogger(__name__)


def has_role() -> bool:
    """Returns whether this process was started as a chief or a worker."""
    return IP in os.environ


def worker_names(workers: int) -> tuple[str, ...]:
    """Returns the ids of so many workers of this machine."""
    return tuple(f"worker-{number}" for number in range(1, workers + 1))


def run_workers(module: str, args: Sequence[str], *, workers: int) -> int:
    """Runs a command as a chief and some workers until the search is done.

    A process that is killed is started again under its id: a worker gets its trial back, and the
    others wait for the chief. None outlives this process.

    Args:
        module: The command's module.
        args: Its arguments.
        workers: Number of workers, >= 1.

    Returns:
        The chief's exit code, or that of the first process that ended with an error.
    """
    address = {IP: _LOOPBACK, PORT: str(_free_port())}
    threads = str(max(1, (os.cpu_count() or 1) // workers))

    def start(name: str) -> subprocess.Popen[bytes]:
        shared = {"TF_NUM_INTRAOP_THREADS": threads} if name != CHIEF else {}
        return subprocess.Popen(
            [sys.executable, "-m", module, *args],
            env={**os.environ, **shared, **address, ID: name},
            preexec_fn=_die_with_parent,
        )

    names = [CHIEF, *worker_names(workers)]
    running = {name: start(name) for name in names}
    starts = dict.fromkeys(names, 1)
    try:
        while True:
            time.sleep(_POLL_SECONDS)
            for name, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                if code > 0 or name == CHIEF and code == 0:
                    return code
                if code == 0:
                    del running[name]
                elif starts[name] == _MOST_STARTS:
                    _logger.error("%s was killed %d times", name, starts[name])
                    return 1
                else:
                    _logger.warning("%s was killed (signal %d): started again", name, -code)
                    starts[name] += 1
                    running[name] = start(name)
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return probe.getsockname()[1]


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
