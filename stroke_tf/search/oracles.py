"""All that the package takes from keras-tuner: oracles, which choose values, and a loop of trials.

Both are made safe to kill at any time. Nothing else imports keras-tuner.
"""

from __future__ import annotations

import functools
import itertools
import math
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import grpc
import keras_tuner

from stroke_tf.files import read_json, write_json
from stroke_tf.processes import has_role, is_worker
from stroke_tf.search.spaces import Range, Space, rounded

REACHES = {
    "Oracle.save": "writes trials and state as one file, replaced as a whole",
    "Oracle.reload": "reads that file; what was running is handed out again",
    "Oracle.trials": "goes into that file and comes from it; tells how many failed",
    "Oracle.ongoing_trials": "tells whether others are still at work",
    "Oracle.tuner_ids": "keeps the chief there for a worker that waits",
    "Oracle.hyperparameters": "names what a grid combines",
    "Oracle.max_trials": "is set later, since Hyperband's constructor does not take it",
    "state['ongoing_trials']": "tells who was running what",
    "state['retry_queue']": "has what is handed out next, from its end",
    "engine.trial.Trial.from_state": "reads back what `get_state` of a trial gave",
    "Tuner.save": "does nothing: the oracle keeps everything",
    "Tuner.oracle": "is the chief's client in a worker; it is made to wait for a chief that died",
}
"""Members of keras-tuner that its documentation does not name, and their use here.

It has no documented way to keep a search whole when it is killed. Its version is pinned because of
these members, and each of them has a test.
"""

_STATE_NAME = "state.json"
_IDLE_SECONDS = 0.05


class _Careful(keras_tuner.Oracle):
    """An oracle that may be killed at any time, and that stops after too many failures.

    keras-tuner's own oracles write their files in place and one by one, and give up the trials that
    were running. Here a restarted chief keeps the trials of its workers, which still run them.
    """

    def __init__(
        self,
        folder: Path,
        *,
        trials: int,
        max_failures: int,
        workers: Collection[str] | None,
        **options: Any,
    ):
        super().__init__(
            objective=keras_tuner.Objective("score", "max"),
            max_consecutive_failed_trials=sys.maxsize,  # ours are counted, and end without a raise
            **options,
        )
        self.max_trials = trials
        self._file, self._max_failures, self._workers = folder / _STATE_NAME, max_failures, workers

    def save(self) -> None:
        trials = [trial.get_state() for trial in self.trials.values()]
        write_json(self._file, self.get_state() | {"trials": trials})

    def reload(self) -> None:
        if not self._file.is_file():
            return
        state = read_json(self._file)
        trials = map(keras_tuner.engine.trial.Trial.from_state, state["trials"])
        self.trials = {trial.trial_id: trial for trial in trials}
        running = [name for name, trial in self.trials.items() if trial.status == "RUNNING"]
        workers = {
            trial: worker
            for worker, trial in state["ongoing_trials"].items()
            if has_role() and (self._workers is None or worker in self._workers)
        }
        queue = sorted(running, key=lambda name: name not in workers)
        self.set_state(state | {"ongoing_trials": {}, "retry_queue": queue[::-1]})
        for worker in filter(None, map(workers.get, queue)):
            self.create_trial(worker)

    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> Any:
        trial = super().update_trial(trial_id, metrics, step)
        self.save()  # a worker reports the score once only
        return trial

    def create_trial(self, tuner_id: str) -> Any:
        trial = super().create_trial(tuner_id)
        if trial.status == "STOPPED" and self.ongoing_trials:
            trial.status = "IDLE"  # all end together: a chief sleeps long if one ends first
            self.tuner_ids.add(tuner_id)
        return trial

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        failed = sum(trial.status == "FAILED" for trial in self.trials.values())
        if failed > self._max_failures:
            return {"status": "STOPPED"}
        return super().populate_space(trial_id)


class _GridOracle(keras_tuner.Oracle):
    """Every combination, the last parameter fastest.

    The grid of keras-tuner keeps its place in memory only: resumed, it ends at once.
    """

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        space = self.hyperparameters.space
        grid = itertools.product(*(parameter.values for parameter in space))
        values = next(itertools.islice(grid, len(self.trials), None), None)
        if values is None:
            return {"status": "STOPPED"}
        names = [parameter.name for parameter in space]
        return {"status": "RUNNING", "values": dict(zip(names, values, strict=True))}


class Tuner(keras_tuner.Tuner):
    """The loop that asks the oracle, or as a worker the chief, for trials and runs them."""

    def __init__(self, oracle: Any, folder: Path):
        super().__init__(oracle, directory=folder.parent, project_name=folder.name)
        if is_worker():
            self.oracle: Any = PatientClient(self.oracle)

    def save(self) -> None:
        """Leaves it to the oracle: there is nothing else to keep."""


class PatientClient:
    """A worker's client of the chief. It asks again if the chief died or has no trial yet."""

    def __init__(self, client: Any):
        self._client = client

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return functools.partial(_patiently, attribute) if callable(attribute) else attribute


def _patiently(request: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    while True:
        try:
            answer = request(*arguments, **options)  # waits for an hour until there is a chief
            if getattr(answer, "status", None) != "IDLE":
                return answer
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        time.sleep(_IDLE_SECONDS)


def _careful(oracle: type) -> Callable[..., Any]:
    return type(f"Careful{oracle.__name__}", (_Careful, oracle), {})


ORACLES: dict[str, Callable[..., Any]] = {
    "random": _careful(keras_tuner.oracles.RandomSearchOracle),
    "bayesian": _careful(keras_tuner.oracles.BayesianOptimizationOracle),
    "grid": _careful(_GridOracle),
    "hyperband": _careful(keras_tuner.oracles.HyperbandOracle),
}
"""The class of the oracle of each strategy."""


def first_bracket(max_epochs: int) -> int:
    """Returns the number of trials in the first bracket of Hyperband, all its rounds together."""
    rounds = next(number for number in itertools.count() if 3**number > max_epochs)
    share = math.ceil(1 + math.log(max_epochs, 3)) / rounds
    return sum(math.ceil(share * 3**number) for number in range(rounds))


def hyperparameters(space: Space, *, grid: bool) -> Any:
    """Returns a space in keras-tuner's terms: a range is a float, all else the index of a value.

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
    """Returns the values that stand for those of keras-tuner, see `hyperparameters`."""
    chosen = {}
    for name, values in space.items():
        if isinstance(values, Range) and not grid and values.low < values.high:
            chosen[name] = rounded(found[name])
        else:
            chosen[name] = _options(values)[found.get(name, 0)]
    return chosen


def _options(values: Range | tuple[Any, ...]) -> tuple[Any, ...]:
    return values.grid() if isinstance(values, Range) else values
