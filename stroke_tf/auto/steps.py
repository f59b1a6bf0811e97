"""Measures the steps of a run in a new process: a process may keep memory that it has freed."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import ParamSpec, TypeVar

from stroke_tf import command
from stroke_tf.processes import die_with_parent
from stroke_tf.runs.keep_or_run import Run
from stroke_tf.runs.step import Step

Given = ParamSpec("Given")
Result = TypeVar("Result")


def apart(work: Callable[Given, Result], *args: Given.args, **kwargs: Given.kwargs) -> Result:
    """Returns the result of a function that runs in a new process.

    Raises:
        BrokenProcessPool: If the process was killed.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=_start) as pool:
        return pool.submit(work, *args, **kwargs).result()


def _start() -> None:
    die_with_parent()
    command.quieten_tensorflow()


def measure(run: Run) -> Step | None:
    """Returns the cost of a run's training step, see `stroke_tf.runs.measure`.

    It is measured in a new process. None if memory did not suffice.
    """
    try:
        return apart(measure_here, run)
    except BrokenProcessPool:
        return None


def measure_here(run: Run) -> Step | None:
    """Does the work of `measure` in this process."""
    import tensorflow as tf

    from stroke_tf.runs import measure

    try:
        return measure.measure(run)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        return None
