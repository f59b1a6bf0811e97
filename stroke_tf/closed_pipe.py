"""A pipe that nobody reads any more, as after `| head`: what is written to it is lost, work is not.

Imports nothing that takes time. Python says what a program may do about it under "Note on SIGPIPE".
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
    """Has this process go on, without a word, when the pipe of its output or errors is closed.

    Its work is done to the end, and its exit code says how that went. Terminals, files and streams
    that are no longer those of the process stay as they are.
    """
    sys.stdout = _outliving(sys.stdout)
    sys.stderr = _outliving(sys.stderr)


class _Pipe(io.FileIO):
    """The writing end of a pipe, and, when the other end is closed, of nothing."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream.fileno(), "w", closefd=False)
        self._replaced = stream  # kept: its end would close the pipe

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
    raw = getattr(stream.buffer, "raw", stream.buffer)  # itself where Python buffers nothing
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
