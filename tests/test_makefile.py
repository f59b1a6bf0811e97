import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


# Set by a `make test ARGS=...` that these tests run in; not passed on.
OUTER = ("MAKEFLAGS", "MAKEOVERRIDES", "MFLAGS", "MAKELEVEL", "ARGS")


def make(*arguments):
    env = {name: value for name, value in os.environ.items() if name not in OUTER}
    command = ["make", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=env)


def test_help_lists_every_target():
    printed = make("help").stdout
    for target in ("demo", "setup", "tfrecords", "inspect", "train-classifier", "train-unet"):
        assert f"make {target}" in printed
    for target in ("cv", "tune-classifier", "tune-unet", "predict"):
        assert f"make {target}" in printed
    for target in (
        "reproduce",
        "report",
        "bench",
        "test",
        "test-all",
        "lint",
        "docs",
        "wheel",
        "clean",
    ):
        assert f"make {target}" in printed


def test_a_missing_data_folder_is_one_line_that_says_what_to_pass():
    done = make("tfrecords")
    assert done.returncode != 0
    assert "make tfrecords DATA=path/to/slices" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_prediction_without_a_folder_is_one_line_that_says_what_to_pass():
    done = make("predict", "INPUT=scans")
    assert done.returncode == 2
    assert "make predict INPUT=scans OUT=" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("target", ["train-unet", "help"])
def test_a_mistyped_variable_is_named(target):
    done = make(target, "RECORD=mine", "OUT=there")
    assert done.returncode == 2
    assert re.search(r"must be of .* RECORDS .*Received: RECORD\.", done.stderr)
    assert done.stdout == ""


def test_variables_of_libraries_are_not_taken_for_mistyped_ones():
    assert make("help", "TF_CPP_MIN_LOG_LEVEL=0", "STROKE_TF_FAST=0", "JOBS=1").returncode == 0


@pytest.fixture
def told(tmp_path):
    """Returns a function that gives the arguments of `stroke-tf` in a target of the Makefile."""
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "stroke-tf"
    command.write_text(f"#!{sys.executable}\nimport json, sys\nprint(json.dumps(sys.argv[1:]))\n")
    command.chmod(0o755)
    (tmp_path / ".installed").touch()

    def tell(*arguments):
        done = make("--silent", f"VENV={tmp_path}", *arguments)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return tell


def test_what_comes_next_is_told_after_an_installation_and_the_docs(tmp_path, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\necho "log level $TF_CPP_MIN_LOG_LEVEL"\n')
    python.chmod(0o755)
    (tmp_path / ".installed").touch()
    set_up = make("--silent", f"VENV={tmp_path}", "setup").stdout
    assert set_up.endswith(f". {tmp_path}/bin/activate, then: stroke-tf doctor\n")
    built = make("--silent", f"VENV={tmp_path}", "docs").stdout
    assert built == "log level 3\nOpen build/docs/html/index.html in a browser.\n"


@pytest.mark.parametrize("name", ["Ali'nin verisi", "veri$HOME", "veri`id`", 'a "b" \\ c'])
def test_folders_reach_the_command_as_they_are_named(told, name):
    assert told("tfrecords", f"DATA={name}", f"OUT={name}/o")[:5] == [
        *("convert", "--data", name, "--out", f"{name}/o"),
    ]
    assert told("inspect", f"DATA={name}")[:3] == ["inspect", "--data", name]
    assert told("demo", f"DATA={name}")[:3] == ["demo", "--data", name]
    audited = told("audit", f"RECORDS={name}", f"OUT={name}")
    assert audited == ["audit", name, "--out", name]
    assert told("report", f"RESULTS={name}") == ["report", "--out", name]
    predicted = told("predict", f"INPUT={name}", f"MODEL={name}", f"OUT={name}")
    assert predicted == ["predict", name, "--model", name, "--out", name]


def test_the_line_that_is_printed_is_the_command_that_runs(tmp_path):
    (tmp_path / ".installed").touch()
    printed = make("-n", f"VENV={tmp_path}", "demo", "DATA=my slices").stdout
    assert printed.startswith(
        f"{tmp_path}/bin/stroke-tf demo --data 'my slices' --out 'results' --jobs "
    )
    assert "$" not in printed


def test_the_shipped_model_answers_where_none_is_named(told):
    assert told("predict", "INPUT=scans", "OUT=new") == ["predict", "scans", "--out", "new"]
    assert told("serve") == ["serve"]
    assert told("serve", "MODEL=run") == ["serve", "--model", "run"]


def test_a_reproduction_takes_several_folders_of_records(told):
    records = "RECORDS=records $HOME-published *"
    assert told("reproduce", records, "ARGS=--budget-hours 10") == [
        *("reproduce", "--records", "records", "$HOME-published", "*"),
        *("--out", "results", "--budget-hours", "10"),
    ]


def test_processes_are_asked_for_by_a_variable(told):
    where = ["--records", "records", "--out", "results"]
    assert told("train-unet", "HOSTS=2") == ["train-unet", *where, "--hosts", "2"]
    crossed = told("cv", "RECORDS=mine", "TASK=joint", "ARGS=--folds 10")
    assert crossed == [
        *("cross-validate", "mine", "--out", "results", "--task", "joint", "--folds", "10"),
    ]
    assert told("tune-unet", "WORKERS=2")[-2:] == ["--workers", "2"]
