"""Ctrl-C: the message of a stopped command, and worker processes that leave Ctrl-C to it.

Imports nothing that takes time: Ctrl-C may come while the rest is imported.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

STOPPED = "Stopped: the same command goes on"
CODE = 130  # as shells have it


@contextlib.contextmanager
def left_to_this_process() -> Iterator[None]:
    """Makes processes that are started in the block ignore Ctrl-C: this process ends them.

    A terminal sends Ctrl-C to all processes of a command, and each would print a traceback.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python changes signals in the main thread alone
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Delays Ctrl-C until the end of the block, so that it never meets half-started workers.

    Raises:
        KeyboardInterrupt: At the end, if Ctrl-C was pressed meanwhile.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
