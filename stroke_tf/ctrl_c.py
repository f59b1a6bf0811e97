"""Ctrl-C: what a stopped command says, and how its worker processes leave the answer to it.

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
    """Has the processes that are started in the block ignore Ctrl-C: this one ends them.

    A terminal sends it to all processes of a command, and each would print a traceback.
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
    """Has Ctrl-C wait for the end of the block: half a start of worker processes is not ended.

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
