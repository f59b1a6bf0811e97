"""The frame of every training run, around its model: folds, run folder, figures, result."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.manifest import FOLDS, FoldName, read_folds, read_hashed_manifest
from stroke_tf.run_folder import CAUTIONS_NAME, DATA_NAME, RunFolder, RunMetrics
from stroke_tf.runs.no_effect import warn_of_no_effect
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.zoo.learned_from import check_not_learned_from

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from stroke_tf.data.memory import Slices


Run: TypeAlias = ClassifierRun | UnetRun


@dataclass(frozen=True)
class Split:
    """Which folds a run trains on, is tuned on and is tested on."""

    train: tuple[FoldName, ...]
    val: tuple[FoldName, ...]
    test: tuple[FoldName, ...]

    @classmethod
    def of(cls, run: Run) -> Split:
        """Returns the split of a run, see `holding_out`.

        Raises:
            ValueError: As there; also if a run with validation folds chooses on other parts.
        """
        validates = isinstance(run, ClassifierRun) or run.choose_on == "validation"
        if run.val_folds and not validates:
            raise ValueError(
                "`val_folds` must be empty where `choose_on` is other-parts, as a cross-validation "
                f"makes its runs. Received: {list(run.val_folds)}"
            )
        return cls.holding_out(
            val=run.val_folds, test=run.test_folds, unused=run.unused_folds, validates=validates
        )

    @classmethod
    def holding_out(
        cls,
        *,
        val: tuple[int, ...],
        test: tuple[FoldName, ...],
        unused: tuple[int, ...] = (),
        validates: bool = True,
    ) -> Split:
        """Returns the split that trains on all folds but these.

        Args:
            val: Folds to be tuned on.
            test: Folds to be tested on.
            unused: Folds that are left alone.
            validates: Whether folds to be tuned and tested on are needed.

        Raises:
            ValueError: If a fold is for two uses, or none is left to train on.
        """
        held_out = (*val, *test, *unused)
        train = tuple(fold for fold in range(FOLDS) if fold not in held_out)
        needed = (train, val, test) if validates else (train,)
        if not all(needed) or len(set(held_out)) < len(held_out):
            told = f"validation {list(val)}, test {list(test)}"
            raise ValueError(
                "validation and test folds must be different, and leave some to train on. "
                f"Received: {told}{f', unused {list(unused)}' if unused else ''}"
            )
        return cls(train, val, test)


@dataclass(frozen=True)
class Outcome:
    """Results of a run on its test folds, and the figures and files beside its model.

    Attributes:
        predictions: One row a slice, its id first.
        metrics: The numbers with their 95 % intervals.
        threshold: Score from which on a slice, or a pixel, is positive; None where there is none.
        figures: Figures by name.
        files: Values by the name of their JSON file.
        seconds_before: Time of what was taken over from another run.
    """

    predictions: pd.DataFrame
    metrics: dict[str, Metric]
    threshold: float | None = None
    figures: dict[str, Figure] = field(default_factory=dict)
    files: dict[str, Any] = field(default_factory=dict)
    seconds_before: float = 0.0


@dataclass(frozen=True)
class OpenRun:
    """A run at work.

    Attributes:
        folder: Where it is kept.
        split: Its folds.
        decoded: Slices that it shares with others, if any.
        sha256: SHA-256 of the manifest of its records; empty where no run is kept.
    """

    folder: RunFolder
    split: Split
    decoded: Slices | None = None
    sha256: str = ""


def keep_or_run(config: Run, work: Callable[[OpenRun], Outcome]) -> RunMetrics:
    """Returns the result of a run that is done already, or opens its folder and does the work.

    The folder is locked meanwhile; its metrics are written last.

    Args:
        config: The run's settings.
        work: Trains and tests in the run's folder.

    Raises:
        FileNotFoundError: If the records are missing.
        RuntimeError: If another process has the run open.
        ValueError: If the folder was started with other settings or data, the folds overlap, or
            the weights have learned from patients of its validation or test.
    """
    from stroke_tf.evaluation.cautions import cautions
    from stroke_tf.reporting.figures import figure_history

    folder, settings, start = folder_of(config), settings_of(config), time.monotonic()
    split = Split.of(config)
    manifest, sha256 = read_hashed_manifest(config.records)
    known: dict[str, Any] = {"data_manifest_sha256": sha256, "defaults": defaults_of(config)}
    if done := folder.kept(settings, **known):
        return done
    check_not_learned_from(config.weights, config.records, (*config.val_folds, *config.test_folds))
    warn_of_no_effect(config)
    with folder.opened(settings, **known):
        outcome = work(OpenRun(folder, split, sha256=sha256))
        histories = {name: figure_history(history) for name, history in folder.histories().items()}
        result = RunMetrics(
            experiment=folder.experiment,
            row=folder.row,
            seed=folder.seed,
            protocol=manifest.protocol,
            split=dataclasses.asdict(split),
            n=len(outcome.predictions),
            threshold=outcome.threshold,
            metrics=outcome.metrics,
            wall_seconds=time.monotonic() - start + outcome.seconds_before,
            data_manifest_sha256=sha256,
        )
        figures = {**histories, **outcome.figures}
        rows = {row.source_id: row for row in read_folds(config.records)}
        told = cautions(outcome.predictions, rows, manifest, classes=config.classes)
        files = {**outcome.files, DATA_NAME: manifest.facts(), CAUTIONS_NAME: told}
        folder.finish(result, outcome.predictions, figures=figures, files=files)
    return result


def folder_of(config: Run) -> RunFolder:
    """Returns where a run is kept."""
    return RunFolder(config.out, config.experiment, config.row_name, config.fit.seed)


def settings_of(config: Run) -> dict[str, Any]:
    """Returns the settings that define a run. Where the run is kept is not one of them."""
    settings = dataclasses.asdict(config)
    return {key: value for key, value in settings.items() if key not in ("records", "out")}


def defaults_of(config: Run) -> dict[str, Any]:
    """Returns the defaults of a run's settings: of those that an older version did not have."""
    return settings_of(ClassifierRun() if isinstance(config, ClassifierRun) else UnetRun())


def settings_text(config: Run) -> str:
    """Returns a run's settings as `--config` takes them, without the places of its files."""
    return json.dumps(settings_of(config), indent=2) + "\n"


def show_run(result: RunMetrics, *, out: Path) -> int:
    """Prints a run's result with what to know of it, and where it is kept; returns exit code 0."""
    folder = RunFolder(out, result.experiment, result.row, result.seed)
    print_result(result)
    for line in folder.cautions():
        print(f"Beware: {line}")
    print(f"Kept in {folder.path}")
    return 0


def print_result(result: RunMetrics) -> None:
    """Prints a result with its n, protocol and seed, and 95 % intervals."""
    print(
        f"{result.experiment}/{result.row}: n {result.n}, protocol {result.protocol}, "
        f"seed {result.seed}, {result.wall_seconds:.0f} s"
    )
    for name, (value, low, high) in result.metrics.items():
        print(f"  {name:24} {value:.3f}  [{low:.3f}, {high:.3f}]")
