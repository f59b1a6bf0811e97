"""Lets a command finish its work when nobody reads its output any more, as after `| head`.

Text written to such a pipe is lost. See "Note on SIGPIPE" in Python's documentation. Imports
nothing that takes time.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def outlive() -> None:
    """Lets this process go on silently when the pipe of its output or errors is closed.

    The work is done to its end, and the exit code tells how it went. Terminals, files and streams
    that are no longer those of the process stay as they are.
    """
    sys.stdout = _outliving(sys.stdout)
    sys.stderr = _outliving(sys.stderr)


class _Pipe(io.FileIO):
    """The writing end of a pipe; after the other end is closed, it writes to nowhere."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self._replaced = stream  # kept alive: it closes the pipe when it is deleted

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            return super().write(data)


def _outliving(stream: TextIO) -> TextIO:
    if type(stream) is not io.TextIOWrapper:
        return stream
    raw = getattr(stream.buffer, "raw", stream.buffer)  # no `raw` where Python does not buffer
    if type(raw) is not io.FileIO or not stat.S_ISFIFO(os.fstat(raw.fileno()).st_mode):
        return stream
    stream.flush()
    pipe = _Pipe(stream)
    return io.TextIOWrapper(
        pipe if raw is stream.buffer else io.BufferedWriter(pipe),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
