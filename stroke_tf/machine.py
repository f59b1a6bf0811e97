"""What this process may use of the machine, and what it is: device, versions, commit."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

_PACKAGE_ROOT = Path(__file__).resolve().parents[1]
_CODE = ("stroke_tf", "data_tools", "experiments")
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


def devices(kind: str | None = None) -> list[str] | None:
    """Returns TensorFlow's devices, such as ["CPU", "NVIDIA A100"]; None before it is imported."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return None
    details = tensorflow.config.experimental.get_device_details
    found = tensorflow.config.list_physical_devices(kind)
    return [details(device).get("device_name", device.device_type) for device in found]


def describe_environment(data_manifest_sha256: str) -> dict[str, Any]:
    """Returns what env.json holds: versions, device, code and data, nothing of who or where.

    TensorFlow is asked for its devices only when something has imported it already.
    """
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "devices": devices(),
        "git": _git_state(),
        "data_manifest_sha256": data_manifest_sha256,
        "packages": _package_versions(),
    }


def _cpu_lines(key: str) -> list[str]:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [line.partition(":")[2].strip() for line in lines if line.startswith(key)]


def _package_versions() -> dict[str, str]:
    """Returns the versions of the package and of what it requires, as far as installed."""
    versions = {}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["stroke_tf"] = importlib.metadata.version("stroke_tf")
        for requirement in importlib.metadata.requires("stroke_tf") or []:
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            if "extra ==" not in requirement or name == "openvino":
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    versions[name] = importlib.metadata.version(name)
    return versions


def _git_state() -> dict[str, Any] | None:
    """Returns commit and dirty flag of the package's own checkout; None without one.

    An installed package may lie inside a checkout of something else, whose commit says nothing.
    """
    root = _git("rev-parse", "--show-toplevel")
    if root is None or Path(root) != _PACKAGE_ROOT:
        return None
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *_CODE)
    return {"commit": commit, "dirty": bool(changes)} if commit is not None else None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE_ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def keras_folder() -> Path:
    """Returns the folder that Keras keeps downloaded weights in."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"
