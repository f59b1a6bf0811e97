import contextlib
import dataclasses
import math
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from stroke_tf.config import FitConfig
from stroke_tf.training import fit
from stroke_tf.training.recipe import check_recipe, cosine, optimizer_of

fit_module = sys.modules["stroke_tf.training.fit"]

PLAIN = FitConfig(epochs=3, learning_rate=0.1)


def variables():
    keras.utils.set_random_seed(0)
    return [keras.Variable([[1.0, 2.0]], name="kernel"), keras.Variable([3.0, 4.0], name="bias")]


def moved(config, gradients, slow=()):
    """Where one step moves a kernel and a bias to."""
    weights = variables()
    chosen = [weights[place] for place in slow]
    optimizer = optimizer_of(config, chosen)
    optimizer.build(weights)
    optimizer.apply(list(gradients), weights)
    return [weight.numpy() for weight in weights]


def gradients(size=1.0):
    return tf.constant([[size, size]]), tf.constant([size, size])


def test_the_first_step_of_adam_is_the_learning_rate():
    kernel, bias = moved(PLAIN, gradients())
    np.testing.assert_allclose(kernel, [[0.9, 1.9]], rtol=1e-5)
    np.testing.assert_allclose(bias, [2.9, 3.9], rtol=1e-5)


def test_weight_decay_shrinks_kernels_alone():
    decayed = moved(dataclasses.replace(PLAIN, weight_decay=0.5), gradients())
    plain = moved(PLAIN, gradients())
    np.testing.assert_allclose(decayed[0] - plain[0], [[-0.05, -0.1]], rtol=1e-4)
    np.testing.assert_array_equal(decayed[1], plain[1])


def test_slow_weights_move_by_their_share():
    config = dataclasses.replace(PLAIN, encoder_rate=0.1)
    kernel, bias = moved(config, gradients(), slow=[0])
    np.testing.assert_allclose(kernel, [[0.99, 1.99]], rtol=1e-5)
    np.testing.assert_allclose(bias, [2.9, 3.9], rtol=1e-5)


def test_gradients_are_clipped_by_the_norm_of_all_of_them():
    config = dataclasses.replace(PLAIN, clip_norm=1.0)
    weights = variables()
    optimizer = optimizer_of(config, [])
    optimizer.build(weights)
    optimizer.apply(list(gradients(100.0)), weights)
    # Adam's second moment after one step is (1 - beta_2) times the squared gradient.
    second = optimizer._velocities[0].numpy()
    np.testing.assert_allclose(second, 0.001 * 0.25, rtol=1e-3)


def test_a_cosine_rises_in_steps_and_falls_to_nothing():
    config = FitConfig(epochs=10, learning_rate=1.0, schedule="cosine", warmup_epochs=3)
    rates = [cosine(config, epoch) for epoch in range(10)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert all(now > later for now, later in zip(rates[3:], rates[4:], strict=False))
    assert rates[9] == pytest.approx((1 + math.cos(math.pi * 6 / 7)) / 2)
    assert cosine(dataclasses.replace(config, epochs=1), 0) == 1.0


def small_model():
    keras.utils.set_random_seed(0)
    images = keras.Input((4,))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(8, activation="relu")(images))
    return keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(x))


def batches(seed):
    random = np.random.default_rng(seed)
    slices = random.normal(size=(32, 4)).astype("float32")
    labels = (slices[:, :1] > 0).astype("float32")
    return tf.data.Dataset.from_tensor_slices((slices, labels)).batch(8)


def train(folder, config, **options):
    model = small_model()
    history = fit(
        model, batches(0), batches(1), config=config, run_dir=folder, loss="binary_crossentropy",
        **options,
    )  # fmt: skip
    return model, history


def test_the_history_has_the_learning_rates_of_the_cosine(tmp_path):
    config = FitConfig(epochs=4, learning_rate=0.1, schedule="cosine", warmup_epochs=1)
    _, history = train(tmp_path, config)
    expected = [cosine(config, epoch) for epoch in range(4)]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-5)


def test_the_mean_of_the_weights_is_what_is_validated_and_kept(tmp_path):
    config = FitConfig(epochs=6, learning_rate=0.05, average=0.9, patience=6)
    model, history = train(tmp_path / "mean", config)
    alone, _ = train(tmp_path / "alone", dataclasses.replace(config, average=0.0))
    assert not np.allclose(model.get_weights()[0], alone.get_weights()[0])
    loss = keras.losses.BinaryCrossentropy()
    slices, labels = next(iter(batches(1).unbatch().batch(32)))
    kept = float(loss(labels, model(slices, training=False)))
    assert kept == pytest.approx(history["val_loss"].min(), rel=1e-3)


def test_a_stopped_training_with_a_mean_goes_on_as_if_it_had_not_stopped(tmp_path, monkeypatch):
    recipe = {"schedule": "cosine", "average": 0.9, "weight_decay": 0.01, "clip_norm": 1.0}
    config = FitConfig(epochs=5, learning_rate=0.05, patience=5, **recipe)
    model, expected = train(tmp_path / "whole", config)

    class StopAtThree(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 3:
                raise KeyboardInterrupt

    shown = contextlib.nullcontext(StopAtThree())
    monkeypatch.setattr(fit_module, "Progress", lambda *_, **__: shown)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", config)
    monkeypatch.undo()
    again, history = train(tmp_path / "stopped", config)
    pd.testing.assert_frame_equal(history, expected, rtol=1e-4)
    for now, then in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(now, then, rtol=1e-3, atol=1e-5)


def test_a_mean_of_the_weights_is_refused_where_it_was_not_tried(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="`average` needs TensorFlow.* Received: 0.9 with jax"):
        check_recipe(dataclasses.replace(PLAIN, average=0.9), has_slow=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"average": 1.0}, r"`average` must be in \[0, 1\). Received: 1.0"),
        ({"weight_decay": -1}, "`weight_decay` must be >= 0. Received: -1"),
        ({"clip_norm": 0.0}, "`clip_norm` must be > 0. Received: 0.0"),
        ({"warmup_epochs": 2}, "`warmup_epochs` needs the schedule cosine"),
        ({"encoder_rate": -0.1}, "`encoder_rate` must be >= 0. Received: -0.1"),
        ({"encoder_rate": 0.1}, "`encoder_rate` needs an encoder of its own"),
    ],
)
def test_settings_out_of_range_or_without_effect_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_recipe(dataclasses.replace(PLAIN, **change), has_slow=False)
