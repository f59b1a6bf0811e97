"""Shows what this machine has and what of it is used: processor, GPU, oneDNN, runtime, versions.

    stroke-tf doctor

The exit code is 1 where a required package is missing or does not fit. Changes nothing and names
neither host nor user.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from rich.console import Console
from rich.table import Table

from stroke_tf import command
from stroke_tf.config import WEIGHTS_FOLDER
from stroke_tf.fast import is_on, takes_openvino
from stroke_tf.files import to_json
from stroke_tf.imagenet_files import BACKBONE_FILES, found
from stroke_tf.machine import available_memory, cpu_flags, devices, memory_limit, processor
from stroke_tf.zoo.shipped import ZOO

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DATA_FOLDER = "STROKE_TF_OPEN_DATA"
"""Names the folder of real slices that tests are run on."""
_LITTLE_DISK = 5  # GiB: an installation, records and some runs
_FLAGS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bfloat16", "amx_tile": "AMX"}
_PACKAGES = ("stroke_tf", "numpy", "tensorflow", "keras", "segmentation-models", "keras-tuner")
_EXTRAS = {  # the extra that brings a package, and what it is for
    "openvino": ("runtime", "faster predictions on a CPU, export"),
    "onnxruntime": ("runtime", "export to ONNX"),
    "ai-edge-litert": ("runtime", "export to LiteRT"),
    "highdicom": ("dicom", "DICOM SEG and reports"),
    "gradio": ("page", "the page in a browser"),
    "mlflow-skinny": ("track", "runs in an MLflow store"),
    "jax": ("jax", "one training on several hosts"),
}


@dataclass(frozen=True)
class Doctor:
    """What is printed.

    Attributes:
        json: Print a list as JSON instead of the table.
    """

    json: bool = False


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: What was looked at.
        found: What it is.
        advice: What to do about it; empty if nothing.
        wanted: The versions that fit, where what was found does not.
        is_fault: Whether commands cannot work with it.
    """

    what: str
    found: str
    advice: str = ""
    wanted: str = ""
    is_fault: bool = False


def main(settings: Doctor) -> int:
    """Prints all findings; returns the exit code.

    It is 1 if TensorFlow or Keras cannot be loaded or a required package does not fit.
    """
    shown: list[Finding] = []
    unloaded = False
    try:
        for finding in findings():
            shown.append(finding)
    except ImportError as error:
        print(f"{error}: install the package anew, `{_anew()}`", file=sys.stderr)
        unloaded = True
    if settings.json:
        print(to_json([dataclasses.asdict(finding) for finding in shown]), end="")
    else:
        _print_table(shown)
    return int(unloaded or any(finding.is_fault for finding in shown))


def _print_table(shown: list[Finding]) -> None:
    table = Table("", "found", "what to do")
    for finding in shown:
        misfit = f", must be {finding.wanted}" if finding.wanted else ""
        table.add_row(finding.what, f"{finding.found}{misfit}", finding.advice)
    Console(markup=False).print(table)


def findings() -> Iterator[Finding]:
    """Yields what is found, in the order of the table.

    Raises:
        ImportError: If TensorFlow cannot be loaded.
    """
    flags = cpu_flags()
    yield Finding(
        "system", f"{platform.system()} {platform.machine()}, {platform.python_version()}"
    )
    can = [name for flag, name in _FLAGS.items() if flag in flags]
    yield Finding("processor", f"{processor()}: {', '.join(can) or 'not known'}")
    free, most = available_memory() / 2**30, memory_limit() / 2**30
    yield Finding("memory", f"{free:.0f} of {most:.0f} GiB free")
    disk = shutil.disk_usage(Path()).free / 2**30
    advice = "results and records need a few GiB: free some" if disk < _LITTLE_DISK else ""
    yield Finding("disk", f"{disk:.0f} GiB free here", advice)
    yield from _required()
    for package, (extra, purpose) in _EXTRAS.items():
        version = _version(package)
        advice = "" if version else f"pip install 'stroke_tf[{extra}]'"
        yield Finding(package, f"{version or 'not installed'}: {purpose}", advice)
    yield from _weights()
    yield from _variables()
    import tensorflow  # noqa: F401

    gpus, advice = devices("GPU"), "with one: pip install 'tensorflow[and-cuda]'"
    yield Finding("GPU", ", ".join(gpus)) if gpus else Finding("GPU", "none seen", advice)
    yield _onednn()
    fused = "batch norms, convolutions and Adam in one operation each, memory is kept"
    plain = "Keras' own operations, by STROKE_TF_FAST=0"
    yield Finding("training", fused if is_on() else plain)
    yield Finding(
        "predictions", "OpenVINO" if takes_openvino(has_gpu=bool(gpus)) else "Keras on TensorFlow"
    )


def _weights() -> Iterator[Finding]:
    """Yields which ImageNet weights are here; the package's own model is not one of them."""
    here = [name for name, file in BACKBONE_FILES.items() if found(file)]
    missing = len(BACKBONE_FILES) - len(here)
    advice = "stroke-tf weights get NAME; stroke-tf weights list names all" if missing else ""
    told = f"of {', '.join(here) or 'no network'}; {missing} missing"
    yield Finding("ImageNet weights", told, advice)
    for name, model in ZOO.items():
        lost = not model.folder.is_dir()
        advice = f"{model.made_by} --out {model.folder.name}" if lost else ""
        yield Finding(name, "missing" if lost else "there, without a download", advice)


def _variables() -> Iterator[Finding]:
    """Yields the package's own variables that are set; paths are not shown."""
    for name in sorted(name for name in os.environ if name.startswith("STROKE_TF_")):
        value = os.environ[name]
        if name not in (WEIGHTS_FOLDER, DATA_FOLDER):
            yield Finding(name, value)
        elif Path(value).is_dir():
            yield Finding(name, "names a folder")
        else:
            advice = f"unset {name}, or have it name a folder"
            yield Finding(name, "names no folder", advice, is_fault=True)


def _required() -> Iterator[Finding]:
    """Yields the packages that are always shown, then all others that do not fit."""
    requirements = _requirements()
    for package in dict.fromkeys((*_PACKAGES, *requirements)):
        version, requirement = _version(package), requirements.get(package)
        fits = version is not None and (
            requirement is None or requirement.specifier.contains(version, prereleases=True)
        )
        if fits and package in _PACKAGES:
            yield Finding(package, str(version))
        elif not fits:
            wanted = str(requirement.specifier) if requirement and version else ""
            found = version or "not installed"
            yield Finding(package, found, _advice(requirement), wanted, is_fault=True)


def _requirements() -> dict[str, Requirement]:
    """Returns the requirements in the metadata of this package by name, without its extras."""
    from packaging.requirements import Requirement  # here: it may be missing itself

    try:
        listed = importlib.metadata.requires("stroke_tf") or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    asked = [Requirement(text) for text in listed]
    return {one.name: one for one in asked if not one.marker or one.marker.evaluate({"extra": ""})}


def _advice(requirement: Requirement | None) -> str:
    if requirement is None or _is_clone():
        return _anew()
    return f"pip install '{requirement.name}{requirement.specifier}'"


def _anew() -> str:
    """Returns the command that installs this package anew, from where it came from.

    `make setup` alone does nothing as long as the files that it follows are the same.
    """
    return "make -B setup" if _is_clone() else f"pip install --force-reinstall {_origin()}"


def _is_clone() -> bool:
    return (Path(__file__).parents[1] / "Makefile").is_file()


def _origin() -> str:
    """Returns what pip installed this package from: a file's name, a folder, or the index."""
    try:
        package = importlib.metadata.distribution("stroke_tf")
    except importlib.metadata.PackageNotFoundError:
        return "stroke_tf"
    came = json.loads(package.read_text("direct_url.json") or "{}")
    if "dir_info" in came:
        return "."
    return PurePosixPath(unquote(urlsplit(came.get("url", "")).path)).name or "stroke_tf"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _onednn() -> Finding:
    value = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    if value is None:
        return Finding("oneDNN", "as TensorFlow chooses, by STROKE_TF_FAST=0")
    if value == "1":
        return Finding("oneDNN", "on")
    return Finding("oneDNN", f"off, by TF_ENABLE_ONEDNN_OPTS={value}", "unset it: it is faster")


if __name__ == "__main__":
    command.run(main, Doctor, doc=__doc__)
