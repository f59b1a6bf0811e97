"""Shows what this machine has and what of it is used: processor, GPU, oneDNN, runtime, versions.

    stroke-tf doctor

Changes nothing and names neither host nor user.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from stroke_tf import command
from stroke_tf.fast import is_on
from stroke_tf.machine import available_memory, cpu_flags, devices, memory_limit, processor

_FLAGS = {"avx2": "AVX2", "avx512f": "AVX-512", "avx512_bf16": "bfloat16", "amx_tile": "AMX"}
_PACKAGES = ("stroke_tf", "tensorflow", "keras", "segmentation-models", "keras-tuner")
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
    """Nothing is to be set."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: What was looked at.
        found: What it is.
        advice: What to do about it; empty if nothing.
    """

    what: str
    found: str
    advice: str = ""


def main(_: Doctor) -> int:
    """Prints all findings; the exit code is 1 if TensorFlow or Keras cannot be loaded."""
    table = Table("", "found", "what to do")
    try:
        for finding in findings():
            table.add_row(finding.what, finding.found, finding.advice)
    except ImportError as error:
        print(f"{error}: install the package anew, `make setup`", file=sys.stderr)
        return 1
    finally:
        Console(markup=False).print(table)
    return 0


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
    for package in _PACKAGES:
        version = _version(package)
        yield Finding(package, version or "not installed", "" if version else "make setup")
    for package, (extra, purpose) in _EXTRAS.items():
        version = _version(package)
        advice = "" if version else f"pip install 'stroke_tf[{extra}]'"
        yield Finding(package, f"{version or 'not installed'}: {purpose}", advice)
    import tensorflow  # noqa: F401

    from stroke_tf.fast.runtimes import openvino_gains

    gpus, advice = devices("GPU"), "with one: pip install 'tensorflow[and-cuda]'"
    yield Finding("GPU", ", ".join(gpus)) if gpus else Finding("GPU", "none seen", advice)
    yield _onednn()
    fused = "batch norms, convolutions and Adam in one operation each, memory is kept"
    plain = "Keras' own operations, by STROKE_TF_FAST=0"
    yield Finding("training", fused if is_on() else plain)
    yield Finding("predictions", "OpenVINO" if openvino_gains() else "Keras on TensorFlow")


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
