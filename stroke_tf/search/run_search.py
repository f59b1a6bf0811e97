"""Shared parts of the searches of all models: folds, trials as runs, and the results."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from stroke_tf.command import reported
from stroke_tf.data.memory import Slices
from stroke_tf.evaluation.intervals import Gain, p_text
from stroke_tf.files import write_text
from stroke_tf.manifest import FOLDS, FoldName, manifest_sha256, read_folds, read_manifest
from stroke_tf.processes import is_worker, worker_names
from stroke_tf.run_folder import RunFolder, RunMetrics
from stroke_tf.runs.keep_or_run import OpenRun, Split, folder_of, print_result, settings_text
from stroke_tf.runs.no_effect import warn_of_no_effect
from stroke_tf.runs.settings import UnetRun
from stroke_tf.search.report import TestResult, write_search_report
from stroke_tf.search.settings import Run, Search, search_folder
from stroke_tf.search.spaces import Space
from stroke_tf.search.tuning import Trial, best_trial, search
from stroke_tf.zoo.learned_from import check_not_learned_from

BEST_NAME = "best.json"


@dataclass(frozen=True)
class Kind:
    """The parts of a search that differ for each kind of model.

    Attributes:
        space: What each parameter may be.
        objective: What a score is, in words.
        settings: Further settings that scores depend on.
        configure: Puts values into the settings of a run.
        decode: Decodes folds for all trials; None where they read no slices.
        train: Trains a trial in its folder and scores it on its validation folds.
        run: Trains and tests.
        tested_by: Name of the score that tells the best settings and the defaults apart.
        gain: The first run's test score minus the second's, given the group of each source id.
        max_epochs: Most epochs of a trial.
    """

    space: Space
    objective: str
    settings: Mapping[str, Any]
    configure: Callable[[Any, dict[str, Any]], Any]
    decode: Callable[[tuple[FoldName, ...]], Slices] | None
    train: Callable[[Any, OpenRun], float]
    run: Callable[[Any], RunMetrics]
    tested_by: str
    gain: Callable[[RunFolder, RunFolder, Mapping[str, str]], Gain]
    max_epochs: int


def run_search(config: Search, make_kind: Callable[[], Kind]) -> int:
    """Runs a search for a command, prints what it found or its error; returns the exit code.

    `make_kind` may raise for a mistake in the settings.
    """
    return reported(lambda: _run_search(config, make_kind()))


def trial_splits(run: Run, *, cv: int) -> list[Split]:
    """Returns the folds of each part that scores a trial: the test folds are in none.

    Raises:
        ValueError: If there are too few folds for so many parts, the folds overlap, or a trial
            would have no validation folds to be scored on.
    """
    if isinstance(run, UnetRun) and run.choose_on != "validation":
        raise ValueError(f"`choose_on` must be validation in a search. Received: {run.choose_on}")
    if not cv:
        return [Split.of(run)]
    held_out = (*run.test_folds, *run.unused_folds)
    pool = [fold for fold in range(FOLDS) if fold not in held_out]
    if not 2 <= cv <= len(pool):
        raise ValueError(f"`cv` must be 0, or 2 to {len(pool)} parts. Received: {cv}")
    vals = [tuple(pool[part::cv]) for part in range(cv)]
    return [
        Split.holding_out(val=val, test=run.test_folds, unused=run.unused_folds) for val in vals
    ]


def _run_search(config: Search, kind: Kind) -> int:
    manifest, folder = read_manifest(config.run.records), search_folder(config)
    splits = trial_splits(config.run, cv=config.cv)
    tried = [fold for split in splits for fold in (*split.val, *split.test)]
    check_not_learned_from(config.run.weights, config.run.records, tried)
    if not is_worker():
        warn_of_no_effect(config.run)
    trials = search(
        folder,
        kind.space,
        _Trials(config.run, kind, splits),
        strategy=config.strategy,
        trials=config.trials,
        max_failures=config.max_failures,
        max_epochs=kind.max_epochs,
        seed=config.search_seed,
        workers=worker_names(config.workers) if config.workers else None,
        definition={
            "run": json.loads(settings_text(config.run)),
            "cv": config.cv,
            "objective": kind.objective,
            **kind.settings,
            "data_manifest_sha256": manifest_sha256(config.run.records),
        },
    )
    return 0 if is_worker() else _conclude(config, kind, trials, protocol=manifest.protocol)


def _conclude(config: Search, kind: Kind, trials: list[Trial], *, protocol: str) -> int:
    """Writes down what a search found and prints it; returns the exit code."""
    folder, best = search_folder(config), best_trial(trials)
    failed = [trial for trial in trials if trial.error]
    for trial in failed:
        print(f"Trial {trial.name} failed: {trial.error}", file=sys.stderr)
    if best is not None:
        settings = kind.configure(config.run, best.values)
        settings = dataclasses.replace(settings, row=f"{folder.name}-best-{best.name}")
        write_text(folder / BEST_NAME, settings_text(settings))
    report = partial(
        write_search_report, folder, kind.space, trials, objective=kind.objective, protocol=protocol
    )
    page = report()
    if config.test and best is not None:  # after the report: a test that fails leaves it there
        page = report(tested=_test(kind, settings, config.run, name=folder.name))
    print(f"Report: {page}")
    if best is None:
        print(f"No trial of {len(trials)} came to a score", file=sys.stderr)
        return 1
    found = f"trial {best.name}, {kind.objective} {best.score:.4f}"
    print(f"Best: {found}: --config {folder / BEST_NAME}")
    if len(failed) > config.max_failures:
        print(f"More than {config.max_failures} trials failed: the search stopped", file=sys.stderr)
        return 1
    return 0


@dataclass(frozen=True)
class _Trials:
    """Trains trials as runs of their own, on slices that are decoded once for all of them."""

    base: Run
    kind: Kind
    splits: list[Split]

    def __call__(self, values: dict[str, Any], folder: Path, epochs: int | None) -> list[float]:
        if epochs is not None:
            values = values | {"epochs": epochs}
        settings = self.kind.configure(self.base, values)
        scores = []
        for part, split in enumerate(self.splits):
            place = RunFolder(folder.parent, folder.name, f"part{part}", settings.fit.seed)
            run = OpenRun(place, split, self._decoded)
            scores.append(self.kind.train(settings, run))
        return scores

    @cached_property
    def _decoded(self) -> Slices | None:
        first = self.splits[0]
        return self.kind.decode((*first.train, *first.val)) if self.kind.decode else None


def _test(kind: Kind, best: Run, defaults: Run, *, name: str) -> TestResult:
    """Trains and tests the best settings and the defaults; says what was gained."""
    defaults = dataclasses.replace(defaults, row=f"{name}-defaults")
    results = {}
    for run in (best, defaults):
        results[run.row] = kind.run(run)
        print_result(results[run.row])
    groups = {row.source_id: row.group_id for row in read_folds(defaults.records)}
    first, second = (folder_of(run) for run in (best, defaults))
    gain = kind.gain(first, second, groups)
    interval = f"{gain.difference.text(sign=True)}, p {p_text(gain.p_value)}"
    print(f"Gain in {kind.tested_by} on the test folds: {interval}")
    return TestResult(results, kind.tested_by, gain)
