"""Processes of this machine that share a search, or a training.

keras-tuner's service hands out the trials of a search to workers, which are started again when they
are killed; the processes of a training end together. In both cases the three variables of the
library start the same on several hosts. Loads nothing heavy.
"""

from __future__ import annotations

import ctypes
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

from stroke_tf.ctrl_c import left_to_this_process
from stroke_tf.machine import usable_cores

IP, PORT, ID = "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT", "KERASTUNER_TUNER_ID"
CHIEF = "chief"
ADDRESSES, PROCESSES, PROCESS_ID = (
    f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")
)
_LOOPBACK = "127.0.0.1"
_MOST_STARTS = 30  # of one process: if it dies more often, it has a fault
_POLL_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)  # loaded here: between fork and exec a lock may be another thread's

_logger = logging.getLogger(__name__)


def has_role() -> bool:
    """Returns whether this process was started as a chief or a worker."""
    return IP in os.environ


def is_worker() -> bool:
    """Returns whether this process only runs the trials that a chief hands out."""
    return has_role() and CHIEF not in os.environ.get(ID, "")  # as keras-tuner tells


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
    threads = str(max(1, usable_cores() // workers))

    def start(name: str) -> subprocess.Popen[bytes]:
        shared = {"TF_NUM_INTRAOP_THREADS": threads} if name != CHIEF else {}
        return _start(module, args, {**shared, **address, ID: name})

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
        _end(running.values())


def host_number() -> int | None:
    """Returns the number of this host, from 0, in a training over several; None if it is not set.

    Raises:
        ValueError: If one of Keras' three variables is missing, or a number is none.
    """
    variables = (ADDRESSES, PROCESSES, PROCESS_ID)
    found = {name: os.environ[name] for name in variables if name in os.environ}
    if not found:
        return None
    if len(found) < len(variables) or not all(found[n].isdecimal() for n in variables[1:]):
        raise ValueError(
            f"{ADDRESSES} (HOST:PORT of host 0), {PROCESSES} and {PROCESS_ID} (from 0) must all be "
            f"set for a training over several hosts. Received: {found}"
        )
    return int(found[PROCESS_ID])


def run_hosts(module: str, args: Sequence[str], *, hosts: int) -> None:
    """Runs a command as the processes of one training, with Keras on JAX, until they are done.

    Starts all of them, or, where Keras' variables say which host this is, that one. When one fails
    or is killed, the others of this machine end too. None outlives this process.

    Args:
        module: The command's module.
        args: Its arguments.
        hosts: Number of processes, >= 1, where the variables are not set.

    Raises:
        RuntimeError: If JAX is not installed, or a process ended with an error or was killed.
        ValueError: If the variables are not complete.
    """
    if importlib.util.find_spec("jax") is None:
        raise RuntimeError("a training over several hosts needs JAX: pip install 'stroke_tf[jax]'")
    places: list[dict[str, str]] = [{}]
    if host_number() is None:
        address = f"{_LOOPBACK}:{_free_port()}"
        places = [
            {ADDRESSES: address, PROCESSES: str(hosts), PROCESS_ID: str(number)}
            for number in range(hosts)
        ]
    running = [_start(module, args, {"KERAS_BACKEND": "jax", **place}) for place in places]
    try:
        while codes := [process.poll() for process in running]:
            if failed := [code for code in codes if code]:
                raise RuntimeError(
                    "a process of the training ended before it was done (exit code "
                    f"{failed[0]}). The same command goes on after the last finished epoch"
                )
            if not any(code is None for code in codes):
                return
            time.sleep(_POLL_SECONDS)
    finally:
        _end(running)


def _start(
    module: str, args: Sequence[str], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    with left_to_this_process():
        return subprocess.Popen(
            [sys.executable, "-m", module, *args],
            env={**os.environ, **variables},
            preexec_fn=die_with_parent,
        )


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return probe.getsockname()[1]


def die_with_parent() -> None:
    """Makes the system kill this process when the process that started it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
