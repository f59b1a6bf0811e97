"""Imports a library without showing the notes that it prints meanwhile; warnings and errors show.

TensorFlow's libraries say that they found no GPU before they read TF_CPP_MIN_LOG_LEVEL. They write
to the descriptor of standard error, so another process reads that meanwhile and hands on the rest,
line by line: also the last words of an import that crashes. Imports nothing that takes time.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from stroke_tf.ctrl_c import left_to_this_process

_HAND_ON = r"""
import re, sys
for line in sys.stdin.buffer:
    if not re.match(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)", line):
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""
_SECONDS = 5  # for the last lines: a process that was started meanwhile may hold on to them


def import_quietly(name: str) -> None:
    """Hides the notes of Abseil's log when a package is imported for the first time."""
    if name not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder(name))


class _Finder(MetaPathFinder):
    """Finds one package once, to be imported without its notes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            loader: Any = spec.loader
            load = loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                with _without_notes():
                    load(module)

            loader.exec_module = load_quietly
        return spec


@contextlib.contextmanager
def _without_notes() -> Iterator[None]:
    import subprocess  # here, for most commands import no TensorFlow

    if sys.stderr is None:
        yield
        return
    own, hand_on = os.dup(2), [sys.executable, "-I", "-S", "-c", _HAND_ON]
    with left_to_this_process():
        reader = subprocess.Popen(
            hand_on, stdin=subprocess.PIPE, stdout=own, stderr=subprocess.DEVNULL
        )
    with reader.stdin as pipe:  # type: ignore[union-attr]
        os.dup2(pipe.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(own, 2)
        os.close(own)
        with contextlib.suppress(subprocess.TimeoutExpired):
            reader.wait(_SECONDS)
