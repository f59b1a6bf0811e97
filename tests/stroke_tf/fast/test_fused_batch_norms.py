import contextlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.fast.layers import fused_batch_norms


@pytest.fixture
def fuse():
    """Fuses the batch norms of a model until the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda model: stack.enter_context(fused_batch_norms(model))


def small_model(**options):
    keras.utils.set_random_seed(3)
    images = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.BatchNormalization(**options)])
    maps = keras.layers.Conv2D(4, 3, padding="same")(inner(images))
    maps = keras.layers.BatchNormalization(momentum=0.9, **options)(maps)
    maps = keras.layers.ReLU()(maps)
    return keras.Model(images, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(maps)))


def trained(model, steps=3):
    rng = np.random.default_rng(0)
    images = rng.uniform(-2, 3, (4, 8, 8, 3)).astype("float32")
    labels = rng.normal(size=(4, 1)).astype("float32")
    model.compile(optimizer=keras.optimizers.SGD(0.05), loss="mse", jit_compile=False)
    for _ in range(steps):
        model.train_on_batch(images, labels)
    return images


@pytest.mark.parametrize(
    "options", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}]
)
def test_fused_batch_norms_train_to_the_same_weights_and_moving_averages(options, fuse):
    plain, fused = small_model(**options), small_model(**options)
    fuse(fused)
    trained(plain)
    images = trained(fused)
    for ours, theirs in zip(fused.variables, plain.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(fused(images), plain(images), rtol=1e-4, atol=1e-6)


def test_frozen_batch_norms_train_what_lies_before_them_alike(fuse):
    plain, fused = small_model(), small_model()
    for model in (plain, fused):
        trained(model)
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    fuse(fused)
    before = [variable.numpy() for variable in fused.non_trainable_variables]
    for model in (plain, fused):
        trained(model)
    for ours, theirs in zip(fused.trainable_variables, plain.trainable_variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)
    for ours, theirs in zip(fused.non_trainable_variables[: len(before)], before, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_the_graph_has_one_operation_for_each_batch_norm(fuse):
    model = small_model()
    fuse(model)
    traced = tf.function(model).get_concrete_function(tf.zeros((1, 8, 8, 3)), training=True)
    kinds = [operation.type for operation in traced.graph.get_operations()]
    assert kinds.count("FusedBatchNormV3") == 2
    assert "SquaredDifference" not in kinds


def test_a_saved_model_holds_keras_own_layers(tmp_path, fuse):
    model = small_model()
    fuse(model)
    images = trained(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded(images), model(images), rtol=1e-5, atol=1e-6)
    assert "call" not in vars(loaded.layers[3])
    assert type(loaded.layers[3]) is keras.layers.BatchNormalization


@pytest.mark.parametrize("options", [{"axis": 1}, {"axis": 2}])
def test_batch_norms_of_another_axis_stay_as_they_are(options, fuse):
    images = keras.Input((8, 8, 3))
    model = keras.Model(images, keras.layers.BatchNormalization(**options)(images))
    fuse(model)
    assert "call" not in vars(model.layers[1])


def test_half_precision_is_normalised_in_float32_as_keras_does(fuse):
    results = []
    for fused in (False, True):
        keras.utils.set_random_seed(0)
        images = keras.Input((8, 8, 3))
        layer = keras.layers.BatchNormalization(dtype="mixed_float16")
        model = keras.Model(images, layer(images))
        if fused:
            fuse(model)
        values = np.random.default_rng(0).normal(300, 5, (2, 8, 8, 3)).astype("float16")
        results.append(model(values, training=True))
    assert results[1].dtype == "float16"
    np.testing.assert_allclose(results[0], results[1], atol=2e-3)


def test_a_model_is_left_with_keras_own_layers():
    model = small_model()
    with fused_batch_norms(model):
        assert sum("call" in vars(layer) for layer in model._flatten_layers()) == 2
    assert not any("call" in vars(layer) for layer in model._flatten_layers())


@pytest.mark.parametrize(("set_to", "found"), [(None, "1"), ("0", "0")])
def test_onednn_is_on_unless_the_user_says_otherwise(set_to, found, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if set_to is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", set_to)
    code = "import stroke_tf, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == found
