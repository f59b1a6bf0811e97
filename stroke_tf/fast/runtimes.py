"""What computes a trained network: OpenVINO on a CPU, else TensorFlow as a graph of its own."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf

from stroke_tf.fast import is_on
from stroke_tf.fast.layers import fused_batch_norms

Runtime = Literal["auto", "keras", "openvino"]
Outputs = Any
"""What a network gives: an array or a dict of arrays, float32, the batch first."""


def inference(model: keras.Model, *, runtime: Runtime = "auto") -> Callable[[Any], Outputs]:
    """Returns a network in inference mode, as it is now: its weights are constants.

    Args:
        model: Has one input, on the TensorFlow backend.
        runtime: "keras" computes a batch as a TensorFlow graph. "openvino" has its graph computed
            by OpenVINO in float32 on the CPU, each core a slice of its own. "auto" takes OpenVINO
            where it is installed, there is no GPU, and the network is float32 and of a fixed size.

    Returns:
        A function of a batch, of whole numbers or float32, that gives what the model gives, but
        for rounding.

    Raises:
        ImportError: If OpenVINO is asked for and not installed.
        ValueError: If `runtime` is unknown.
    """
    if runtime not in get_args(Runtime):
        raise ValueError(f"`runtime` must be one of {get_args(Runtime)}. Received: {runtime!r}")
    by_openvino = runtime == "auto" and openvino_gains() and _is_plain(model)
    start = _by_openvino if by_openvino or runtime == "openvino" else _by_tensorflow
    return start(_graph(model))


def openvino_gains() -> bool:
    """Returns whether "auto" takes OpenVINO: it is installed and there is no GPU."""
    installed = importlib.util.find_spec("openvino") is not None
    return is_on() and installed and not tf.config.list_physical_devices("GPU")


def _is_plain(model: keras.Model) -> bool:
    dtypes = {layer.compute_dtype for layer in model._flatten_layers()}
    return dtypes == {"float32"} and None not in model.input_shape[1:]


def _graph(model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Returns a model as a graph whose weights are constants, so that batch norms join them."""
    trainable, others = (
        [keras.ops.convert_to_numpy(it) for it in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    )
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]

    @tf.function(input_signature=signature, autograph=False)
    def compute(images: tf.Tensor) -> Any:
        outputs, _ = model.stateless_call(trainable, others, images, training=False)
        return tf.nest.map_structure(lambda it: tf.cast(it, tf.float32), outputs)

    if is_on():
        with fused_batch_norms(model):
            compute.get_concrete_function()
    return compute


def _by_tensorflow(graph: Any) -> Callable[[Any], Outputs]:
    """Returns what gives the arrays of a TensorFlow graph."""

    def compute(images: Any) -> Outputs:
        return tf.nest.map_structure(lambda it: it.numpy(), graph(tf.cast(images, tf.float32)))

    return compute


def _by_openvino(graph: Any) -> Callable[[Any], Outputs]:
    """Returns what OpenVINO makes of a TensorFlow graph: each slice is a request of its own.

    The graph is read from a file: OpenVINO's converter, which takes it from memory, reports its use
    to its maker.
    """
    import openvino

    traced = graph.get_concrete_function()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.pb"
        path.write_bytes(traced.graph.as_graph_def().SerializeToString())
        network = openvino.Core().read_model(path)
    network.reshape([1, *traced.inputs[0].shape[1:]])
    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.compile_model(network, "CPU", options)
    ports = [compiled.output(it.name) for it in traced.outputs]
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(count)]

    def compute(images: Any) -> Outputs:
        batch = np.asarray(images, np.float32)
        outputs = [np.empty((len(batch), *port.shape[1:]), np.float32) for port in ports]
        for place in range(len(batch) + count):
            request = requests[place % count]
            if (done := place - count) >= 0:  # started a round ago
                request.wait()
                for output, port in zip(outputs, ports, strict=True):
                    output[done] = request.get_tensor(port).data[0]
            if place < len(batch):
                request.start_async({0: batch[place : place + 1]})
        return tf.nest.pack_sequence_as(traced.structured_outputs, outputs)

    return compute
