"""Each kind of bad input is named, loses nothing and ends with the right exit code."""

import csv
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bad_inputs import BAD_INPUTS, encoded, good_input, grey, inputs_of
from scripted_model import ScriptedModel

from stroke_tf.command import reported
from stroke_tf.deploy.predict import Prediction, main

ROOT = Path(__file__).parents[3]


@pytest.fixture
def scripted(monkeypatch):
    """Makes `main` load a scripted model."""
    from stroke_tf.deploy import load

    def use(model):
        monkeypatch.setattr(load, "load_model", lambda *_, **__: model)

    use(ScriptedModel())
    return use


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def predict(inputs, out, **settings):
    given = Prediction(inputs=inputs, model=(Path(__file__).parent,), out=out, **settings)
    return reported(lambda: main(given))


@pytest.mark.parametrize("kind", BAD_INPUTS)
def test_a_bad_input_is_named_and_the_good_one_is_predicted(
    kind, tmp_path, scripted, capfd, caplog
):
    bad = BAD_INPUTS[kind]
    scripted(ScriptedModel(pixels=bad.pixels))
    name, inputs = inputs_of(kind, tmp_path)
    code = predict(inputs, tmp_path / "out")
    told = capfd.readouterr().err + caplog.text
    if bad.outcome == "fault":
        assert code == 1
        assert name in told
        assert not (tmp_path / "out" / "done.json").exists()
        assert predict(inputs, tmp_path / "out", keep_going=True) == 1
        assert name in capfd.readouterr().err + caplog.text
    else:
        assert code == 0
    listed = tmp_path / "out" / "faults.csv"
    rows = rows_of(listed) if listed.exists() else []
    assert [row["kind"] for row in rows if name and name in row["file"]] == (
        [] if bad.outcome == "note" else [bad.outcome]
    )
    studies = json.loads((tmp_path / "out" / "studies.json").read_text())["series"]
    said = [row["reason"] for row in rows] + [note for one in studies for note in one["notes"]]
    assert bad.told in " ".join(said)
    done = [
        row["file"] for row in rows_of(tmp_path / "out" / "predictions.csv") if not row["fault"]
    ]
    assert any("good" in file for file in done)


def test_series_of_a_folder_are_not_mixed(tmp_path, scripted):
    for kind in ("two series in a folder", "two patients in a folder"):
        folder = tmp_path / kind
        folder.mkdir()
        BAD_INPUTS[kind].make(folder)
        assert predict((folder,), tmp_path / f"{kind} out") == 0
        rows = rows_of(tmp_path / f"{kind} out" / "predictions.csv")
        assert sorted(row["series"] for row in rows) == ["series-001"] * 2 + ["series-002"] * 2


@pytest.mark.parametrize("kind", ["localizer", "other modality"])
def test_nothing_but_what_is_left_out_is_an_error(kind, tmp_path, scripted, capfd, caplog):
    caplog.set_level("INFO")
    (tmp_path / "in").mkdir()
    BAD_INPUTS[kind].make(tmp_path / "in")
    assert predict((tmp_path / "in",), tmp_path / "out") == 1
    told = capfd.readouterr().err + caplog.text
    assert "in/a.dcm: left out" in told
    assert "inputs must hold a slice" in told
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("typed", ["../in/nowhere.png", "../in/empty"])
def test_what_the_user_typed_is_said_and_no_going_on_with_nothing(
    typed, tmp_path, scripted, capfd, monkeypatch
):
    (tmp_path / "in" / "empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "in")
    assert predict((Path(typed),), tmp_path / "out") == 1
    told = capfd.readouterr().err
    assert told.splitlines()[-1].startswith(f"{typed}: must ")
    assert "--keep-going" not in told


def test_what_was_done_before_a_fault_stays(tmp_path, scripted, capfd, monkeypatch):
    from stroke_tf.deploy import prediction_folder

    monkeypatch.setattr(prediction_folder, "PORTION", 1)
    folder = good_input(tmp_path / "in", "gray8")
    (folder / "zzz.png").write_bytes(encoded(grey())[:99])
    assert predict((folder,), tmp_path / "out") == 1
    told = capfd.readouterr().err
    assert "in/zzz.png: a PNG must be whole" in told and "--keep-going goes on" in told
    assert [path.name for path in (tmp_path / "out").rglob("masks/*")] == ["good.png"]
    (folder / "zzz.png").write_bytes(encoded(grey(1)))
    again = ScriptedModel()
    scripted(again)
    assert predict((folder,), tmp_path / "out") == 0
    assert again.seen == 1


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda run: shutil.rmtree(run), "run"),
        (lambda run: (run / "metrics.json").unlink(), "metrics.json"),
        (lambda run: (run / "model.keras").unlink(), "model.keras"),
        (lambda run: (run / "model.keras").write_bytes(b"PK\3\4 no model"), "model.keras"),
    ],
    ids=["missing", "unfinished", "without its network", "damaged"],
)
def test_a_bad_model_is_named_and_nothing_is_written(spoil, told, runs, tmp_path, capfd):
    run = shutil.copytree(runs.segment, tmp_path / "run")
    spoil(run)
    folder = good_input(tmp_path / "in", "gray8")
    settings = Prediction(inputs=(folder,), model=(run,), out=tmp_path / "out")
    assert reported(lambda: main(settings)) == 1
    assert told in capfd.readouterr().err
    assert [path for path in tmp_path.glob("out/*") if path.name != ".lock"] == []


RUN = """
import resource, sys
from pathlib import Path
from scripted_model import ScriptedModel
from stroke_tf.command import reported
from stroke_tf.deploy.predict import Prediction, predict_inputs
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
settings = Prediction(inputs=(Path(sys.argv[1]),), model=(), out=Path(sys.argv[2]))
sys.exit(reported(lambda: len(predict_inputs(settings, model=ScriptedModel()).faults)))
"""


def run_in(folder, out, *more, mounted=""):
    """Runs a prediction in a process of its own; `mounted` are options of a tmpfs at `out`."""
    out.mkdir()
    command = [sys.executable, "-c", RUN, str(folder), str(out), *more]
    if mounted:
        mount = f'mount -t tmpfs -o {mounted} tmpfs "$1" && shift && exec "$@"'
        command = ["unshare", "-rm", "sh", "-c", mount, "sh", str(out), *command]
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    return subprocess.run(command, env=env, capture_output=True, text=True)


@pytest.fixture(scope="module")
def can_mount(tmp_path_factory):
    place = tmp_path_factory.mktemp("mount")
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(place)]
    if not shutil.which("unshare") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs a kernel that lets users mount a tmpfs")


def test_a_full_disk_ends_the_run_and_names_the_file(can_mount, tmp_path):
    folder = good_input(tmp_path / "in", "gray8")
    for number in range(40):
        (folder / f"{number}.png").write_bytes(encoded(grey(number, (300, 300))))
    done = run_in(folder, tmp_path / "out", mounted="size=1m")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "out/series-001/" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_ends_the_run(can_mount, tmp_path):
    done = run_in(good_input(tmp_path / "in", "gray8"), tmp_path / "out", mounted="ro")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_may_not_grow_ends_the_run_and_no_part_of_it_stays(tmp_path):
    folder = good_input(tmp_path / "in", "gray8")
    done = run_in(folder, tmp_path / "out", "1000")
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert [path for path in (tmp_path / "out").rglob("*") if path.stat().st_size == 1000] == []
    again = subprocess.run(
        [sys.executable, "-c", RUN, folder, tmp_path / "out"],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    assert again.returncode == 0


def test_a_file_where_the_folder_should_be_ends_the_run(tmp_path, scripted, capfd):
    (tmp_path / "out").write_text("mine")
    assert predict((good_input(tmp_path / "in", "gray8"),), tmp_path / "out") == 1
    assert "out" in capfd.readouterr().err
    assert (tmp_path / "out").read_text() == "mine"


def test_there_are_many_kinds():
    assert len(BAD_INPUTS) >= 25
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
