import keras
import numpy as np
import tensorflow as tf

from stroke_tf.fast.adam import FusedAdam


def trained(optimizer, steps=4):
    keras.utils.set_random_seed(2)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(1)])
    model.compile(optimizer=optimizer, loss="mse", jit_compile=False)
    rng = np.random.default_rng(0)
    for _ in range(steps):
        model.train_on_batch(rng.normal(size=(8, 3)), rng.normal(size=(8, 1)))
    return model


def test_the_fused_update_is_adams():
    ours, theirs = trained(FusedAdam(0.01)), trained(keras.optimizers.Adam(0.01))
    assert isinstance(ours.optimizer, FusedAdam)
    pairs = zip(
        ours.weights + ours.optimizer.variables,
        theirs.weights + theirs.optimizer.variables,
        strict=True,
    )
    for one, other in pairs:
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-4, atol=1e-7)


def test_the_first_step_by_hand():
    # m = 0.1 g, v = 0.001 g^2; both corrections cancel: each weight moves by the rate.
    weight = keras.Variable([1.0, -2.0])
    FusedAdam(0.5, epsilon=0.0).apply([tf.constant([3.0, -4.0])], [weight])
    np.testing.assert_allclose(weight.numpy(), [0.5, -1.5], rtol=1e-6)


def test_a_scaled_loss_and_a_changed_rate_are_followed():
    results = []
    for kind in (FusedAdam, keras.optimizers.Adam):
        optimizer = keras.optimizers.LossScaleOptimizer(kind(0.01))
        model = trained(optimizer)
        optimizer.inner_optimizer.learning_rate = 0.1
        model.train_on_batch(np.ones((4, 3)), np.ones((4, 1)))
        results.append(model.get_weights())
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
