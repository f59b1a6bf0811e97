"""The one place that changes how a library computes; README.md says what, why and how much."""

from __future__ import annotations

import importlib.util
import os

from stroke_tf.machine import reuse_memory

_KEPT_BYTES = (1 << 31) - 1  # the most that mallopt(3) takes


def is_on() -> bool:
    """Returns whether libraries may be made faster; STROKE_TF_FAST=0 leaves them as they come."""
    return os.environ.get("STROKE_TF_FAST", "1") != "0"


def takes_openvino(*, has_gpu: bool) -> bool:
    """Returns whether predictions go to OpenVINO: it is installed and there is no GPU."""
    return is_on() and importlib.util.find_spec("openvino") is not None and not has_gpu


def keep_memory() -> None:
    """Makes a training reuse the memory of one step in the next."""
    if is_on():
        reuse_memory(_KEPT_BYTES)
