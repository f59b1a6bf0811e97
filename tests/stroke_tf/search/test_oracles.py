import ast
import inspect
from pathlib import Path

import grpc
import keras_tuner
import pytest

from stroke_tf.search import oracles
from stroke_tf.search.oracles import ORACLES, REACHES, PatientClient, first_bracket

ROOT = Path(oracles.__file__).parents[2]
DOCUMENTED = {
    *("create_trial", "update_trial", "populate_space", "get_state", "set_state", "run_trial"),
    "search",
    *("Oracle", "Tuner", "HyperParameters", "Objective"),
    *(f"oracles.{name}Oracle" for name in ("RandomSearch", "BayesianOptimization", "Hyperband")),
}
SCORE = keras_tuner.Objective("score", "max")


class Loop(keras_tuner.Tuner):
    def run_trial(self, trial, **options):
        return {"score": 0.5}


def space():
    found = keras_tuner.HyperParameters()
    found.Choice("units", [8, 16, 32])
    return found


def plain_oracle(folder, kind=keras_tuner.oracles.RandomSearchOracle):
    """An oracle of keras-tuner as it is."""
    oracle = kind(objective=SCORE, max_trials=3, seed=1, hyperparameters=space())
    Loop(oracle, directory=folder, project_name="plain")
    return oracle


def oracle_in(folder, *, workers=None):
    oracle = ORACLES["random"](
        folder, trials=4, max_failures=0, workers=workers, seed=1, hyperparameters=space()
    )
    Loop(oracle, directory=folder, project_name="s")
    return oracle


def finish(oracle, trial, score=0.5):
    oracle.update_trial(trial.trial_id, {"score": score})
    trial.status = "COMPLETED"
    oracle.end_trial(trial)


def saves_after_every_change(folder):
    class Spy(keras_tuner.oracles.RandomSearchOracle):
        def save(self):
            seen.append([trial.status for trial in self.trials.values()])

    seen = []
    oracle = plain_oracle(folder, Spy)
    finish(oracle, oracle.create_trial("a"))
    assert seen == [["RUNNING"], ["COMPLETED"]]


def reloads_without_arguments(folder):
    assert list(inspect.signature(keras_tuner.Oracle.reload).parameters) == ["self"]


def trials_are_named(folder):
    oracle = plain_oracle(folder)
    trial = oracle.create_trial("a")
    assert oracle.trials == {"0": trial}
    assert trial.status == "RUNNING"


def ongoing_trials_are_those_that_run(folder):
    oracle = plain_oracle(folder)
    trial = oracle.create_trial("a")
    assert oracle.ongoing_trials == {"a": trial}
    finish(oracle, trial)
    assert not oracle.ongoing_trials


def workers_are_known_until_they_are_stopped(folder):
    oracle = plain_oracle(folder)
    oracle.max_trials = 1
    oracle.create_trial("a")
    assert oracle.tuner_ids == {"a"}
    oracle.create_trial("b")
    assert oracle.tuner_ids == {"a"}


def hyperparameters_have_names_and_values(folder):
    (units,) = plain_oracle(folder).hyperparameters.space
    assert (units.name, list(units.values)) == ("units", [8, 16, 32])


def most_trials_can_be_set(folder):
    oracle = plain_oracle(folder)
    oracle.max_trials = 1
    assert oracle.create_trial("a").trial_id == "0"
    assert oracle.create_trial("b").status == "STOPPED"


def the_state_names_who_runs_what(folder):
    oracle = plain_oracle(folder)
    oracle.create_trial("a")
    assert oracle.get_state()["ongoing_trials"] == {"a": "0"}


def the_queue_is_handed_out_from_its_end(folder):
    oracle = plain_oracle(folder)
    for name in ("a", "b"):
        oracle.create_trial(name)
    oracle.set_state(oracle.get_state() | {"ongoing_trials": {}, "retry_queue": ["0", "1"]})
    assert [oracle.create_trial(name).trial_id for name in "cde"] == ["1", "0", "2"]


def a_trial_survives_its_state(folder):
    oracle = plain_oracle(folder)
    trial = oracle.create_trial("a")
    finish(oracle, trial)
    again = keras_tuner.engine.trial.Trial.from_state(trial.get_state())
    assert again.get_state() == trial.get_state()
    assert (again.trial_id, again.score, again.status) == ("0", 0.5, "COMPLETED")


def nothing_but_save_writes_for_the_loop(folder):
    class Spy(Loop):
        def save(self):
            saved.append(self)

    saved = []
    Spy(plain_oracle(folder), directory=folder, project_name="plain").search(verbose=0)
    assert len(saved) == 3
    assert not list(folder.rglob("tuner0.json"))


def a_worker_has_a_client_for_its_oracle(folder):
    oracle = plain_oracle(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
        patch.setenv("KERASTUNER_ORACLE_PORT", "1")
        patch.setenv("KERASTUNER_TUNER_ID", "worker-1")
        tuner = Loop(oracle, directory=folder, project_name="plain")
        wrapped = type("Ours", (Loop, oracles.Tuner), {})(oracle, folder)
    assert tuner.oracle is not oracle
    assert tuner.oracle.objective == SCORE
    assert isinstance(wrapped.oracle, PatientClient)


CHECKS = {
    "Oracle.save": saves_after_every_change,
    "Oracle.reload": reloads_without_arguments,
    "Oracle.trials": trials_are_named,
    "Oracle.ongoing_trials": ongoing_trials_are_those_that_run,
    "Oracle.tuner_ids": workers_are_known_until_they_are_stopped,
    "Oracle.hyperparameters": hyperparameters_have_names_and_values,
    "Oracle.max_trials": most_trials_can_be_set,
    "state['ongoing_trials']": the_state_names_who_runs_what,
    "state['retry_queue']": the_queue_is_handed_out_from_its_end,
    "engine.trial.Trial.from_state": a_trial_survives_its_state,
    "Tuner.save": nothing_but_save_writes_for_the_loop,
    "Tuner.oracle": a_worker_has_a_client_for_its_oracle,
}


@pytest.mark.parametrize("name", REACHES)
def test_a_reach_into_keras_tuner_finds_what_it_leans_on(name, tmp_path):
    assert set(REACHES) == set(CHECKS)
    CHECKS[name](tmp_path)


def test_one_module_imports_keras_tuner():
    packages = [ROOT / name for name in ("stroke_tf", "data_tools", "experiments")]
    files = [path for package in packages for path in package.rglob("*.py")]
    found = [
        path for path in files for name in imported(path) if name.split(".")[0] == "keras_tuner"
    ]
    assert found == [Path(oracles.__file__)]


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("name", ["oracles.py", "tuning.py"])
def test_what_is_reached_is_documented_or_in_the_table(name, tmp_path):
    oracle = plain_oracle(tmp_path)
    theirs = {*dir(oracle), *dir(Loop(oracle, directory=tmp_path, project_name="s"))}
    paths = {*DOCUMENTED, *REACHES}
    members = {"__init__", *(path.split(".")[-1] for path in paths)}
    for node in ast.walk(ast.parse((ROOT / "stroke_tf/search" / name).read_text())):
        if isinstance(node, ast.FunctionDef) and node.name in theirs:
            assert node.name in members
        elif isinstance(node, ast.Attribute):
            owner, whole = ast.unparse(node.value), ast.unparse(node)
            if owner in ("self", "super()"):
                assert node.attr in members or node.attr not in theirs
            elif whole.startswith("keras_tuner."):
                asked = whole.removeprefix("keras_tuner.")
                assert any(path == asked or path.startswith(f"{asked}.") for path in paths)
            else:
                assert not node.attr.startswith("_") or node.attr.endswith("__")


@pytest.mark.parametrize(
    ("max_epochs", "trials"),
    [(1, 1), (2, 2), (3, 4), (9, 13), (20, 18), (27, 40)],
)
def test_the_first_bracket_of_hyperband_ends_with_the_longest_training(
    tmp_path, max_epochs, trials
):
    class Epochs(Loop):
        def run_trial(self, trial, **options):
            asked.append(trial.hyperparameters.values["tuner/bracket"])
            return {"score": 0.5}

    assert first_bracket(max_epochs) == trials
    asked = []
    found = keras_tuner.HyperParameters()
    found.Float("rate", 0.0, 1.0)
    oracle = keras_tuner.oracles.HyperbandOracle(
        objective=SCORE, max_epochs=max_epochs, seed=1, hyperparameters=found
    )
    Epochs(oracle, directory=tmp_path, project_name="s").search(verbose=0)
    assert asked.count(asked[0]) == trials


@pytest.fixture
def chief(monkeypatch):
    monkeypatch.setenv("KERASTUNER_ORACLE_IP", "127.0.0.1")
    monkeypatch.setenv("KERASTUNER_ORACLE_PORT", "1")
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "chief")


def test_a_chief_that_was_killed_leaves_trials_to_the_workers_that_run_them(tmp_path, chief):
    killed = oracle_in(tmp_path)
    first, second = (killed.create_trial(name) for name in ("worker-1", "worker-2"))
    again = oracle_in(tmp_path)
    again.reload()
    finish(again, second)
    finish(again, second)  # asked twice, since the chief died before it answered
    assert again.trials[second.trial_id].score == 0.5
    assert again.create_trial("worker-1").trial_id == first.trial_id
    assert again.create_trial("worker-2").trial_id not in (first.trial_id, second.trial_id)


def test_a_score_outlives_a_chief_that_was_killed_before_the_trial_was_ended(tmp_path, chief):
    killed = oracle_in(tmp_path)
    trial = killed.create_trial("worker-1")
    killed.update_trial(trial.trial_id, {"score": 0.5})
    again = oracle_in(tmp_path)
    again.reload()
    trial.status = "COMPLETED"
    again.end_trial(trial)
    assert again.trials[trial.trial_id].score == 0.5


def test_a_trial_of_a_worker_that_is_gone_for_good_goes_to_another(tmp_path, chief):
    killed = oracle_in(tmp_path)
    killed.create_trial("worker-1")
    lost = killed.create_trial("worker-2")
    again = oracle_in(tmp_path, workers=("worker-1", "worker-3"))
    again.reload()
    assert again.create_trial("worker-3").trial_id == lost.trial_id


def test_a_search_goes_on_alone_after_its_workers(tmp_path, monkeypatch, chief):
    killed = oracle_in(tmp_path)
    running = [killed.create_trial(name).trial_id for name in ("worker-1", "worker-2")]
    monkeypatch.delenv("KERASTUNER_ORACLE_IP")
    again = oracle_in(tmp_path)
    again.reload()
    assert again.create_trial("tuner0").trial_id == running[0]


def test_a_worker_waits_while_another_has_the_last_trial(tmp_path):
    oracle = oracle_in(tmp_path)
    oracle.max_trials = 1
    last = oracle.create_trial("worker-1")
    assert oracle.create_trial("worker-2").status == "IDLE"
    assert oracle.tuner_ids == {"worker-1", "worker-2"}
    finish(oracle, last)
    assert {oracle.create_trial(f"worker-{number}").status for number in (1, 2)} == {"STOPPED"}


class Lost(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE


class Client:
    """A chief that is gone, then idle, then answers."""

    objective = "score"

    def __init__(self, *answers):
        self._answers = iter(answers)

    def create_trial(self, name):
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_worker_asks_again_when_the_chief_died_or_has_nothing_to_do(monkeypatch):
    monkeypatch.setattr(oracles, "_IDLE_SECONDS", 0)
    idle = keras_tuner.engine.trial.Trial(None, status="IDLE")
    client = PatientClient(Client(Lost(), idle, "trial"))
    assert client.create_trial("worker-1") == "trial"
    assert client.objective == "score"
    monkeypatch.setattr(Lost, "code", lambda self: grpc.StatusCode.INTERNAL)
    with pytest.raises(Lost):
        PatientClient(Client(Lost())).create_trial("worker-1")
