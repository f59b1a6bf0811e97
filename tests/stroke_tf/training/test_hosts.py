"""Trainings shared by two processes on this machine.

Run as a script, `test_hosts.py <records> <folder>` is one such process, or a training alone where
Keras' variables are not set.
"""

import dataclasses
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.config import PLAIN_UNET, FitConfig
from stroke_tf.data import make_dataset
from stroke_tf.labels import Task
from stroke_tf.models.improved_unet import build_improved_unet
from stroke_tf.training import LOSSES, fit, training_scope
from stroke_tf.training.hosts import is_leader, join_hosts, meet_hosts

SIZE, FILTERS = 32, 2
BATCH, SHARE = 7, 4  # two do not divide it: one slice is padded
CONFIG = FitConfig(epochs=2, learning_rate=0.01)


def batches(records, folds, *, training=False):
    return make_dataset(
        records,
        folds=folds,
        task=Task.SEGMENT,
        image_size=SIZE,
        batch_size=BATCH,
        training=training,
    )


def train_here(records, folder):
    """Trains, alone or with the other process, and keeps what this process ends with."""
    number = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID")
    if number is not None:
        join_hosts()
        assert is_leader() == (number == "0")
        folder = folder / number
    with training_scope(CONFIG):
        improvements = dataclasses.replace(PLAIN_UNET, batch_norm=True)
        model = build_improved_unet(improvements, image_size=SIZE, filters=FILTERS, depth=1)
    fit(
        model,
        batches(records, (0, 1, 2, 3, 4), training=True),
        batches(records, (5, 6)),
        config=CONFIG,
        run_dir=folder,
        loss=LOSSES["dice+ce"](),
    )
    np.savez(folder / "weights.npz", *model.get_weights())
    if number is not None:
        (folder / "program.txt").write_text(program_of(model))
        refused = ""
        try:
            meet_hosts({"settings": number})
        except ValueError as error:
            refused = str(error)
        (folder / "refused.txt").write_text(refused)


def program_of(model):
    """Returns what one device computes for a batch."""
    import jax

    values = [
        [variable.value for variable in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    call = jax.jit(lambda *args: model.stateless_call(*args)[0])
    return call.lower(*values, np.zeros((BATCH, SIZE, SIZE, 3), "f4")).compile().as_text()


def processes(records, folder, *, hosts):
    """Runs this file in processes that train together, or in one that trains alone."""
    root = str(Path(__file__).parents[1].parent)
    environment = os.environ | {
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join([root, str(Path(root).parent)]),
    }
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    variables = [
        {
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
            "KERAS_DISTRIBUTION_NUM_PROCESSES": str(hosts),
            "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
        }
        for number in range(hosts)
    ]
    command = [sys.executable, __file__, str(records), str(folder)]
    running = [
        subprocess.Popen(command, env=environment | own, stderr=subprocess.PIPE, text=True)
        for own in variables or [{}]
    ]
    try:
        for process in running:
            _, said = process.communicate(timeout=1500)
            assert process.returncode == 0, said
    finally:
        for process in running:
            process.kill()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Records, the folder of a training by two processes, and that of a training by one."""
    folder = tmp_path_factory.mktemp("hosts")
    tree = write_tree(folder / "tree", none=20, ischemia=10, hemorrhage=10, side=SIZE)
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=SIZE, jobs=1))
    for name, hosts in (("two", 2), ("one", 0)):
        (folder / name).mkdir()
        processes(folder / "records", folder / name, hosts=hosts)
    return folder / "records", folder / "two", folder / "one"


def weights_in(path):
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


@pytest.mark.slow
class TestTwoProcesses:
    def test_both_end_with_equal_weights(self, trained):
        first, second = (weights_in(trained[1] / str(number) / "weights.npz") for number in (0, 1))
        assert len(first) > 10
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_the_training_is_that_of_one_process(self, trained):
        _, two, one = trained
        shared, alone = (pd.read_csv(folder / "history.csv") for folder in (two / "0", one))
        assert len(shared) == CONFIG.epochs
        pd.testing.assert_frame_equal(shared, alone, rtol=1e-3)
        weights = [weights_in(path) for path in (two / "0" / "weights.npz", one / "weights.npz")]
        for first, second in zip(*weights, strict=True):
            np.testing.assert_allclose(first, second, atol=1e-3)

    def test_each_computes_its_share_of_a_batch(self, trained):
        for number in (0, 1):
            text = (trained[1] / str(number) / "program.txt").read_text()
            assert f"[{SHARE},{SIZE},{SIZE},{FILTERS}]" in text
            assert f"[{BATCH},{SIZE},{SIZE},{FILTERS}]" not in text

    def test_the_model_scores_the_same_on_tensorflow(self, trained):
        records, two, _ = trained
        assert keras.backend.backend() == "tensorflow"
        model = keras.models.load_model(two / "0" / "model.keras", compile=False)
        for value, kept in zip(
            model.get_weights(), weights_in(two / "0" / "weights.npz"), strict=True
        ):
            np.testing.assert_array_equal(value, kept)
        model.compile(loss=LOSSES["dice+ce"]())
        score = model.evaluate(x=batches(records, (5, 6)), verbose=0)
        best = pd.read_csv(two / "0" / "history.csv")["val_loss"].min()
        np.testing.assert_allclose(score, best, rtol=1e-3)

    def test_what_differs_between_them_is_refused(self, trained):
        for number in (0, 1):
            refused = (trained[1] / str(number) / "refused.txt").read_text()
            assert "must have the same records, settings" in refused
            assert f'{{"settings": "{number}"}}' in refused


def test_alone_a_process_leads_and_meets_no_one():
    meet_hosts({"settings": object})  # nothing is even written as JSON
    assert is_leader()


def test_tensorflow_cannot_join():
    with pytest.raises(RuntimeError, match="KERAS_BACKEND=jax. Received: KERAS_BACKEND=tensorflow"):
        join_hosts()


if __name__ == "__main__":
    train_here(Path(sys.argv[1]), Path(sys.argv[2]))
