"""What this process may use of the machine."""

from __future__ import annotations

import os
from pathlib import Path


def usable_cores() -> int:
    """Returns the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_flags() -> frozenset[str]:
    """Returns what the processor can do, such as "avx2" or "amx_tile"; empty where Linux is not."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return frozenset(" ".join(line for line in lines if line.startswith("flags")).split())
