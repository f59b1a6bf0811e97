"""What this process may use of the machine."""

from __future__ import annotations

import os
import platform
from pathlib import Path


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
