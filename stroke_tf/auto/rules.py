"""The rules that settings are chosen by: each a pure function of what is known and measured.

A rule gives the value and, in words, why it is that. docs/howto/train.md states them. Imports
nothing heavy: while steps are measured, this process holds no memory that they need.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stroke_tf.machine import SLICES_SHARE
from stroke_tf.runs.keep_or_run import Run
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.runs.step import Step

SIZES = (128, 160, 192, 224, 256, 288, 320, 384, 512)
LESION_PX = 16
USED_SHARE = 0.75
TESTED_BYTES = 6
LEAST_STEPS, MOST_BATCH, GAIN = 20, 32, 0.1
ENOUGH_STEPS, MOST_TIMES, LEAST_EPOCHS = 1000, 5, 8
SPARE, LEAST_SIZE = 1.4, 96  # times an epoch that the advised minutes hold; the least advised size


@dataclass(frozen=True)
class Facts:
    """The facts on the records that a run uses.

    Attributes:
        side: Side of the stored slices, pixels.
        training: Slices in an epoch.
        validation: Slices that each epoch is checked on.
        tested: Slices of the test folds.
        kept: Slices that are decoded: those of all folds.
        patients: Patients, or groups of near-duplicates, to train on.
        bytes_per_px: Bytes that a decoded pixel takes, with its mask if masks are learned.
        lesion_px: Pixels of each lesion of the folds that are not for testing, as stored; empty
            where there are no masks.
    """

    side: int
    training: int
    validation: int
    tested: int
    kept: int
    patients: int
    bytes_per_px: int
    lesion_px: tuple[int, ...]


@dataclass(frozen=True)
class Reason:
    """One setting, its value and why it has it."""

    name: str
    value: Any
    why: str

    def __str__(self) -> str:
        return f"{self.name} {self.value}: {self.why}"


@dataclass(frozen=True)
class Memory:
    """The memory that a training takes, and the memory there is, in bytes.

    Attributes:
        step: A step of training with all that stands around it, as measured.
        slices: Slices that are kept decoded; at most a fifth of the memory for training, testing
            and validation each, since more lie in a file.
        tested: Slices of the test, kept to be drawn.
        limit: The memory there is.
    """

    step: int
    slices: int
    tested: int
    limit: int

    @property
    def used(self) -> int:
        """Bytes of all of it."""
        return self.step + self.slices + self.tested

    @property
    def fits(self) -> bool:
        """Whether three quarters of the memory hold it."""
        return self.used <= USED_SHARE * self.limit

    def __str__(self) -> str:
        parts = f"step {_gib(self.step)}, slices {_gib(self.slices)}, test {_gib(self.tested)}"
        most = f"{_gib(USED_SHARE * self.limit)} of {_gib(self.limit)}"
        return f"{_gib(self.used)} GiB ({parts}), {most} may be used"


def sizes_of(run: Run, facts: Facts) -> list[int]:
    """Returns the sizes that a run's network can have, the smallest first, up to that stored."""
    step = _size_step(run)
    fitting = [size for size in SIZES if size % step == 0 and size <= facts.side]
    return fitting or [max(step, facts.side // step * step)]


def _size_step(run: Run) -> int:
    """Returns what the side of a run's slices must be a multiple of, pixels."""
    if isinstance(run, ClassifierRun):
        return 1
    return {"pspnet": 48, "improved": 2**run.depth}.get(run.architecture, 32)


def size_for_lesions(sizes: Sequence[int], facts: Facts, *, default: int) -> tuple[int, str]:
    """Returns the smallest size at which nine in ten lesions have 16 pixels.

    Args:
        sizes: Sizes to choose from, the smallest first.
        facts: What is known of the records.
        default: Size where there are no masks.
    """
    if not facts.lesion_px:
        size = max((px for px in sizes if px <= default), default=sizes[0])
        return size, "the default, for there are no masks that say how small lesions are"
    area = sorted(facts.lesion_px)[len(facts.lesion_px) // 10]
    enough = (px for px in sizes if area * px**2 >= LESION_PX * facts.side**2)
    size = next(enough, sizes[-1])
    return size, (
        f"nine in ten of {len(facts.lesion_px)} lesions have {area} pixels or more at "
        f"{facts.side}, so {area * (size / facts.side) ** 2:.0f} at {size}; {LESION_PX} are wanted"
    )


def memory_of(step: Step, facts: Facts, *, limit: int) -> Memory:
    """Returns the memory that a training with such a step takes, with its limit."""
    pixels = step.size**2
    return Memory(
        step=step.bytes,
        slices=min(facts.kept * pixels * facts.bytes_per_px, round(SLICES_SHARE * limit)),
        tested=TESTED_BYTES * pixels * max(facts.tested, facts.validation),
        limit=limit,
    )


def fits(step: Step, facts: Facts, *, limit: int) -> bool:
    """Returns whether a training with such a step fits the memory, and that of the GPU."""
    on_gpu = step.gpu_bytes <= USED_SHARE * step.gpu_limit
    return memory_of(step, facts, limit=limit).fits and on_gpu


def step_of(batch: int, measured: Sequence[Step]) -> Step:
    """Returns the cost of a step of another batch, on a line through the last two measured.

    More slices never take less: where they seem to, the line is level.
    """
    first, second = measured[-2:]

    def on_line(name: str) -> float:
        low, high = getattr(first, name), getattr(second, name)
        slope = max(0, high - low) / (second.batch - first.batch)
        return max(0, high + slope * (batch - second.batch))

    return replace(
        second,
        batch=batch,
        bytes=round(on_line("bytes")),
        gpu_bytes=round(on_line("gpu_bytes")),
        train_seconds=on_line("train_seconds"),
        val_seconds=on_line("val_seconds"),
    )


def batch_for(
    facts: Facts, measured: Sequence[Step], *, default: int, limit: int
) -> tuple[int, str]:
    """Returns the default batch, halved until it fits, or doubled while that saves time."""

    def problem(batch: int) -> str:
        if facts.training < LEAST_STEPS * batch:
            steps = facts.training // batch
            return f"{batch} would make {steps} steps an epoch, {LEAST_STEPS} are wanted"
        step = step_of(batch, measured)
        if not fits(step, facts, limit=limit):
            return f"{batch} would take {memory_of(step, facts, limit=limit)}"
        return ""

    batch, why = default, ""
    while batch > 1 and (found := problem(batch)):
        batch, why = batch // 2, found
    if why:
        return batch, why
    seconds = {}
    while 2 * batch <= MOST_BATCH and not problem(2 * batch):
        seconds = {
            batch_size: _per_slice(step_of(batch_size, measured))
            for batch_size in (default, batch, 2 * batch)
        }
        if seconds[2 * batch] > (1 - GAIN) * seconds[batch]:
            break
        batch *= 2
    if batch > default:
        saved = 1 - seconds[batch] / seconds[default]
        return batch, f"takes {saved:.0%} less time for a slice than {default}, the default"
    return batch, "the default; twice as many save under a tenth of the time, or do not fit"


def _per_slice(step: Step) -> float:
    return step.train_seconds / step.batch


def epoch_seconds(facts: Facts, step: Step) -> float:
    """Returns the time of an epoch of such steps, its validation included."""
    return (
        math.ceil(facts.training / step.batch) * step.train_seconds
        + math.ceil(facts.validation / step.batch) * step.val_seconds
    )


def epochs_for(facts: Facts, step: Step, *, default: int, minutes: float | None) -> tuple[int, str]:
    """Returns enough epochs for 1,000 steps, the default at least, as far as the minutes go.

    One is the least: `check_minutes` refuses minutes that it does not fit.
    """
    steps = math.ceil(facts.training / step.batch)
    wanted = min(max(default, math.ceil(ENOUGH_STEPS / steps)), MOST_TIMES * default)
    seconds = epoch_seconds(facts, step)
    why = f"{steps} steps each of {facts.training} slices of {facts.patients} groups"
    if minutes is None:
        return wanted, f"{why}; about {seconds:.0f} s each, fewer if none gets better"
    most = max(1, int(minutes * 60 / seconds))
    if most < wanted:
        return most, f"{why}; {most} x {seconds:.0f} s fit into {minutes:g} minutes"
    return wanted, f"{why}; {wanted} x {seconds:.0f} s, within {minutes:g} minutes"


def check_minutes(
    run: Run, facts: Facts, step: Step, *, minutes: float | None, trainings: int = 1
) -> None:
    """Checks that an epoch of such steps fits the minutes.

    Args:
        run: Its network says which sizes it can have.
        facts: What is known of the records.
        step: The cheapest step that was measured.
        minutes: Time that one training may take; None for any.
        trainings: How many trainings take so long each.

    Raises:
        ValueError: If it does not; says what to give instead.
    """
    needed = epoch_seconds(facts, step) / 60
    if minutes is None or needed <= minutes:
        return
    enough, good = (math.ceil(times * needed * trainings) for times in (SPARE, LEAST_EPOCHS))
    unit = _size_step(run)
    size = int(step.size * math.sqrt(max(0, minutes) / needed / SPARE)) // unit * unit
    smaller = f", or --image-size {size}" if size >= LEAST_SIZE else ", or a smaller network"
    each = f" in each of {trainings} trainings" if trainings > 1 else ""
    raise ValueError(
        f"--minutes must hold an epoch{each}, which takes {needed:.1f} minutes at {step.size} px, "
        f"batch {step.batch}. Give --minutes {enough} (for {LEAST_EPOCHS} epochs {good}){smaller}. "
        f"Received: {minutes * trainings:g}"
    )


def rate_for(batch: int, *, default_batch: int, default: float) -> tuple[float, str]:
    """Returns Adam's learning rate for a batch: it goes with the square root of its size.

    Malladi et al. 2022, "On the SDEs and scaling rules for adaptive gradient algorithms".
    """
    if batch == default_batch:
        return default, f"the default of batch {batch}"
    rate = float(f"{default * math.sqrt(batch / default_batch):.2g}")
    return rate, f"{default:g} of batch {default_batch} times the root of {batch}/{default_batch}"


def _gib(size: float) -> str:
    return f"{size / 2**30:.2f}"
