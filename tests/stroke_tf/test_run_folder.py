import dataclasses
import enum
import getpass
import json
import math
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.files import replacing
from stroke_tf.run_folder import RunFolder, RunMetrics, read_predictions, read_runs

SHA = "ab" * 32
NAN = float("nan")
PREDICTIONS = pd.DataFrame({"id": ["a,1", "b"], "truth": [1, 0], "score": [0.25, 0.5]})
CONFIG = {"backbone": "mobilenet_v2", "fit": {"epochs": 3, "learning_rate": 1e-3}, "folds": (0, 1)}


def _metrics(**changes):
    values = {
        "experiment": "demo",
        "row": "cnn",
        "seed": 0,
        "protocol": "clean",
        "split": {"train": (0, 1), "val": (2,), "test": (3, "stage1")},
        "n": 40,
        "threshold": 0.45,
        "metrics": {"roc_auc": Metric(0.9, 0.8, 0.95), "f1": Metric(NAN, NAN, NAN)},
        "wall_seconds": 12.5,
        "data_manifest_sha256": SHA,
    }
    return RunMetrics(**{**values, **changes})


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path / "results", "demo", "cnn", 0)


def _start(run, config=None, sha256=SHA):
    with run.opened(CONFIG if config is None else config, data_manifest_sha256=sha256):
        pass


def _finish(run, result, predictions=PREDICTIONS):
    run.finish(result, predictions, figures={}, files={})


def test_a_run_folder_is_named_by_row_and_seed(tmp_path):
    run = RunFolder(tmp_path, "usth_detection", "ResNet-18", 3)
    assert run.path == tmp_path / "usth_detection" / "ResNet-18-s3"


@pytest.mark.parametrize("wrong", ["a/b", "..", "", ".hidden", "-x", "a b"])
@pytest.mark.parametrize("key", ["experiment", "row"])
def test_names_that_are_no_plain_folder_names_are_rejected(tmp_path, key, wrong):
    with pytest.raises(ValueError, match=f"`{key}` must be of letters"):
        RunFolder(**{"out": tmp_path, "experiment": "demo", "row": "cnn", "seed": 0, key: wrong})


def test_metrics_json_holds_exactly_the_agreed_keys(run):
    _finish(run, _metrics())
    values = json.loads(run.metrics.read_text(), parse_constant=pytest.fail)
    assert values == {
        "schema_version": 1,
        "experiment": "demo",
        "row": "cnn",
        "seed": 0,
        "protocol": "clean",
        "split": {"train": [0, 1], "val": [2], "test": [3, "stage1"]},
        "n": 40,
        "threshold": 0.45,
        "metrics": {
            "roc_auc": {"value": 0.9, "low": 0.8, "high": 0.95},
            "f1": {"value": None, "low": None, "high": None},
        },
        "wall_seconds": 12.5,
        "data_manifest_sha256": SHA,
    }


def test_metrics_read_back_as_written(run):
    metrics = _metrics(threshold=None)
    _finish(run, metrics)
    (read,) = read_runs(run.out)
    assert math.isnan(read.metrics["f1"].value)
    without_nan = {"metrics": {"roc_auc": read.metrics["roc_auc"]}}
    assert dataclasses.replace(read, **without_nan) == dataclasses.replace(metrics, **without_nan)
    assert isinstance(read.metrics["roc_auc"], Metric)


def test_numpy_numbers_are_written_as_json_numbers(run):
    number = np.float32(0.5)
    _finish(
        run,
        _metrics(n=np.int64(7), threshold=number, metrics={"f1": Metric(number, number, number)}),
    )
    (read,) = read_runs(run.out)
    assert (read.n, read.threshold, read.metrics["f1"]) == (7, 0.5, Metric(0.5, 0.5, 0.5))


def test_writing_metrics_marks_the_run_as_done(run):
    _start(run)
    assert not run.is_done()
    _finish(run, _metrics())
    assert run.is_done()


def test_metrics_of_another_run_are_rejected(run):
    with pytest.raises(ValueError, match="of this run. Received: \\('demo', 'cnn', 1\\)"):
        _finish(run, _metrics(seed=1))
    assert not run.is_done()


def test_runs_are_read_in_order_and_unfinished_ones_left_out(tmp_path):
    for experiment, row, seed in [("b", "x", 0), ("a", "y", 10), ("a", "y", 2)]:
        folder = RunFolder(tmp_path, experiment, row, seed)
        _finish(folder, _metrics(experiment=experiment, row=row, seed=seed))
    _start(RunFolder(tmp_path, "a", "unfinished", 0))
    read = [(run.experiment, run.row, run.seed) for run in read_runs(tmp_path)]
    assert read == [("a", "y", 2), ("a", "y", 10), ("b", "x", 0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "metrics.json must be JSON"),
        ("[]", "metrics.json: schema_version must be 1. Received: <class 'list'>"),
        ('{"schema_version": 1}', "metrics.json: keys must be .*: \\['schema_version'\\]"),
        (None, "metrics.json: schema_version must be 1. Received: 2"),
    ],
)
def test_a_broken_metrics_file_is_named(run, text, message):
    _finish(run, _metrics(schema_version=2))
    if text is not None:
        run.metrics.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_runs(run.out)


def test_resuming_with_the_same_settings_is_fine(run):
    _start(run)
    before = run.config.read_bytes()
    _start(run)
    assert run.config.read_bytes() == before


def test_other_settings_are_refused_and_the_keys_named(run):
    _start(run)
    before = run.config.read_bytes()
    changed = {**CONFIG, "fit": {"epochs": 4, "learning_rate": 1e-3}, "new": None}
    with pytest.raises(ValueError, match="Received others for: fit.epochs, new$"):
        _start(run, changed)
    with pytest.raises(ValueError, match="Received others for: backbone$"):
        _start(run, {key: value for key, value in CONFIG.items() if key != "backbone"})
    assert run.config.read_bytes() == before


def test_other_data_are_refused(run):
    _start(run)
    with pytest.raises(ValueError, match=r"data_manifest_sha256 \(the records are others\)$"):
        _start(run, sha256="cd" * 32)


def test_a_run_killed_before_env_json_was_written_resumes(run):
    _start(run)
    run.env.unlink()
    _start(run)
    assert run.env.is_file()


def test_config_keeps_no_absolute_path(run):
    class Kind(enum.Enum):
        FAST = "fast"

    config = {"records": Path("/home/someone/records"), "weights": "/mnt/w.h5", "kind": Kind.FAST}
    _start(run, {**config, "relative": Path("data/x"), "n": np.int64(2)})
    assert json.loads(run.config.read_text()) == {
        "records": "records",
        "weights": "w.h5",
        "kind": "fast",
        "relative": "data/x",
        "n": 2,
    }


def test_env_names_versions_and_data_but_no_person_place_or_machine(run):
    _start(run)
    text = run.env.read_text()
    env = json.loads(text)
    assert env["python"] == platform.python_version()
    assert env["data_manifest_sha256"] == SHA
    assert env["packages"]["numpy"] == np.__version__
    assert not {"pytest", "ruff"} & env["packages"].keys()
    for private in (platform.node(), str(Path.home()), str(run.out), str(Path.cwd())):
        assert private not in text
    assert f"/{getpass.getuser()}" not in text


def test_a_second_process_is_refused_until_the_first_is_killed(run):
    holder = (
        "import sys; from pathlib import Path; from stroke_tf.run_folder import *\n"
        "run = RunFolder(Path(sys.argv[1]), 'demo', 'cnn', 0)\n"
        "with run.opened({}, data_manifest_sha256='x'):\n"
        "    print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(run.out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(RuntimeError, match="cnn-s0 must not be open in another process"):
            _start(run, {}, sha256="x")
        process.kill()
        process.wait()
    _start(run, {}, sha256="x")


def test_the_lock_goes_when_the_block_fails(run):
    with pytest.raises(ZeroDivisionError), run.opened(CONFIG, data_manifest_sha256=SHA):
        raise ZeroDivisionError
    assert not run.is_done()
    _start(run)


@pytest.mark.parametrize("end", [OSError("no such weights"), KeyboardInterrupt()])
def test_what_fails_before_it_trains_leaves_no_folder_to_refuse_other_settings(run, end):
    with pytest.raises(type(end)), run.opened(CONFIG, data_manifest_sha256=SHA):
        (run.path / "tensorboard").mkdir()
        (run.path / "tensorboard" / "events.out.tfevents.1").write_text("begun")
        run.history.touch()  # its first epoch is not finished
        raise end
    assert not run.path.exists()
    _start(run, {**CONFIG, "weights": None})
    assert json.loads(run.config.read_text())["weights"] is None


def test_what_fails_after_an_epoch_can_be_resumed(run):
    with pytest.raises(KeyboardInterrupt), run.opened(CONFIG, data_manifest_sha256=SHA):
        run.history.write_text("epoch,loss\n0,1\n")
        raise KeyboardInterrupt
    assert run.history.is_file()
    with pytest.raises(ValueError, match="Another --row or --out keeps both runs"):
        _start(run, {**CONFIG, "weights": None})


def test_predictions_are_written_as_csv(run):
    _finish(run, _metrics())
    assert run.predictions.read_text() == 'id,truth,score\n"a,1",1,0.25\nb,0,0.5\n'


@pytest.mark.parametrize("columns", [["truth", "id"], []])
def test_predictions_without_ids_are_rejected(run, columns):
    with pytest.raises(ValueError, match="first column must be `id`"):
        _finish(run, _metrics(), pd.DataFrame(columns=columns))
    assert not run.is_done()


def test_replacing_leaves_the_old_file_when_writing_fails(tmp_path):
    path = tmp_path / "new" / "model.keras"
    with replacing(path) as temporary:
        temporary.write_text("old")
    assert temporary.suffix == ".keras"
    with pytest.raises(OSError, match="full"), replacing(path) as temporary:
        temporary.write_text("ne")
        raise OSError("disk is full")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_ids_that_read_like_missing_values_stay_text(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("id,group,score\nNA,None,0.5\nnull,nan,\n01,p,0.25\n")
    frame = read_predictions(path)
    assert frame["id"].tolist() == ["NA", "null", "01"]
    assert frame["group"].tolist() == ["None", "nan", "p"]
    assert frame["score"].dtype == np.float64
    assert frame["score"].isna().tolist() == [False, True, False]
