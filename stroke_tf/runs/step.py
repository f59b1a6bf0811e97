"""The cost of a training, in numbers. Imports nothing heavy: another process measures it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """The cost of a run's training, as `measure` found it; 0 for numbers that it does not have.

    Attributes:
        size: Side of the slices, pixels.
        batch: Slices in a step.
        bytes: Most memory that the process held, with all that it needs besides.
        train_seconds: Time of a training step.
        val_seconds: Time of a step of validation.
        gpu_bytes: Most memory of the GPU; 0 without one.
        gpu_limit: Memory that the GPU has; 0 without one.
        start_seconds: Time until the first step was done, the start of the process included.
        head_seconds: Time of a training step of the head alone, on features.
        slice_seconds: Time until the features of a slice are known, for a head alone.
        features: How many numbers they are.
        disk: Bytes that the training left.
    """

    size: int
    batch: int
    bytes: int
    train_seconds: float = 0.0
    val_seconds: float = 0.0
    gpu_bytes: int = 0
    gpu_limit: int = 0
    start_seconds: float = 0.0
    head_seconds: float = 0.0
    slice_seconds: float = 0.0
    features: int = 0
    disk: int = 0
