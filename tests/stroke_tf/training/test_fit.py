"""Tests of the training loop, on networks of a few dozen weights.

Run as a script, `test_fit.py <folder>` trains the same way in processes that kill themselves.
"""

import contextlib
import dataclasses
import itertools
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from stroke_tf.config import FitConfig
from stroke_tf.training import fit, strategy, training_scope

fit_module = sys.modules["stroke_tf.training.fit"]
callbacks_module = sys.modules["stroke_tf.training.callbacks"]

SLICES, BATCH, KILL_EPOCH = 32, 8, 5
CONFIG = FitConfig(epochs=12, learning_rate=0.05, patience=5, reduce_patience=2, reduce_factor=0.5)
MOMENTS = ("inside an epoch", "before the commit")
SHORT = FitConfig(epochs=2, learning_rate=0.01)


def features(seed):
    random = np.random.default_rng(seed)
    return random.normal(size=(SLICES, 4)).astype("float32"), random.integers(
        0, 2, (SLICES, 1)
    ).astype("float32")


def tiny_model(seed=0, dropout=0.3):
    keras.utils.set_random_seed(seed)
    images = keras.Input((4,))
    x = keras.layers.Dense(8, activation="relu")(images)
    x = keras.layers.Dropout(dropout)(keras.layers.BatchNormalization()(x))
    return keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(x))


def tiny_convolution():
    """As `tiny_model`, for the same slices seen as pictures of 2 x 2 pixels."""
    keras.utils.set_random_seed(0)
    slices = keras.Input((4,))
    x = keras.layers.Conv2D(4, 1)(keras.layers.Reshape((2, 2, 1))(slices))
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    return keras.Model(slices, keras.layers.Dense(1, activation="sigmoid")(x))


def batches(seed=0, *, shuffle=False, before_batch=lambda epoch, batch: None):
    """A data set that draws its order when an iteration starts, as `make_dataset` does."""
    images, labels = features(seed)
    epochs = itertools.count()

    def generate():
        epoch = next(epochs)
        order = np.random.default_rng(epoch).permutation(SLICES) if shuffle else np.arange(SLICES)
        for start in range(0, SLICES, BATCH):
            before_batch(epoch, start // BATCH)
            chosen = order[start : start + BATCH]
            yield images[chosen], labels[chosen]

    specs = (tf.TensorSpec((None, 4)), tf.TensorSpec((None, 1)))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=specs)
    return dataset.apply(tf.data.experimental.assert_cardinality(SLICES // BATCH)).prefetch(1)


def train(run_dir, *, model=None, config=CONFIG, before_batch=lambda epoch, batch: None, **options):
    return fit(
        model or tiny_model(),
        batches(shuffle=True, before_batch=before_batch),
        batches(seed=1),
        config=config,
        run_dir=Path(run_dir),
        **{"loss": "binary_crossentropy"} | options,
    )


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(run_dir, when):
    """Trains until epoch KILL_EPOCH and dies in its middle or when all but its commit is done."""
    if when == "inside an epoch":
        train(run_dir, before_batch=lambda *at: at == (KILL_EPOCH, 2) and die())
    write = fit_module.write_json

    def write_or_die(path, values):
        if path.name == "state.json" and values["epochs"] == KILL_EPOCH + 1:
            die()
        write(path, values)

    fit_module.write_json = write_or_die
    train(run_dir)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """An uninterrupted training: its folder, history and model."""
    run_dir, model = tmp_path_factory.mktemp("whole"), tiny_model()
    return run_dir, train(run_dir, model=model, metrics=["accuracy"]), model


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The folder of the trainings that were killed, named by when that happened."""
    root = tmp_path_factory.mktemp("killed")
    environment = os.environ | {"PYTHONPATH": str(Path(fit_module.__file__).parents[2])}
    subprocess.run([sys.executable, __file__, root], env=environment, check=True, timeout=300)
    return root


def test_without_validation_all_epochs_are_trained_and_the_last_is_kept(tmp_path):
    seen, model = [], tiny_model()
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())
    )
    history = fit(
        model,
        batches(shuffle=True),
        None,
        config=dataclasses.replace(CONFIG, patience=1, learning_rate=1.0),
        run_dir=tmp_path,
        loss="binary_crossentropy",
        callbacks=[note],
    )
    assert len(history) == len(seen) == CONFIG.epochs
    assert list(history) == ["epoch", "learning_rate", "loss"]
    assert history["loss"].diff().max() > 0  # worse for an epoch, and yet not stopped
    for kept, last in zip(model.get_weights(), seen[-1], strict=True):
        np.testing.assert_array_equal(kept, last)


@pytest.mark.parametrize("when", MOMENTS)
def test_a_killed_training_ends_as_if_it_had_not_been(when, killed, whole):
    _, expected, expected_model = whole
    rates = expected["learning_rate"]
    assert rates[KILL_EPOCH] < 0.05 and rates.iloc[-1] < rates[KILL_EPOCH]  # counters matter
    assert KILL_EPOCH + 2 < len(expected) < CONFIG.epochs  # it stopped early, after the kill
    assert expected["val_loss"].idxmin() < KILL_EPOCH  # the best epoch came before the kill

    model = tiny_model(seed=5)
    history = train(killed / when, model=model)
    assert history["epoch"].tolist() == list(range(len(expected)))
    pd.testing.assert_frame_equal(history, expected[history.columns], rtol=1e-4)
    for now, then in zip(model.get_weights(), expected_model.get_weights(), strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-5)  # oneDNN sums in any order


def test_the_run_folder_holds_model_history_and_tensorboard(whole):
    run_dir, history, _ = whole
    assert {path.name for path in run_dir.iterdir()} == {
        "model.keras",
        "history.csv",
        "tensorboard",
        "backup",
    }
    assert [path.name for path in (run_dir / "backup").iterdir()] == ["state.json"]
    assert list(run_dir.glob("tensorboard/**/events*"))
    scores = {"loss", "val_loss", "accuracy", "val_accuracy"}
    assert set(history.columns) == scores | {"epoch", "learning_rate"}


def test_model_and_file_are_those_of_the_best_epoch_and_uncompiled(whole):
    run_dir, history, model = whole
    saved = keras.models.load_model(run_dir / "model.keras")
    images, labels = features(1)
    for each in (model, saved):
        assert not each.compiled
        losses = keras.losses.binary_crossentropy(labels, each(images))
        assert float(np.mean(losses)) == pytest.approx(history["val_loss"].min(), abs=1e-6)


def test_a_finished_training_is_not_done_again(whole):
    def refuse(epoch, batch):
        raise AssertionError("trained again")

    run_dir, history, trained = whole
    model = tiny_model(seed=5)
    again = train(run_dir, model=model, before_batch=refuse)
    pd.testing.assert_frame_equal(again, history)
    np.testing.assert_array_equal(model.get_weights()[0], trained.get_weights()[0])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"config": dataclasses.replace(CONFIG, seed=1)}, "seed"),
        ({"loss": "mse"}, "loss"),
        ({"loss": keras.losses.BinaryCrossentropy()}, "loss"),
        ({"class_weight": {0: 1.0, 1: 2.0}}, "class_weight"),
    ],
)
def test_a_folder_of_other_settings_is_refused(change, name, whole):
    with pytest.raises(ValueError, match=rf"settings it began with.*'{name}'"):
        train(whole[0], **change)


def test_equal_seeds_train_equally(whole, tmp_path):
    history = train(tmp_path, config=dataclasses.replace(CONFIG, epochs=2))
    expected = whole[1].iloc[:2][history.columns]
    pd.testing.assert_frame_equal(history, expected, rtol=1e-4)


def test_the_best_epoch_can_be_the_highest_score(tmp_path, capsys):
    config = dataclasses.replace(SHORT, epochs=4)
    model = tiny_model()
    metric = keras.metrics.BinaryAccuracy(name="right")
    options = {"metrics": [metric], "monitor": "val_right", "mode": "max"}
    history = train(tmp_path, model=model, config=config, progress="Tiny", **options)
    assert capsys.readouterr().out.count("val_right") == 4
    images, labels = features(1)
    right = np.mean((model(images).numpy() > 0.5) == labels)
    assert right == pytest.approx(history["val_right"].max())


def test_class_weights_weigh_the_training_loss(tmp_path):
    still = dataclasses.replace(SHORT, epochs=1, learning_rate=0.0)
    images = keras.Input((4,))
    model = keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(images))
    probs, labels = model(features(0)[0]).numpy(), features(0)[1]
    history = train(tmp_path, model=model, config=still, class_weight={0: 1.0, 1: 3.0})
    entropy = -np.where(labels == 1, 3 * np.log(probs), np.log(1 - probs))
    assert history["loss"][0] == pytest.approx(entropy.mean(), rel=1e-5)


NAMES = itertools.count()


def two_outputs(seed=0):
    keras.utils.set_random_seed(seed)
    x = keras.layers.Dense(8, activation="relu")(images := keras.Input((4,)))
    heads = {
        "yes": keras.layers.Dense(1, activation="sigmoid", name="yes")(x),
        "which": keras.layers.Dense(3, activation="softmax", name="which")(x),
    }
    return keras.Model(images, heads)


def train_two_outputs(run_dir, *, model=None, weights=(1.0, 0.25), before_batch=lambda *_: None):
    def both(images, labels):
        return images, {"yes": labels, "which": 2 * labels}

    return fit(
        model or two_outputs(),
        batches(shuffle=True, before_batch=before_batch).map(both),
        batches(seed=1).map(both),
        config=dataclasses.replace(SHORT, epochs=3),
        run_dir=run_dir,
        loss={
            "yes": "binary_crossentropy",
            # Names count the losses of a process, so they differ when a training goes on.
            "which": keras.losses.SparseCategoricalCrossentropy(name=f"which_{next(NAMES)}"),
        },
        loss_weights=dict(zip(("yes", "which"), weights, strict=True)),
        metrics={"yes": ["accuracy"], "which": ["accuracy"]},
    )


def test_two_outputs_are_trained_together_and_go_on_where_they_stopped(tmp_path):
    model = two_outputs()
    history = train_two_outputs(tmp_path / "whole", model=model)
    assert history["epoch"].tolist() == [0, 1, 2]
    names = {"loss", "yes_loss", "which_loss", "yes_accuracy", "which_accuracy"}
    both = names | {f"val_{name}" for name in names}
    assert set(history.columns) == both | {"epoch", "learning_rate"}
    expected = history["val_yes_loss"] + 0.25 * history["val_which_loss"]
    np.testing.assert_allclose(history["val_loss"], expected, rtol=1e-5)
    saved = keras.models.load_model(tmp_path / "whole" / "model.keras")
    assert saved(features(1)[0]).keys() == {"yes", "which"}
    for now, then in zip(saved.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(now, then)

    def stop(epoch, batch):
        if (epoch, batch) == (1, 2):
            raise InterruptedError

    with contextlib.suppress(tf.errors.OpError):
        train_two_outputs(tmp_path / "stopped", before_batch=stop)
    state = (tmp_path / "stopped" / "backup" / "state.json").read_text()
    assert '"epochs": 1' in state
    again = train_two_outputs(tmp_path / "stopped", model=two_outputs(seed=5))
    pd.testing.assert_frame_equal(again, history, rtol=1e-4)
    with pytest.raises(ValueError, match="settings it began with.*'loss_weights'"):
        train_two_outputs(tmp_path / "stopped", weights=(1.0, 0.5))


class Steering(keras.callbacks.Callback):
    """Notes the epochs that ended, as what is drawn next may depend on them."""

    def __init__(self):
        super().__init__()
        self.drawn = {}

    def on_epoch_end(self, epoch, logs=None):
        self.drawn = self.drawn | {f"epoch {epoch}": epoch}


def test_what_steers_a_training_is_restored(tmp_path):
    def stop(epoch, batch):
        if (epoch, batch) == (2, 1):
            raise InterruptedError

    three = dataclasses.replace(SHORT, epochs=3)
    with contextlib.suppress(tf.errors.OpError):
        train(tmp_path, config=three, before_batch=stop, steering=[Steering()])
    again = Steering()
    train(tmp_path, config=three, steering=[again])
    assert again.drawn == {"epoch 0": 0, "epoch 1": 1, "epoch 2": 2}


def test_further_outputs_are_trained_and_not_saved(tmp_path):
    model = tiny_model(dropout=0.0)
    score = model.output
    beside = keras.layers.Dense(1, activation="sigmoid", name="beside")(model.layers[-2].output)
    labels = batches().map(lambda images, yes: (images, {"score": yes, "beside": yes}))
    history = fit(
        model,
        labels,
        labels,
        config=SHORT,
        run_dir=tmp_path,
        loss={"score": "binary_crossentropy", "beside": "binary_crossentropy"},
        outputs={"score": score, "beside": beside},
        loss_weights={"score": 1.0, "beside": 0.5},
    )
    expected = history["score_loss"] + 0.5 * history["beside_loss"]
    np.testing.assert_allclose(history["loss"], expected, rtol=1e-4)
    assert history["beside_loss"].is_monotonic_decreasing
    saved = keras.models.load_model(tmp_path / "model.keras")
    assert saved.output_shape == (None, 1)
    assert len(saved.weights) == len(tiny_model().weights)


@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_a_score_that_is_no_number_stops_the_training(name, tmp_path):
    spoiled = batches().map(lambda images, labels: (images, labels * float("nan")))
    sets = (spoiled, batches()) if name == "loss" else (batches(), spoiled)
    options = {"config": SHORT, "run_dir": tmp_path, "loss": "mse"}
    with pytest.raises(FloatingPointError, match=f"`{name}` must be finite.*nan in epoch 0"):
        fit(tiny_model(), *sets, **options)


def test_an_unknown_score_to_watch_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="one of .*'val_loss'.*Received: 'val_dice'"):
        train(tmp_path, config=SHORT, monitor="val_dice")


def show(title):
    with callbacks_module.Progress(title, monitor="val_dice") as display:
        display.set_params({"epochs": 2, "steps": 4})
        for epoch in range(2):
            display.on_epoch_begin(epoch)
            display.on_train_batch_end(3)
            scores = {"loss": 0.5, "val_loss": 0.25, "val_dice": 0.125, "learning_rate": 0.001}
            display.on_epoch_end(epoch, scores)


def test_progress_is_a_line_for_each_epoch_without_a_terminal(capsys):
    show("Tiny")
    scores = "loss 0.5  val_dice 0.125  learning_rate 0.001"
    lines = [f"Tiny: epoch {epoch}/2  {scores}\n" for epoch in (1, 2)]
    assert capsys.readouterr().out == "".join(lines)


def test_progress_is_a_bar_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    show("Tiny")
    out = capsys.readouterr().out
    assert "━" in out and "epoch 2/2" in out and "Tiny: " not in out


def test_nothing_is_shown_without_a_title(capsys):
    show(None)
    assert capsys.readouterr().out == ""


def test_float16_is_refused_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: [])
    mixed = dataclasses.replace(SHORT, precision="float16")
    with pytest.raises(ValueError, match="without a GPU: float16 is slower on a CPU"):
        train(tmp_path, config=mixed)
    with pytest.raises(ValueError, match="without a GPU"), training_scope(mixed):
        pass


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_mixed_precision_trains_a_model_built_in_its_scope(precision, tmp_path, monkeypatch):
    if precision == "float16":
        gpus = {None: [], "GPU": ["GPU"]}
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: gpus[kind])
    mixed = dataclasses.replace(SHORT, precision=precision)
    with training_scope(mixed):
        model = tiny_model()
    assert keras.config.dtype_policy().name == "float32"
    assert model.layers[1].compute_dtype == precision
    assert len(train(tmp_path / "mixed", model=model, config=mixed)) == 2
    with pytest.raises(ValueError, match="inside `training_scope"):
        train(tmp_path / "plain", config=mixed)


@pytest.mark.parametrize(("gpus", "mirrored"), [(0, False), (1, False), (2, True)])
def test_a_mirrored_strategy_needs_two_gpus(gpus, mirrored, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU"] * gpus)
    monkeypatch.setattr(tf.distribute, "MirroredStrategy", lambda: "mirrored")
    assert (strategy() == "mirrored") == mirrored


@pytest.mark.slow
def test_a_stopped_training_on_two_devices_goes_on(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(fit_module.__file__).parents[2])}
    command = [sys.executable, __file__, tmp_path, "--mirrored"]
    subprocess.run(command, env=environment, check=True, timeout=300)
    assert pd.read_csv(tmp_path / "history.csv")["epoch"].tolist() == [0, 1]


def train_mirrored(run_dir):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    fit_module.strategy = lambda: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

    def stop(epoch, batch):
        if (epoch, batch) == (1, 0):
            raise InterruptedError

    for before_batch in (stop, lambda epoch, batch: None):
        with training_scope(SHORT):
            model = tiny_convolution()
        if model.distribute_strategy.num_replicas_in_sync != 2:
            sys.exit("the model was not built on two devices")
        with contextlib.suppress(tf.errors.OpError):
            train(run_dir, model=model, config=SHORT, before_batch=before_batch)


if __name__ == "__main__":
    if "--mirrored" in sys.argv:
        train_mirrored(sys.argv[1])
        sys.exit()
    for moment in MOMENTS:
        child = os.fork()
        if child == 0:
            train_and_die(Path(sys.argv[1]) / moment, moment)
            os._exit(1)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            sys.exit(f"the training did not die {moment}")
