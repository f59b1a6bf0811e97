"""keras-tuner's oracles, which choose the values of trials, made safe to kill at any time."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import keras_tuner

from stroke_tf.files import write_json
from stroke_tf.search.spaces import Range, Space, rounded

_STATUS = keras_tuner.engine.trial.TrialStatus


class _Careful(keras_tuner.Oracle):
    """What oracles lack to be killed at any time, and to stop after too many failures.

    keras-tuner writes its files in place, a trial's before its own, and takes what was running for
    lost: killed between the two writes, it would count a trial that nobody runs. A chief keeps
    what its workers are running: they are still at it.
    """

    max_failures = 0
    workers: Collection[str] | None = None
    ongoing_trials: dict[str, Any]

    def save(self) -> None:
        write_json(Path(self._get_oracle_fname()), self.get_state())

    def _save_trial(self, trial: Any) -> None:
        write_json(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", trial.get_state())

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self._held = dict(self.ongoing_trials)

    def reload(self) -> None:
        super().reload()
        running = {name for name, it in self.trials.items() if it.status == _STATUS.RUNNING}
        if is_chief():
            self.ongoing_trials = {
                worker: trial
                for worker, trial in self._held.items()
                if trial.trial_id in running and (self.workers is None or worker in self.workers)
            }
            self.tuner_ids = set(self.ongoing_trials)
        held = {trial.trial_id for trial in self.ongoing_trials.values()}
        self._retry_queue = sorted(running - held, reverse=True)  # it is taken from the end
        for name, trial in sorted(self.trials.items()):
            self._record_values(trial)
            if name not in self.start_order:
                self.start_order.append(name)
            if name not in running and name not in self.end_order:
                self.end_order.append(name)

    def end_trial(self, trial: Any) -> None:
        # A worker repeats the request if the chief died before it answered.
        if trial.trial_id in {it.trial_id for it in self.ongoing_trials.values()}:
            super().end_trial(trial)

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        failed = sum(trial.status == _STATUS.FAILED for trial in self.trials.values())
        if failed > self.max_failures:
            return {"status": _STATUS.STOPPED}
        return super().populate_space(trial_id)


class _GridOracle(keras_tuner.Oracle):
    """Every combination, the last parameter fastest.

    That of keras-tuner keeps its place in memory only, and ends at once when it is resumed.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        names = [it.name for it in self.hyperparameters.space]
        grid = itertools.product(*(it.values for it in self.hyperparameters.space))
        values = next(itertools.islice(grid, len(self.trials), None), None)
        if values is None:
            return {"status": _STATUS.STOPPED}
        return {"status": _STATUS.RUNNING, "values": dict(zip(names, values, strict=True))}


def _careful(oracle: type) -> Callable[..., Any]:
    return type(f"Careful{oracle.__name__}", (_Careful, oracle), {})


ORACLES: dict[str, Callable[..., Any]] = {
    "random": _careful(keras_tuner.oracles.RandomSearchOracle),
    "bayesian": _careful(keras_tuner.oracles.BayesianOptimizationOracle),
    "grid": _careful(_GridOracle),
    "hyperband": _careful(keras_tuner.oracles.HyperbandOracle),
}
"""What makes the oracle of each strategy."""


def first_bracket(hyperband: Any) -> int:
    """Returns the number of trials in the first bracket of Hyperband, all its rounds together."""
    bracket = hyperband._get_num_brackets() - 1
    rounds = range(hyperband._get_num_rounds(bracket))
    return sum(hyperband._get_size(bracket, number) for number in rounds)


def hyperparameters(space: Space, *, grid: bool) -> Any:
    """Returns a space in keras-tuner's terms: a range is a float, all else the place of a value.

    Its own choices hold values of one type only, and take booleans for integers.
    """
    found = keras_tuner.HyperParameters()
    for name, values in space.items():
        if isinstance(values, Range) and not grid and values.low < values.high:
            sampling = "log" if values.log else "linear"
            found.Float(name, values.low, values.high, sampling=sampling)
        elif len(options := _options(values)) > 1:
            found.Choice(name, list(range(len(options))))
    return found


def decoded(space: Space, found: Mapping[str, Any], *, grid: bool) -> dict[str, Any]:
    """Returns the values that keras-tuner means."""
    chosen = {}
    for name, values in space.items():
        if isinstance(values, Range) and not grid and values.low < values.high:
            chosen[name] = rounded(found[name])
        else:
            chosen[name] = _options(values)[found.get(name, 0)]
    return chosen


def _options(values: Range | tuple[Any, ...]) -> tuple[Any, ...]:
    return values.grid() if isinstance(values, Range) else values


def is_worker() -> bool:
    """Returns whether this process only runs the trials that a chief hands out."""
    return _has_chief() and not is_chief()


def _has_chief() -> bool:
    return "KERASTUNER_ORACLE_IP" in os.environ


def is_chief() -> bool:
    """Returns whether this process hands out the trials that workers run."""
    if not _has_chief():
        return False
    if not (name := os.environ.get("KERASTUNER_TUNER_ID")):
        raise ValueError(
            "KERASTUNER_TUNER_ID must be set with KERASTUNER_ORACLE_IP. Received: none"
        )
    return "chief" in name  # keras-tuner goes by the name too
