"""What this process may use of the machine."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_MOST_BYTES = 1 << 25  # glibc takes no larger threshold for blocks of their own


def reuse_memory(kept: int = _MOST_BYTES) -> None:
    """Has this process take freed memory again: fresh pages cost a tenth of the time and more.

    Args:
        kept: Bytes that the process keeps when they are free.
    """
    with contextlib.suppress(AttributeError):  # a C library without that setting
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _MOST_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, kept)


def usable_cores() -> int:
    """Returns the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_flags() -> frozenset[str]:
    """Returns what the processor can do, such as "avx2" or "amx_tile"; empty where Linux is not."""
    return frozenset(" ".join(_cpu_lines("flags")).split())


def processor() -> str:
    """Returns the name of the processor and how many cores this process may use."""
    name = next(iter(_cpu_lines("model name")), platform.processor())
    return f"{name}, {usable_cores()} cores"


def _cpu_lines(key: str) -> list[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]
