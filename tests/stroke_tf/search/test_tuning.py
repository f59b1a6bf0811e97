import contextlib
import json
import math

import pytest

from stroke_tf.search import oracles, tuning
from stroke_tf.search.spaces import Range
from stroke_tf.search.tuning import Trial, best_trial, read_trials, search

SPACE = {
    "rate": Range(1e-4, 1e-1, log=True),
    "units": (8, 16),
    "name": ("x", None),
    "flag": (False, True),
    "set": ((1, 2),),
}
STRATEGIES = list(oracles.ORACLES)
QUICK = [name for name in STRATEGIES if name != "bayesian"]  # whose models take their time


@pytest.fixture(autouse=True)
def nothing_to_free(monkeypatch):
    monkeypatch.setattr(tuning.keras.utils, "clear_session", lambda: None)
    monkeypatch.setattr(tuning.gc, "collect", lambda: None)


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


class Training:
    """A stand-in for training that remembers what it was asked for."""

    def __init__(self, *, fail=lambda values: False, kill_at=None):
        self.asked, self.finished = [], []
        self._fail, self._kill_at = fail, kill_at

    def __call__(self, values, folder, epochs):
        self.asked.append(folder.name)
        if len(self.asked) == self._kill_at:
            raise Killed
        if self._fail(values):
            raise ValueError("no such thing\nand more of it")
        self.finished.append(folder.name)
        return [values["rate"], 2 * values["rate"]]


def run(folder, training, *, strategy="random", trials=6, definition=None, **options):
    definition = definition or {"data": "a"}
    space = options.pop("space", SPACE)
    return search(
        folder / "s",
        space,
        training,
        strategy=strategy,
        trials=trials,
        max_epochs=9,
        definition=definition,
        **options,
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_search_runs_the_trials_asked_for_inside_its_space(tmp_path, strategy):
    training = Training()
    trials = run(tmp_path, training, strategy=strategy, trials=4)
    assert len(trials) == len(training.finished) == len(set(training.finished)) == 4
    for trial in trials:
        assert trial.error is None
        assert 1e-4 <= trial.values["rate"] <= 1e-1
        assert trial.values["units"] in (8, 16)
        assert trial.values["name"] in ("x", None)
        assert trial.values["flag"] in (False, True)
        assert isinstance(trial.values["flag"], bool)
        assert trial.values["set"] == [1, 2]
        assert trial.score == pytest.approx(1.5 * trial.values["rate"])
    assert len({json.dumps(trial.values) for trial in trials}) > 1
    best = best_trial(trials)
    assert best.score == max(trial.score for trial in trials)


def test_hyperband_says_how_long_to_train(tmp_path):
    epochs = []

    def training(values, folder, most):
        epochs.append(most)
        return [values["rate"]]

    run(tmp_path, training, strategy="hyperband", trials=50)
    assert set(epochs) == {1, 3, 9}
    assert epochs.count(1) > epochs.count(9) > 0


def test_hyperband_says_how_many_trials_its_first_bracket_needs(tmp_path, caplog):
    run(tmp_path / "few", Training(), strategy="hyperband", trials=5)
    # 9 trials of 1 epoch, the best 3 for 3 epochs, the best for 9.
    assert "Hyperband of 9 epochs needs 13 trials for its first bracket: with 5" in caplog.text
    caplog.clear()
    run(tmp_path / "enough", Training(), strategy="hyperband", trials=13)
    assert not caplog.text


def test_a_grid_is_complete_and_ends_by_itself(tmp_path):
    space = {"rate": Range(0.1, 0.3, points=3), "units": (8, 16)}
    trials = run(tmp_path, Training(), strategy="grid", trials=50, space=space)
    found = [(trial.values["rate"], trial.values["units"]) for trial in trials]
    assert found == [(0.1, 8), (0.1, 16), (0.2, 8), (0.2, 16), (0.3, 8), (0.3, 16)]


@pytest.mark.slow
def test_bayesian_search_leaves_random_values_in_time(tmp_path):
    space = {"rate": Range(0.0, 1.0)}
    trials = run(tmp_path, Training(), strategy="bayesian", trials=12, space=space)
    later = [trial.values["rate"] for trial in trials[6:]]
    assert sum(later) / len(later) > 0.75  # the best is at 1


def test_equal_seeds_give_equal_values(tmp_path):
    first, again, other = (
        [trial.values for trial in run(tmp_path / name, Training(), seed=seed, trials=3)]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert first == again != other


@pytest.mark.parametrize("strategy", QUICK)
def test_a_search_killed_in_a_trial_goes_on_there(tmp_path, strategy):
    training = Training(kill_at=3)
    with pytest.raises(Killed):
        run(tmp_path, training, strategy=strategy)
    done = {trial.name: trial for trial in read_trials(tmp_path / "s")}
    assert len(done) == 2
    again = Training()
    trials = run(tmp_path, again, strategy=strategy)
    assert again.asked[0] == training.asked[-1]
    assert not set(again.asked) & set(training.finished)
    assert len(trials) == 6
    assert {trial.name: trial for trial in trials if trial.name in done} == done


@pytest.mark.parametrize("strategy", QUICK)
def test_a_search_killed_at_any_write_ends_with_the_trials_asked_for(
    tmp_path, strategy, monkeypatch
):
    write = oracles.write_json
    space = {"rate": Range(0.1, 0.3, points=3), "units": (8, 16)}
    for kill_at in range(2, 18):
        writes = 0

        def write_or_die(path, values, kill_at=kill_at):
            nonlocal writes
            writes += 1
            if writes == kill_at:
                raise Killed
            write(path, values)

        folder = tmp_path / str(kill_at)
        first, second = Training(), Training()
        with monkeypatch.context() as patch:
            patch.setattr(oracles, "write_json", write_or_die)
            patch.setattr(tuning, "write_json", write_or_die)
            with contextlib.suppress(Killed):
                run(folder, first, strategy=strategy, trials=4, space=space)
        assert writes >= kill_at
        trials = run(folder, second, strategy=strategy, trials=4, space=space)
        assert len(trials) == 4, kill_at
        assert len(set(first.asked) & set(second.asked)) <= 1, kill_at
        assert len({json.dumps(trial.values) for trial in trials}) == 4 or strategy == "hyperband"


@pytest.mark.parametrize(("where", "kept"), [("write_json", True), ("_log", False)])
def test_models_of_a_trial_go_only_when_its_result_is_written(tmp_path, monkeypatch, where, kept):
    def training(values, folder, epochs):
        asked.append(folder.name)
        (folder / "model.keras").touch()
        return [values["rate"]]

    def kill(*args):
        if where == "_log" or args[0].name == "result.json":
            raise Killed

    asked = []
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(tuning, where, kill)
        run(tmp_path, training, trials=1)
    assert bool(list(tmp_path.rglob("model.keras"))) == kept
    assert len(run(tmp_path, training, trials=1)) == 1
    assert len(asked) == 1 + kept  # a result that is there is not computed again
    assert not list(tmp_path.rglob("model.keras"))


def test_a_finished_search_is_kept_and_can_be_made_longer(tmp_path):
    first = run(tmp_path, Training(), trials=3)
    idle = Training()
    assert run(tmp_path, idle, trials=3) == first
    assert idle.asked == []
    longer = run(tmp_path, idle, trials=12)
    assert longer[:3] == first
    assert [int(trial.name) for trial in longer] == list(range(12))


def test_a_failed_trial_is_written_down_and_the_search_goes_on(tmp_path):
    training = Training(fail=lambda values: values["units"] == 8)
    trials = run(tmp_path, training, max_failures=4, strategy="grid", trials=8)
    failed = [trial for trial in trials if trial.error]
    assert {trial.values["units"] for trial in failed} == {8}
    assert (len(failed), len(trials)) == (4, 8)
    assert failed[0].error == "ValueError: no such thing"
    assert math.isnan(failed[0].score)
    written = json.loads((tmp_path / "s" / f"trial_{failed[0].name}/result.json").read_text())
    assert "Traceback" in written["traceback"]
    assert best_trial(trials).values["units"] == 16


def test_a_search_stops_after_too_many_failures(tmp_path):
    trials = run(tmp_path, Training(fail=lambda values: True), max_failures=2, trials=9)
    assert len(trials) == 3
    assert best_trial(trials) is None


def test_a_score_that_is_no_number_is_a_failure(tmp_path):
    trials = run(tmp_path, lambda values, folder, epochs: [0.5, float("nan")], trials=2)
    assert [trial.error for trial in trials] == [
        "FloatingPointError: a trial's scores must be finite. Received: [0.5, nan]"
    ] * 2


def test_memory_that_gives_out_is_the_failure_of_that_trial_alone(tmp_path):
    def training(values, folder, epochs):
        if values["units"] == 16:
            raise MemoryError("Unable to allocate 20.0 TiB")
        return [1.0]

    trials = run(tmp_path, training, strategy="grid", trials=4, space={"units": (8, 16, 32)})
    assert [trial.error is None for trial in trials] == [True, False, True]


def test_a_trial_whose_process_dies_again_and_again_has_failed(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, Training(kill_at=1), trials=2)
    # A process that is really killed leaves its mark.
    mark = tmp_path / "s" / "trial_0" / "starts"
    assert not mark.exists()
    mark.write_bytes(b"...")
    trials = run(tmp_path, Training(), trials=2)
    assert "died 3 times" in trials[0].error
    assert trials[1].error is None


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"definition": {"data": "b"}}, "data 'a' -> 'b'"),
        ({"space": SPACE | {"units": (8, 32)}}, r"space.units \[8, 16\] -> \[8, 32\]"),
        ({"space": SPACE | {"more": (1, 2)}}, r"space.more 'not there' -> \[1, 2\]"),
        ({"strategy": "grid"}, "strategy 'random' -> 'grid'"),
        ({"seed": 3}, "seed 0 -> 3"),
    ],
)
def test_another_search_in_the_same_folder_is_refused_with_the_difference(
    tmp_path, options, difference
):
    before = run(tmp_path, Training(), trials=1)
    with pytest.raises(ValueError, match=difference):
        run(tmp_path, Training(), **({"trials": 1} | options))
    assert read_trials(tmp_path / "s") == before


def test_a_search_is_open_in_one_process_only(tmp_path):
    def search_again(values, folder, epochs):
        run(tmp_path, Training())
        return [1.0]

    trials = run(tmp_path, search_again, trials=1)
    assert "must not be open in another process" in trials[0].error


def test_equal_scores_go_to_the_first_trial():
    trials = [Trial(str(number), {}, (0.5,), 1.0) for number in range(3)]
    assert best_trial(trials).name == "0"
    assert best_trial([]) is None
