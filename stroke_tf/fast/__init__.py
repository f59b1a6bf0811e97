"""The one place that changes how a library computes; README.md says what, why and how much."""

from __future__ import annotations

import os

from stroke_tf.machine import reuse_memory

_KEPT_BYTES = (1 << 31) - 1  # the most that mallopt(3) takes


def is_on() -> bool:
    """Returns whether libraries may be made faster; STROKE_TF_FAST=0 leaves them as they come."""
    return os.environ.get("STROKE_TF_FAST", "1") != "0"


def keep_memory() -> None:
    """Makes a training reuse the memory of one step in the next."""
    if is_on():
        reuse_memory(_KEPT_BYTES)
