"""Cores and memory that this process may use, and its device, versions and commit."""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import os
import platform
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import psutil

SLICES_SHARE = 0.2
"""Share of the free memory that the decoded slices of one data set take at most: training needs the
rest, and a file is as fast while the system keeps it in memory."""
_PACKAGE_ROOT = Path(__file__).resolve().parents[1]
_CODE = ("stroke_tf", "data_tools", "experiments")
_CPU, _STATUS = Path("/proc/cpuinfo"), Path("/proc/self/status")
_GROUP_FILES = (
    ("memory.max", "memory.current"),  # version 2
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_FILE_PAGES = ("inactive_file", "active_file")
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # mallopt(3)
_MOST_BYTES = 1 << 25  # glibc takes no larger threshold for blocks of their own


def reuse_memory(kept: int = _MOST_BYTES) -> None:
    """Makes this process reuse freed memory: fresh pages cost a tenth of the time and more.

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


class MemoryLimit(NamedTuple):
    """One limit of memory: bytes that may be used, and bytes that are used of them."""

    bytes: int
    used: int


def memory_limit() -> int:
    """Returns the bytes of memory that this process may come to.

    That is the least of the memory of the machine, of the container (control groups of version 1
    and 2) and of the limits of the process (RLIMIT_AS, RLIMIT_DATA).
    """
    return min(limit.bytes for limit in _memory_limits())


def available_memory() -> int:
    """Returns how many bytes of memory this process may still take before a limit is met."""
    return max(0, min(limit.bytes - limit.used for limit in _memory_limits()))


def peak_memory() -> int:
    """Returns the most bytes that this process has held in memory at one time."""
    return int(_lines_of("VmHWM", _STATUS)[0].split()[0]) << 10


def gpu_memory() -> int:
    """Returns the bytes of memory of the first NVIDIA GPU; 0 where none answers."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits", "--id=0"]
    return int(_answer(*query) or 0) << 20


def control_group_limits(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> list[MemoryLimit]:
    """Returns the limits of this process's control groups; cached files count as unused memory.

    Args:
        groups: File that names the groups of a process.
        root: Folder that the control groups are mounted in.
    """
    lines = groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else []
    found = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers in ("", "memory"):
            mounted = root / "memory" if controllers else root
            here = mounted / path.strip("/")
            # A container may see its own group as the root, whatever its path is outside.
            folders = [here, *here.parents] if here.is_dir() else [mounted]
            inside = (folder for folder in folders if folder.is_relative_to(mounted))
            found += [limit for folder in inside if (limit := _group_limit(folder))]
    return found


def _memory_limits() -> Iterator[MemoryLimit]:
    machine, process = psutil.virtual_memory(), psutil.Process().memory_info()
    yield MemoryLimit(machine.total, machine.total - machine.available)
    yield from control_group_limits()
    for kind, used in ((resource.RLIMIT_AS, process.vms), (resource.RLIMIT_DATA, process.data)):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield MemoryLimit(limit, used)


def _group_limit(folder: Path) -> MemoryLimit | None:
    """Returns the limit of one control group; None where it has none."""
    for limit, used in _GROUP_FILES:
        if (folder / limit).is_file() and (most := (folder / limit).read_text().strip()) != "max":
            lines = (folder / "memory.stat").read_text().splitlines()
            stat = {name: int(number) for name, number in (line.split() for line in lines)}
            # In version 1 the usage includes inner groups, and so do the values with "total_".
            kept = sum(stat.get(f"total_{kind}", stat.get(kind, 0)) for kind in _FILE_PAGES)
            return MemoryLimit(int(most), int((folder / used).read_text()) - kept)
    return None


def cpu_flags() -> frozenset[str]:
    """Returns the processor's features, such as "avx2" or "amx_tile"; empty if not on Linux."""
    return frozenset(" ".join(_lines_of("flags", _CPU)).split())


def processor() -> str:
    """Returns the name of the processor and how many cores this process may use."""
    name = next(iter(_lines_of("model name", _CPU)), platform.processor())
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
    """Returns the content of env.json: versions, device, code and data; neither user nor host.

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


def _lines_of(key: str, path: Path) -> list[str]:
    """Returns the value of a key in each line of a file of /proc that begins with the key."""
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
    return _answer("git", "-C", str(_PACKAGE_ROOT), *arguments)


def _answer(*command: str) -> str | None:
    """Returns the output of a command; None where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def keras_folder() -> Path:
    """Returns the folder that Keras keeps downloaded weights in."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"
