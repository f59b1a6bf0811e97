"""The settings of hyper-parameter searches. Imports nothing heavy, so that `--help` is quick."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, TypeAlias, TypeVar

import tyro

from stroke_tf.runs.settings import ClassifierRun, UnetRun, small
from stroke_tf.search.spaces import ClassifierSpace, UnetSpace

Strategy = Literal["random", "bayesian", "grid", "hyperband"]
"""How values are chosen: the keys of ORACLES."""

Run: TypeAlias = ClassifierRun | UnetRun
_SMOKE_TRIALS = 2


@dataclass(frozen=True)
class SearchPlan:
    """How to search.

    Attributes:
        search: Name of the search; empty takes the strategy.
        strategy: How values are chosen.
        trials: Most trials; a grid or a Hyperband that is complete ends before.
        cv: Parts of the cross-validation that scores a trial, over all folds but the test folds;
            0 scores it on the validation folds.
        max_failures: How many trials may fail before the search stops.
        workers: Processes on this machine that run trials, under a chief; 0 runs them in this one.
        search_seed: Seed of the values.
        test: At the end train the best settings and the defaults, and test both on the test folds,
            which the search has not seen.
        smoke: Only see that everything runs: two trials in small, on phantoms where there are no
            records.
    """

    search: str = ""
    strategy: Strategy = "random"
    trials: int = 24
    cv: int = 0
    max_failures: int = 5
    workers: int = 0
    search_seed: int = 0
    test: bool = False
    smoke: bool = False


@dataclass(frozen=True)
class ClassifierSearch(SearchPlan):
    """A search for the settings of a classifier.

    Attributes:
        run: What is searched around: the flags of train_classifier.
        space: What each parameter may be; one without values keeps the run's.
        objective: Validation ROC AUC, or the best recall at a precision of at least the floor.
        precision_floor: That floor.
    """

    run: Annotated[ClassifierRun, tyro.conf.arg(name="")] = ClassifierRun(training="frozen")
    space: ClassifierSpace = ClassifierSpace()
    objective: Literal["auc", "recall-at-precision"] = "auc"
    precision_floor: float = 0.5


@dataclass(frozen=True)
class UnetSearch(SearchPlan):
    """A search for the settings of a U-Net.

    Attributes:
        run: What is searched around: the flags of train_unet.
        space: What each parameter may be; one without values keeps the run's.
        objective: Validation IoU, the mean of the lesion classes; or ROC AUC of the slices' scores,
            which need --score mask.
    """

    run: Annotated[UnetRun, tyro.conf.arg(name="")] = UnetRun()
    space: UnetSpace = UnetSpace()
    objective: Literal["lesion-iou", "auc"] = "lesion-iou"


Search: TypeAlias = ClassifierSearch | UnetSearch


def search_folder(config: Search) -> Path:
    """Returns where a search is kept."""
    name = config.search or config.strategy
    return config.run.out / config.run.experiment / f"search-{name}-s{config.search_seed}"


_Search = TypeVar("_Search", ClassifierSearch, UnetSearch)


def small_search(config: _Search, records: Path) -> _Search:
    """Returns a search that only shows that everything works, on some records."""
    run = small(replace(config.run, records=records))
    return replace(config, run=run, trials=min(config.trials, _SMOKE_TRIALS))
