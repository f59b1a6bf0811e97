import sys
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.fast import is_on
from stroke_tf.fast.runtimes import inference, openvino_gains

all_runtimes = pytest.mark.parametrize("runtime", ["keras", "openvino", "onnx", "litert"])


def decoder(*, dtype="float32"):
    """A convolution, a trained batch norm, a doubled image and a skip connection, as in a U-Net."""
    keras.utils.set_random_seed(1)
    images = keras.Input((6, 4, 3))
    small = keras.layers.Conv2D(4, 3, strides=2, padding="same", dtype=dtype)(images)
    norm = keras.layers.BatchNormalization(dtype=dtype)
    joined = keras.layers.Concatenate()([keras.layers.UpSampling2D(2)(norm(small)), images])
    maps = keras.layers.Conv2D(2, 3, padding="same", activation="softmax")(joined)
    rng = np.random.default_rng(0)
    norm.set_weights([rng.uniform(0.5, 2, weight.shape) for weight in norm.get_weights()])
    whole = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(images, {"slice": whole, "mask": maps})


def noise(count=3):
    return np.random.default_rng(0).normal(size=(count, 6, 4, 3)).astype("float32")


@all_runtimes
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_runtime_computes_what_keras_does(runtime, count):
    model, images = decoder(), noise(count)
    outputs, expected = inference(model, runtime=runtime)(images), model(images, training=False)
    assert outputs.keys() == {"slice", "mask"}
    for name in outputs:
        np.testing.assert_allclose(outputs[name], expected[name], rtol=1e-5, atol=1e-6)


@all_runtimes
def test_slices_keep_their_order(runtime):
    images = keras.Input((2, 2, 1))
    model = keras.Model(images, images + 1.0)
    values = np.arange(80, dtype=np.uint8).reshape(20, 2, 2, 1)
    np.testing.assert_array_equal(inference(model, runtime=runtime)(values), values + 1.0)


@all_runtimes
def test_a_network_is_taken_as_it_is_and_left_so(runtime):
    model, images = decoder(), noise()
    compute, before = inference(model, runtime=runtime), model(images, training=False)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
    model.set_weights([0.5 * weight for weight in model.get_weights()])
    np.testing.assert_allclose(compute(images)["mask"], before["mask"], rtol=1e-5, atol=1e-6)


def test_half_precision_is_left_to_keras_and_comes_as_float32():
    model, images = decoder(dtype="mixed_bfloat16"), noise()
    mask = inference(model)(images)["mask"]
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, model(images)["mask"], atol=0.05)


def test_a_network_for_any_size_is_left_to_keras():
    images = keras.Input((None, None, 1))
    compute = inference(keras.Model(images, 2 * images))
    assert compute(np.ones((1, 2, 3, 1)))[0, 1, 2] == 2


def test_openvino_is_chosen_where_it_is_installed_and_there_is_no_gpu(monkeypatch):
    assert openvino_gains()
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["GPU:0"])
    assert not openvino_gains()
    monkeypatch.undo()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not openvino_gains()


def test_what_layers_keep_besides_weights_goes_along():
    """Keras' Normalization keeps plain tensors, which would become further inputs."""
    images = keras.Input((2, 2, 1))
    model = keras.Model(images, keras.layers.Normalization(mean=3.0, variance=4.0)(images))
    for runtime in ("keras", "openvino", "onnx", "litert"):
        compute = inference(model, runtime=runtime)
        np.testing.assert_allclose(compute(np.full((2, 2, 2, 1), 9))[1, 0, 0], 3, rtol=1e-6)


def test_threads_do_not_mix_what_they_ask():
    images = keras.Input((2, 2, 1))
    model = keras.Model(images, images + 1.0)
    for runtime in ("openvino", "litert"):
        compute = inference(model, runtime=runtime)
        batches = [np.full((5, 2, 2, 1), value) for value in range(20)]
        with ThreadPoolExecutor(4) as pool:
            for value, found in enumerate(pool.map(compute, batches)):
                np.testing.assert_array_equal(found, np.full((5, 2, 2, 1), value + 1.0))


def test_a_runtime_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r"onnx needs .*onnxruntime.*'stroke_tf\[runtime\]'"):
        inference(decoder(), runtime="onnx")


@pytest.mark.parametrize("runtime", ["openvino", "onnx", "litert"])
def test_a_network_for_any_size_is_not_converted(runtime):
    images = keras.Input((None, None, 1))
    with pytest.raises(ValueError, match="of a fixed size. Received: .None, None, None, 1."):
        inference(keras.Model(images, 2 * images), runtime=runtime)


def test_an_unknown_runtime_is_refused():
    with pytest.raises(ValueError, match="must be one of .*'keras'.*Received: 'torch'"):
        inference(decoder(), runtime="torch")


def test_all_of_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("STROKE_TF_FAST", "0")
    model, images = decoder(), noise()
    assert not is_on() and not openvino_gains()
    np.testing.assert_allclose(inference(model)(images)["mask"], model(images)["mask"], rtol=1e-5)
