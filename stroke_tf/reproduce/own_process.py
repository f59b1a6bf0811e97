"""Work in a process of its own: neither its memory nor its end touches anything else."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from stroke_tf import command
from stroke_tf.ctrl_c import left_to_this_process
from stroke_tf.tables.run_table import attempt

Result = TypeVar("Result")

_FAILED = "failed"
_POLL_SECONDS = 0.5


def in_own_process(
    function: Callable[..., Result], *args: Any, watch: Callable[[], None] = lambda: None
) -> Result:
    """Runs a function in a new process, which ends with this one; returns its result.

    Args:
        function: A function of a module.
        args: What to call it with.
        watch: Called now and then meanwhile.

    Raises:
        RuntimeError: If the work failed, or its process was killed; says how.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, function, args), daemon=True)
    with left_to_this_process():
        process.start()
    sender.close()
    try:
        while not receiver.poll(_POLL_SECONDS):
            watch()
        result, failed = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(_ended(process.exitcode)) from None
    finally:
        process.kill()
        process.join()
    if failed:
        raise RuntimeError(failed)
    return result


def _ended(code: int | None) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed, perhaps for want of memory"
    return f"its process ended with exit code {code}"


def _work(sender: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    command.quieten_tensorflow()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    failed: list[str] = []
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        result = attempt(_FAILED, lambda: function(*args), failed)
    sender.send((result, failed[0].removeprefix(f"{_FAILED}: ") if failed else None))
    sender.close()
    sys.stderr.flush()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
