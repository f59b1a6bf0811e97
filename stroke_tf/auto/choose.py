"""Image size, batch, epochs and learning rate of a run, chosen once and kept with its results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, TypeVar

import psutil

from stroke_tf.auto.rules import (
    LEAST_EPOCHS,
    Facts,
    Reason,
    batch_for,
    check_minutes,
    epoch_seconds,
    epochs_for,
    fits,
    memory_of,
    rate_for,
    size_for_lesions,
    sizes_of,
)
from stroke_tf.auto.steps import apart, measure
from stroke_tf.command import parse
from stroke_tf.files import plain, read_json, write_json
from stroke_tf.machine import available_memory, memory_limit
from stroke_tf.manifest import manifest_sha256
from stroke_tf.runs.keep_or_run import Run, settings_of
from stroke_tf.runs.settings import HEAD_ONLY
from stroke_tf.runs.step import Step

Kind = TypeVar("Kind", bound=Run)
Measure = Callable[[Run], Step | None]
CHOICES = ("image_size", "batch_size", "epochs", "learning_rate")
"""The settings that can be chosen; the last two are of the run's `fit`."""
KEPT = "kept, as it was set"
_PROBED = (1, 2)  # slices in the first steps that are measured
_UNSET = -1

_logger = logging.getLogger(__name__)


def settled(
    run: Kind, *, minutes: float | None, set_by_user: Collection[str], trainings: int = 1
) -> Kind:
    """Returns a run with its settings chosen, and logs why each has its value.

    They are kept in OUT/EXPERIMENT/auto-ROW.json: a training that goes on, or is run with another
    seed, has the same ones whatever the memory is then.

    Args:
        run: The run; what is not chosen stays.
        minutes: Time that the training may take; None for any.
        set_by_user: Those of CHOICES that stay as they are.
        trainings: How many trainings share the minutes, equally. Later ones, of a further seed,
            keep what was chosen and take extra time.

    Raises:
        ValueError: If the file was made for other settings or records, nothing fits the memory, or
            no epoch the minutes.
    """
    path = run.out / run.experiment / f"auto-{run.row_name}.json"
    asked = plain(_asked(run, minutes=minutes, set_by_user=set_by_user))
    if path.is_file():
        kept = read_json(path)
        if kept["asked"] != asked:
            raise ValueError(
                f"{path}: settings are chosen once for the same run and records; delete the file "
                "to choose again. Received others for: "
                f"{[key for key in asked if kept['asked'].get(key) != asked[key]]}"
            )
        reasons = [Reason(**reason) for reason in kept["reasons"]]
        _logger.info("Settings as chosen before, in %s", path)
    else:
        held = psutil.Process().memory_info().rss
        memory = min(memory_limit(), available_memory() + held)
        share = None if minutes is None else minutes / trainings
        _, reasons = choose(
            run, memory=memory, minutes=share, set_by_user=set_by_user, trainings=trainings
        )
        write_json(path, {"asked": asked, "memory": memory, "reasons": reasons})
    for reason in reasons:
        _logger.info("  %s", reason)
    return _with(run, reasons)


def choose(
    run: Kind,
    *,
    memory: int,
    minutes: float | None = None,
    set_by_user: Collection[str] = (),
    trainings: int = 1,
    measure: Measure = measure,
) -> tuple[Kind, list[Reason]]:
    """Returns a run with its settings chosen, and why each has its value; see the rules.

    Args:
        run: The run; its folds are those that the facts are read of.
        memory: Bytes that the training may take.
        minutes: Time that it may take; None for any.
        set_by_user: Those of CHOICES that stay as they are.
        trainings: How many trainings take so many minutes each.
        measure: What measures steps.

    Raises:
        FileNotFoundError: If the records are missing.
        ValueError: If not even a step of one slice of the smallest size fits the memory, or not one
            epoch the minutes.
    """
    _logger.info("Reading what the records hold, to choose settings …")
    facts = apart(_facts, run)
    sizes, why_size = _sizes(run, facts, own="image_size" in set_by_user)
    if getattr(run, "training", "full") in HEAD_ONLY:
        reasons = [Reason("image_size", sizes[0], f"{why_size}; the head alone trains")]
        return _with(run, reasons), reasons
    own_batch = "batch_size" in set_by_user
    fitting = partial(_fitting, facts=facts, memory=memory, own_batch=own_batch, measure=measure)
    least = run.fit.epochs if "epochs" in set_by_user else LEAST_EPOCHS
    timed = partial(_too_long, facts=facts, epochs=least, minutes=minutes)
    step, why_batch, why_smaller = _largest(
        run, sizes, fitting=fitting, timed=timed, cheapest_first=minutes is not None
    )
    check_minutes(run, facts, step, minutes=minutes, trainings=trainings)
    default_batch = type(run)().batch_size if own_batch else run.batch_size
    epochs, rate = run.fit.epochs, run.fit.learning_rate
    chosen = {
        "image_size": (step.size, why_size + why_smaller),
        "batch_size": (step.batch, why_batch),
        "epochs": epochs_for(facts, step, default=epochs, minutes=minutes),
        "learning_rate": rate_for(step.batch, default_batch=default_batch, default=rate),
    }
    own = {"epochs": (epochs, KEPT), "learning_rate": (rate, KEPT)}
    chosen |= {name: kept for name, kept in own.items() if name in set_by_user}
    reasons = [Reason(name, value, why) for name, (value, why) in chosen.items()]
    return _with(run, reasons), reasons


def set_by_user(kind: type[Any], args: Sequence[str]) -> frozenset[str]:
    """Returns those of CHOICES that a command line sets, by a flag or in its `--config` file.

    Args:
        kind: Settings of a command, with a run under `run`.
        args: The command line.
    """
    start = kind()
    unset = [Reason(name, _UNSET, "") for name in CHOICES]
    run = parse(kind, default=replace(start, run=_with(start.run, unset)), args=args).run
    values = (run.image_size, run.batch_size, run.fit.epochs, run.fit.learning_rate)
    return frozenset(name for name, value in zip(CHOICES, values, strict=True) if value != _UNSET)


def _facts(run: Run) -> Facts:
    from stroke_tf.auto.facts import read_facts  # here, for the process that decodes slices

    return read_facts(run)


def _sizes(run: Run, facts: Facts, *, own: bool) -> tuple[list[int], str]:
    """Returns the sizes to try, the wanted one first, and why it is wanted."""
    if own:
        return [run.image_size], KEPT
    sizes = sizes_of(run, facts)
    wanted, why = size_for_lesions(sizes, facts, default=run.image_size)
    return [size for size in reversed(sizes) if size <= wanted], why


def _largest(
    run: Run,
    sizes: Sequence[int],
    *,
    fitting: Callable[[Run], tuple[Step, str] | None],
    timed: Callable[[Step], str],
    cheapest_first: bool,
) -> tuple[Step, str, str]:
    """Returns the step of the first size that fits memory and time, or the last that fits memory.

    Also returns the reason for its batch, and the reason if the size is not the first.

    Args:
        run: The run; its size is not read.
        sizes: Sizes to try, the wanted one first, the smallest last.
        fitting: Measures the step of a run whose batch fits, if one does.
        timed: Says why a step takes too long; nothing if it does not.
        cheapest_first: Whether the last size is measured first, to leave out the larger ones that
            take too long by it.
    """
    measured = cache(lambda size: fitting(replace(run, image_size=size)))
    found, smaller = None, ""
    if cheapest_first and (least := measured(sizes[-1])):
        sizes, smaller = _worth_timing(sizes, least[0], timed=timed)
    for size in sizes:
        fitted = measured(size)
        if fitted is None:
            smaller = f"; a step of {size} does not fit the memory"
            continue
        found = (*fitted, smaller)
        smaller = timed(fitted[0])
        if not smaller:
            break
    if found is None:
        raise ValueError(
            "memory must hold a training step of one slice (or of the batch that was set) at size "
            f"{sizes[-1]}, with the slices; a smaller network may fit. Received: too little"
        )
    return found


def _worth_timing(
    sizes: Sequence[int], least: Step, *, timed: Callable[[Step], str]
) -> tuple[list[int], str]:
    """Returns the sizes that may fit the time, and why the last of the others does not.

    Larger slices take as long as the smallest, or half as long for each pixel if that is more.

    Args:
        sizes: Sizes to try, the smallest last; it stays.
        least: The measured step of the smallest.
        timed: Says why a step takes too long; nothing if it does not.
    """
    kept, why = [], ""
    for size in sizes[:-1]:
        times = max(1, (size / least.size) ** 2 / 2)
        seconds = {name: times * getattr(least, name) for name in ("train_seconds", "val_seconds")}
        too_long = timed(replace(least, size=size, **seconds))
        if too_long:
            why = f"{too_long} or more"
        else:
            kept.append(size)
    return [*kept, sizes[-1]], why


def _too_long(step: Step, *, facts: Facts, epochs: int, minutes: float | None) -> str:
    """Returns why a size takes too long; empty where so many epochs fit the minutes."""
    needed = epochs * epoch_seconds(facts, step) / 60
    if minutes is None or needed <= minutes:
        return ""
    return f"; {epochs} epochs at {step.size} would take {needed:.0f} minutes"


def _fitting(
    run: Run, *, facts: Facts, memory: int, own_batch: bool, measure: Measure
) -> tuple[Step, str] | None:
    """Returns a measured step whose batch fits, and why it is that batch; None if none fits."""
    batch, why, known = run.batch_size, KEPT, {}
    batches = f"batch {batch}" if own_batch else "of batches 1 and 2, then of the one that fits"
    _logger.info("Timing a few steps at %d px, %s …", run.image_size, batches)
    if not own_batch:
        known = {batch_size: measure(replace(run, batch_size=batch_size)) for batch_size in _PROBED}
        probed = [step for step in known.values() if step]
        if not probed:
            return None
        batch, why = 1, "2 do not fit"
        if len(probed) == len(_PROBED):
            batch, why = batch_for(facts, probed, default=run.batch_size, limit=memory)
    while True:
        step = known.get(batch) or measure(replace(run, batch_size=batch))
        if step and fits(step, facts, limit=memory):
            return step, f"{why}; measured: {memory_of(step, facts, limit=memory)}"
        if own_batch or batch == 1:
            return None
        batch, why = batch // 2, f"{batch} did not fit when measured"


def _asked(run: Run, *, minutes: float | None, set_by_user: Collection[str]) -> dict[str, Any]:
    settings = settings_of(run)
    settings["fit"].pop("seed")  # the seeds of a row share what is chosen
    return {
        **settings,
        "minutes": minutes,
        "set_by_user": sorted(set_by_user),
        "records_sha256": manifest_sha256(run.records),
    }


def _with(run: Kind, reasons: Sequence[Reason]) -> Kind:
    values = {reason.name: reason.value for reason in reasons}
    of_fit = {name: values.pop(name) for name in CHOICES[2:] if name in values}
    return replace(run, **values, fit=replace(run.fit, **of_fit))
