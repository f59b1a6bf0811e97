"""Searches in processes of their own, killed for real."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stroke_tf.search.tuning import RESULT_NAME, read_trials, search

SCRIPT = Path(sys.executable).with_name("stroke-tf")
DEADLINE_SECONDS = 900


def command(records, out, *flags):
    return [
        *(SCRIPT, "tune-classifier"),
        *("--records", str(records), "--out", str(out), "--training", "full"),
        *("--backbone", "cnn-detect", "--weights", "None", "--image-size", "32"),
        *("--fit.epochs", "2", "--space.batch-size", "32", "64", "--space.unfrozen"),
        *flags,
    ]


def wait_for(condition, process):
    """Returns what the condition gives as soon as it is true."""
    end = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert process.poll() is None, "ended before"
        assert time.monotonic() < end, "took too long"
        time.sleep(0.05)  # nothing tells of a file in another process
    return found


def results(folder):
    return sorted(folder.glob(f"trial_*/{RESULT_NAME}"))


def role(launcher, name):
    """Returns the process that has a role under a launcher."""
    for child in psutil.Process(launcher.pid).children():
        try:
            if child.environ().get("KERASTUNER_TUNER_ID") == name:
                return child
        except psutil.Error:
            continue
    return None


GRID = {"rate": (0.1, 0.2, 0.3), "units": (8, 16)}
STOPS_IN_THE_THIRD = f"""
import signal, sys
from pathlib import Path
from stroke_tf.search.tuning import search

def train(values, folder, epochs):
    if folder.name == "trial_02":
        (folder / "here").touch()
        signal.pause()
    return [values["rate"]]

search(Path(sys.argv[1]), {GRID}, train, strategy="grid", trials=50, definition={{}})
"""


def test_a_killed_and_resumed_grid_search_is_whole(tmp_path):
    def train(values, folder, epochs):
        asked.append(folder.name)
        return [values["rate"]]

    asked, start = [], [sys.executable, "-c", STOPS_IN_THE_THIRD, tmp_path]
    with subprocess.Popen(start, env=os.environ | {"KERAS_BACKEND": "numpy"}) as process:
        wait_for((tmp_path / "trial_02" / "here").exists, process)
        process.send_signal(signal.SIGKILL)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in results(tmp_path)}
    assert [path.parent.name for path in before] == ["trial_00", "trial_01"]
    trials = search(tmp_path, GRID, train, strategy="grid", trials=50, definition={})
    assert asked == ["trial_02", "trial_03", "trial_04", "trial_05"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert [(trial.values["rate"], trial.values["units"]) for trial in trials] == [
        *((0.1, 8), (0.1, 16), (0.2, 8), (0.2, 16), (0.3, 8), (0.3, 16)),
    ]


def test_a_chief_and_two_workers_share_a_search(phantom_records, tmp_path):
    start = command(phantom_records[0], tmp_path, "--trials", "2", "--workers", "2")
    with subprocess.Popen(start, stderr=subprocess.PIPE, text=True) as process:
        for name in ("chief", "worker-1", "worker-2"):
            wait_for(lambda name=name: role(process, name), process)
        _, said = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 0, said
    assert sorted(re.findall(r"Trial (\d): score", said)) == ["0", "1"]
    folder = tmp_path / "classifier" / "search-random-s0"
    assert [trial.name for trial in read_trials(folder)] == ["0", "1"]
    assert (folder / "best.json").is_file()


@pytest.mark.slow
def test_workers_do_every_trial_once_though_one_of_them_and_the_chief_are_killed(
    phantom_records, tmp_path
):
    start = command(phantom_records[0], tmp_path, "--trials", "6", "--workers", "2")
    folder = tmp_path / "classifier" / "search-random-s0"
    log = tmp_path / "log"
    with log.open("w") as file, subprocess.Popen(start, stderr=file) as process:
        wait_for(lambda: results(folder), process)
        worker = wait_for(lambda: role(process, "worker-1"), process)
        worker.kill()
        chief = role(process, "chief")
        wait_for(lambda: len(results(folder)) > 1, process)
        chief.kill()
        assert process.wait(DEADLINE_SECONDS) == 0
    said = log.read_text()
    assert "worker-1 was killed (signal 9): started again" in said
    assert "chief was killed (signal 9): started again" in said
    trials = read_trials(folder)
    assert [trial.name for trial in trials] == list("012345")
    assert all(trial.error is None for trial in trials)
    assert sorted(re.findall(r"Trial (\d): score", said)) == list("012345")
    assert (folder / "best.json").is_file()


def test_no_process_outlives_its_launcher(tmp_path):
    start = command(tmp_path / "nothing", tmp_path, "--workers", "1")
    with subprocess.Popen(start, stderr=subprocess.DEVNULL) as process:
        chief = wait_for(lambda: role(process, "chief"), process)
        worker = wait_for(lambda: role(process, "worker-1"), process)
        os.kill(process.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs([chief, worker], timeout=60)
    assert len(gone) == 2
    assert not alive


@pytest.mark.slow
def test_an_error_of_the_settings_ends_chief_and_workers(tmp_path):
    start = command(tmp_path / "nothing", tmp_path, "--workers", "1")
    done = subprocess.run(start, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 1
    assert "manifest.json must exist" in done.stderr
