"""The one place that changes how a library computes; README.md says what, why and how much."""

from __future__ import annotations

import os

from stroke_tf.machine import cpu_flags


def is_on() -> bool:
    """Returns whether libraries may compute otherwise than they come: not for STROKE_TF_FAST=0."""
    return os.environ.get("STROKE_TF_FAST", "1") != "0"


def gains_in_training() -> bool:
    """Returns whether fused batch norms and Adam are used: they gain on a CPU with AMX alone."""
    return is_on() and "amx_tile" in cpu_flags()
