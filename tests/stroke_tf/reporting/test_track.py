import json
import os
import subprocess
import sys

import pytest

from stroke_tf.evaluation.intervals import UNDEFINED, Metric
from stroke_tf.reporting.track import Tracking, main, track_runs
from stroke_tf.run_folder import RunFolder, RunMetrics

SHA = "0123456789abcdef" * 4
EPOCHS = 600  # two numbers each: more than MLflow takes at once


pytest.importorskip("sqlalchemy", reason="the extra `track` is not installed")


def finish(out, *, row="resnet50", seed=1, auc=0.75):
    run = RunFolder(out, "detect", row, seed)
    (run.path / "figures").mkdir(parents=True, exist_ok=True)
    (run.figures / "roc.png").write_bytes(b"picture")
    run.config.write_text(json.dumps({"row": row, "fit": {"epochs": EPOCHS}, "weights": None}))
    run.env.write_text("{}")
    run.predictions.write_text("id,truth,score\na,1,0.5\n")
    lines = (f"{epoch},{1 / (epoch + 1)},{'' if epoch else 0.5}" for epoch in range(EPOCHS))
    run.history.write_text("\n".join(["epoch,loss,val_loss", *lines, ""]))
    metrics = RunMetrics(
        experiment=run.experiment,
        row=row,
        seed=seed,
        protocol="clean",
        split={"train": (0, 1), "val": (2,), "test": (3, "stage1")},
        n=40,
        threshold=0.25,
        metrics={"roc_auc": Metric(auc, 0.5, 0.875), "brier": UNDEFINED},
        wall_seconds=60.0,
        data_manifest_sha256=SHA,
    )
    run.metrics.write_text(metrics.to_json())
    return run


def runs_in(store):
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{store / 'mlflow.db'}"
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    experiment = client.get_experiment_by_name("detect")
    return client, client.search_runs([experiment.experiment_id])


def first_run(folder):
    client, runs = runs_in(folder / "mlruns")
    return client, next(run for run in runs if run.info.run_name == "resnet50-s1")


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """Results of one run, and the store that they were copied to."""
    folder = tmp_path_factory.mktemp("tracked")
    finish(folder / "results")
    assert main(Tracking(out=folder / "results", to=folder / "mlruns")) == 0
    return folder


def test_a_run_is_read_back_with_settings_scores_and_intervals(tracked):
    client, run = first_run(tracked)
    assert (run.info.run_name, run.info.status) == ("resnet50-s1", "FINISHED")
    assert run.info.end_time - run.info.start_time == 60_000
    assert run.data.params == {"row": "resnet50", "fit.epochs": str(EPOCHS), "weights": "None"}
    scores = {name: run.data.metrics[name] for name in run.data.metrics if "/" not in name}
    assert scores == {"roc_auc": 0.75, "roc_auc.low": 0.5, "roc_auc.high": 0.875}
    tags = ("protocol", "n", "threshold", "split", "data_manifest_sha256")
    assert [run.data.tags[name] for name in tags] == [
        *("clean", "40", "0.25", "train 0 1, val 2, test 3 stage1", SHA),
    ]


def test_every_epoch_is_read_back(tracked):
    client, run = first_run(tracked)
    losses = client.get_metric_history(run.info.run_id, "epochs/loss")
    assert {loss.step: loss.value for loss in losses} == {
        epoch: 1 / (epoch + 1) for epoch in range(EPOCHS)
    }
    (only,) = client.get_metric_history(run.info.run_id, "epochs/val_loss")
    assert (only.step, only.value) == (0, 0.5)


def test_predictions_and_figures_are_read_back(tracked):
    client, run = first_run(tracked)
    names = {artifact.path for artifact in client.list_artifacts(run.info.run_id)}
    files = {"config.json", "env.json", "metrics.json", "predictions.csv", "history.csv"}
    assert names == files | {"figures"}
    pictures = (tracked / "mlruns" / "artifacts").rglob("roc.png")
    assert {picture.read_bytes() for picture in pictures} == {b"picture"}


def test_the_store_names_no_user(tracked):
    client, run = first_run(tracked)
    assert run.info.user_id in ("", "unknown")
    assert "mlflow.user" not in run.data.tags


def test_a_run_is_copied_once_and_again_when_it_was_run_again(tracked):
    results, store = tracked / "results", tracked / "mlruns"
    assert track_runs(results, store) == 0
    finish(results, seed=2)
    assert track_runs(results, store) == 1
    finish(results, seed=2, auc=0.8125)
    assert track_runs(results, store) == 1
    _, runs = runs_in(store)
    scores = sorted((run.info.run_name, run.data.metrics["roc_auc"]) for run in runs)
    assert scores == [("resnet50-s1", 0.75), ("resnet50-s2", 0.75), ("resnet50-s2", 0.8125)]


def test_a_run_whose_copying_was_killed_is_copied_anew(tracked):
    results, store = tracked / "results", tracked / "mlruns"
    track_runs(results, store)
    client, before = runs_in(store)
    client.update_run(before[0].info.run_id, status="RUNNING")
    assert track_runs(results, store) == 1
    _, after = runs_in(store)
    assert len(after) == len(before)
    assert {run.info.status for run in after} == {"FINISHED"}


def test_results_without_a_finished_run_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="must hold finished runs"):
        track_runs(tmp_path, tmp_path / "mlruns")
    assert not (tmp_path / "mlruns").exists()


def test_nothing_is_sent(tracked):
    code = (
        "import sys; from pathlib import Path; from stroke_tf.reporting.track import track_runs;"
        "track_runs(*map(Path, sys.argv[1:]));"
        "from mlflow.telemetry import get_telemetry_client; print(get_telemetry_client())"
    )
    quiet = ("PYTEST", "CI", "GITHUB", "MLFLOW", "DO_NOT_TRACK")  # MLflow is silent with these
    env = {key: value for key, value in os.environ.items() if not key.startswith(quiet)}
    command = [sys.executable, "-c", code, tracked / "results", tracked / "mlruns"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.stdout == "None\n", done.stderr
