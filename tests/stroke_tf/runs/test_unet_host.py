"""A U-Net trained by two processes of one command."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import pandas as pd
import psutil
import pytest

from experiments import train_unet
from stroke_tf import processes
from stroke_tf.processes import ADDRESSES, PROCESS_ID, PROCESSES, host_number, run_hosts
from stroke_tf.runs.settings import UnetRun, UnetTraining

DEADLINE_SECONDS = 1500
EPOCHS = 4


def command(records, out, *flags):
    return [
        *(sys.executable, "-m", "experiments.train_unet"),
        *("--records", str(records), "--out", str(out), "--hosts", "2"),
        *("--architecture", "improved", "--filters", "1", "--depth", "1"),
        *("--image-size", "64", "--no-augment", "--fit.epochs", str(EPOCHS)),
        *flags,
    ]


@pytest.mark.slow
def test_two_processes_train_one_network(phantom_records, tmp_path):
    small = ("--fit.epochs", "1", "--val-folds", "0", "1", "2", "3", "4", "5", "6", "7")
    start = command(phantom_records[0], tmp_path, *small)
    start[1:3] = ["-m", "stroke_tf", "train-unet"]
    quick = os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # what is compiled runs once
    done = subprocess.run(
        start, capture_output=True, text=True, timeout=DEADLINE_SECONDS, env=quick
    )
    assert done.returncode == 0, done.stderr
    assert "lesion_dice" in done.stdout
    folder = tmp_path / "unet" / "improved-s0"
    assert len(pd.read_csv(folder / "history.csv")) == 1


@pytest.mark.slow
def test_a_killed_process_ends_the_training_and_the_same_command_ends_it_well(
    phantom_records, tmp_path
):
    start = command(phantom_records[0], tmp_path)
    folder, log = tmp_path / "unet" / "improved-s0", tmp_path / "log"
    end = time.monotonic() + DEADLINE_SECONDS
    with log.open("w") as file, subprocess.Popen(start, stderr=file) as process:
        while not (folder / "backup" / "state.json").exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)  # nothing tells of a file in another process
        children = psutil.Process(process.pid).children()
        hosts = {child.environ()[PROCESS_ID]: child for child in children}
        os.kill(hosts["1"].pid, signal.SIGKILL)
        assert process.wait(DEADLINE_SECONDS) == 1
    assert "ended before it was done (exit code " in log.read_text()
    assert not any(host.is_running() for host in hosts.values())
    done = subprocess.run(start, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 0, done.stderr
    assert "lesion" in done.stdout
    assert len(pd.read_csv(folder / "history.csv")) == EPOCHS
    assert json.loads((folder / "metrics.json").read_text())["n"] > 0
    assert keras.models.load_model(folder / "model.keras").name == "improved_unet"
    assert (folder / "figures" / "history.png").is_file()


def test_the_variables_say_which_host_this_is(monkeypatch):
    assert host_number() is None
    for name, value in {ADDRESSES: "10.0.0.1:4321", PROCESSES: "2", PROCESS_ID: "1"}.items():
        monkeypatch.setenv(name, value)
    assert host_number() == 1
    monkeypatch.setenv(PROCESS_ID, "first")
    with pytest.raises(ValueError, match="must all be set .* 'first'"):
        host_number()
    monkeypatch.delenv(PROCESS_ID)
    with pytest.raises(ValueError, match="must all be set"):
        host_number()


def test_a_host_but_the_first_trains_and_does_not_test(phantom_records, tmp_path, monkeypatch):
    for name, value in {ADDRESSES: "10.0.0.1:4321", PROCESSES: "2", PROCESS_ID: "1"}.items():
        monkeypatch.setenv(name, value)
    started = []
    monkeypatch.setattr(train_unet, "run_hosts", lambda *args, **options: started.append(args))
    config = UnetTraining(UnetRun(records=phantom_records[0], out=tmp_path))
    assert train_unet.main(config, args=["--out", "there"]) == 0
    assert started == [("stroke_tf.runs.unet_host", ["--out", "there"])]
    assert not list(tmp_path.iterdir())


def test_without_jax_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RuntimeError, match=r"pip install 'stroke_tf\[jax\]'"):
        run_hosts("stroke_tf.runs.unet_host", [], hosts=2)


@pytest.mark.slow
def test_a_loss_that_needs_tensorflow_is_refused(phantom_records, tmp_path):
    start = command(phantom_records[0], tmp_path, "--loss", "sm-dice")
    done = subprocess.run(start, capture_output=True, text=True, timeout=DEADLINE_SECONDS)
    assert done.returncode == 1
    assert "Received: sm-dice" in done.stderr
