"""Hyper-parameter search on keras-tuner: killed at any time, on one machine or many.

The caller says what a trial trains and how it is scored. keras-tuner chooses the values and hands
out the trials. Here its oracles are made to survive a kill. Knows nothing of tasks, models or
folds.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import logging
import math
import time
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from stroke_tf.files import flat, locked, plain, read_json, write_json
from stroke_tf.processes import is_worker
from stroke_tf.search.oracles import ORACLES, Tuner, decoded, first_bracket, hyperparameters
from stroke_tf.search.settings import Strategy
from stroke_tf.search.spaces import Space

TrainTrial = Callable[[dict[str, Any], Path, int | None], Sequence[float]]
"""Trains with some values in a folder, for so many epochs at most where that is given (Hyperband),
and returns its score, or those of the parts of a cross-validation. Larger is better."""

RESULT_NAME = "result.json"
SEARCH_NAME = "search.json"
_STARTS_NAME = "starts"
_MOST_STARTS = 3  # a trial whose process died so often has failed: it takes too much memory

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trial:
    """One trial that has come to its end.

    Attributes:
        name: Its number, "00" for the first; its folder is `trial_<name>`.
        values: What it was trained with.
        scores: Its score, or those of the parts of a cross-validation; none if it failed.
        seconds: Time it took, since it was last started.
        error: Why it failed, in a line, or None.
    """

    name: str
    values: dict[str, Any]
    scores: tuple[float, ...]
    seconds: float
    error: str | None = None

    @property
    def score(self) -> float:
        """The mean of its scores; NaN if it failed."""
        return sum(self.scores) / len(self.scores) if self.scores else math.nan


def search(
    folder: Path,
    space: Space,
    train_trial: TrainTrial,
    *,
    strategy: Strategy = "random",
    trials: int = 24,
    max_failures: int = 5,
    max_epochs: int = 20,
    seed: int = 0,
    workers: Collection[str] | None = None,
    definition: Mapping[str, Any],
) -> list[Trial]:
    """Runs a search to its end, or a worker's share of it.

    Called again after a kill it goes on: finished trials stay, one that was running is run again
    in its folder, where `fit` resumes it. With more `trials` it goes on too.

    The role of the process is keras-tuner's: with KERASTUNER_ORACLE_IP, KERASTUNER_ORACLE_PORT and
    KERASTUNER_TUNER_ID set it is the chief (id "chief"), which hands out trials, or else a worker.
    A worker or a chief that was killed is to be started again under the same id: the worker gets
    its trial back, and workers wait for the chief.

    Args:
        folder: Folder of the search, seen by chief and workers. A trial leaves
            `trial_<name>/result.json` there.
        space: What each parameter may be.
        train_trial: Trains and scores.
        strategy: How values are chosen.
        trials: Most trials; a grid or a Hyperband that is complete ends before.
        max_failures: How many trials may fail before the search stops.
        max_epochs: Epochs of Hyperband's longest trials.
        seed: Seed of the values.
        workers: Ids of a chief's workers: what others were running is run by these. None waits
            for all that were running when the chief was killed.
        definition: What else makes the search what it is, of JSON's types.

    Returns:
        All trials that have ended, in their order.

    Raises:
        RuntimeError: If another process has the search open.
        ValueError: If the folder holds a search with another definition, space, strategy or seed
            (the message has the difference).
    """
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"strategy": strategy, "seed": seed, "space": plain(space), **plain(definition)}
    if strategy == "hyperband":
        whole["max_epochs"] = max_epochs
    grid = strategy == "grid"
    oracle = ORACLES[strategy](
        folder,
        trials=trials,
        max_failures=max_failures,
        workers=workers,
        hyperparameters=hyperparameters(space, grid=grid),
        seed=seed + 1,  # keras-tuner takes 0 for "any"
        **{"hyperband": {"max_epochs": max_epochs}}.get(strategy, {}),
        **{"bayesian": {"num_initial_points": max(3, trials // 3)}}.get(strategy, {}),
    )
    if strategy == "hyperband" and trials < (least := first_bracket(max_epochs)):
        _logger.warning(
            "Hyperband of %d epochs needs %d trials for its first bracket: with %d few or none are "
            "trained for long",
            *(max_epochs, least, trials),
        )
    decode = functools.partial(decoded, space, grid=grid)
    tuner = _Tuner(oracle, folder, train_trial=train_trial, decode=decode)
    if is_worker():
        check_definition(folder, whole)
        tuner.search()
    else:
        with locked(folder):
            check_definition(folder, whole)
            write_json(folder / SEARCH_NAME, whole)
            oracle.reload()
            tuner.search(verbose=0)
    return read_trials(folder)


def read_trials(folder: Path) -> list[Trial]:
    """Returns the trials of a search that have ended, in their order."""
    paths = folder.glob(f"trial_*/{RESULT_NAME}")
    found = [read_json(path) for path in paths]
    names = [field.name for field in dataclasses.fields(Trial)]
    trials = [Trial(**{name: values[name] for name in names}) for values in found]
    trials.sort(key=lambda trial: int(trial.name))  # more trials have longer names
    return [dataclasses.replace(trial, scores=tuple(trial.scores)) for trial in trials]


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Returns the trial of the highest score, the first of equal ones; None if all failed."""
    done = [trial for trial in trials if trial.error is None]
    return max(done, key=lambda trial: trial.score, default=None)


def check_definition(folder: Path, definition: Mapping[str, Any]) -> None:
    """Raises ValueError with the difference if the folder holds another search."""
    path = folder / SEARCH_NAME
    if not path.is_file():
        return
    before, now = flat(read_json(path)), flat(definition)
    changed = [
        f"{key} {before.get(key, 'not there')!r} -> {now.get(key, 'not there')!r}"
        for key in sorted(before | now)
        if before.get(key, ...) != now.get(key, ...)
    ]
    if changed:
        raise ValueError(
            f"{folder}: a search goes on with the space, settings and data it began with; choose "
            f"another name or delete the folder. Received (before -> now): {'; '.join(changed)}"
        )


class _Tuner(Tuner):
    """Runs trials one after another, each in its folder."""

    def __init__(
        self,
        oracle: Any,
        folder: Path,
        *,
        train_trial: TrainTrial,
        decode: Callable[[Mapping[str, Any]], dict[str, Any]],
    ):
        super().__init__(oracle, folder)
        self._folder, self._train_trial, self._decode = folder, train_trial, decode

    def run_trial(self, trial: Any, **options: Any) -> dict[str, float]:
        """Runs a trial and writes down its result, a failure too."""
        folder = self._folder / f"trial_{trial.trial_id}"
        values = trial.hyperparameters.values
        started = time.monotonic()
        result = Trial(trial.trial_id, self._decode(values), scores=(), seconds=0.0)
        for ended in read_trials(self._folder):  # its process died before the oracle heard of it
            if plain(ended) | {"scores": [], "seconds": 0.0} == plain(result):
                return {"score": ended.score}
        details = ""
        try:
            with _counted_start(folder):
                scores = self._train_trial(result.values, folder, values.get("tuner/epochs"))
            if not all(math.isfinite(score) for score in scores):
                raise FloatingPointError(f"a trial's scores must be finite. Received: {scores}")
            result = dataclasses.replace(result, scores=tuple(map(float, scores)))
        except Exception as error:
            details = traceback.format_exc()
            line = f"{type(error).__name__}: {error}".splitlines()[0]
            result = dataclasses.replace(result, error=line)
            raise  # to keras-tuner, which takes the trial for failed
        finally:
            if result.scores or result.error:
                result = dataclasses.replace(result, seconds=time.monotonic() - started)
                write_json(folder / RESULT_NAME, plain(result) | {"traceback": details})
                for model in folder.rglob("*.keras"):  # needed until then, for a trial that goes on
                    model.unlink()
                _log(result)
            keras.utils.clear_session()  # the next trial may need all the memory there is
            gc.collect()
        return {"score": result.score}


@contextlib.contextmanager
def _counted_start(folder: Path) -> Iterator[None]:
    """Counts how often a trial was started and its process died in it, and refuses the fourth time.

    A process that the kernel kills for its memory cannot report that.
    """
    folder.mkdir(exist_ok=True)
    path = folder / _STARTS_NAME
    starts = path.stat().st_size if path.is_file() else 0
    if starts >= _MOST_STARTS:
        path.unlink()
        raise MemoryError(f"its process died {starts} times, probably of too little memory")
    with path.open("ab") as file:
        file.write(b".")
    try:
        yield
    finally:
        path.unlink()


def _log(trial: Trial) -> None:
    said = f"failed: {trial.error}" if trial.error else f"score {trial.score:.4f}"
    values = ", ".join(f"{name} {value}" for name, value in trial.values.items())
    _logger.info("Trial %s: %s, %.0f s; %s", trial.name, said, trial.seconds, values)
