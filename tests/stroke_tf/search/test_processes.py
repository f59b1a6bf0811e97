"""Searches in processes of their own, killed for real."""

import os
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from stroke_tf.search.tuning import RESULT_NAME, read_trials

pytestmark = pytest.mark.slow
DEADLINE_SECONDS = 900


def command(records, out, *flags):
    return [
        *(sys.executable, "-m", "experiments.tune_classifier"),
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


def test_a_killed_search_keeps_what_it_has_and_ends_with_the_trials_asked_for(
    phantom_records, tmp_path
):
    start = command(phantom_records[0], tmp_path, "--trials", "3")
    folder = tmp_path / "classifier" / "search-random-s0"
    with subprocess.Popen(start, stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: list(folder.glob("trial_1/part0-s0/history.csv")), process)
        process.send_signal(signal.SIGKILL)
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in results(folder)}
    assert [path.parent.name for path in before] == ["trial_0"]
    done = subprocess.run(start, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [trial.name for trial in read_trials(folder)] == ["0", "1", "2"]
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in before} == before
    assert re.findall(r"Trial (\d): score", done.stderr) == ["1", "2"]


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


def test_no_process_outlives_its_launcher(phantom_records, tmp_path):
    start = command(phantom_records[0], tmp_path, "--trials", "6", "--workers", "1")
    with subprocess.Popen(start, stderr=subprocess.DEVNULL) as process:
        chief = wait_for(lambda: role(process, "chief"), process)
        worker = wait_for(lambda: role(process, "worker-1"), process)
        os.kill(process.pid, signal.SIGKILL)
    gone, alive = psutil.wait_procs([chief, worker], timeout=60)
    assert len(gone) == 2
    assert not alive


def test_an_error_of_the_settings_ends_chief_and_workers(tmp_path):
    start = command(tmp_path / "nothing", tmp_path, "--workers", "1")
    done = subprocess.run(start, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 1
    assert "manifest.json must exist" in done.stderr
