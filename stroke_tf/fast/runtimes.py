"""What computes a trained network: OpenVINO on a CPU, else TensorFlow, or what is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, get_args

import keras
import numpy as np
import tensorflow as tf

from stroke_tf.config import ExportFormat, Runtime
from stroke_tf.fast import is_on
from stroke_tf.fast.formats import convert
from stroke_tf.fast.graphs import OUTPUT, freeze

Outputs = Any
"""What a network gives: an array or a dict of arrays, float32, the batch first."""


def inference(model: keras.Model, *, runtime: Runtime = "auto") -> Callable[[Any], Outputs]:
    """Returns a network in inference mode, as it is now: its weights are constants.

    Args:
        model: Has one input, on the TensorFlow backend.
        runtime: "keras" computes a batch as a TensorFlow graph. "openvino" has its graph computed
            by OpenVINO in float32 on the CPU, each core a slice of its own; "onnx" by ONNX Runtime,
            "litert" by LiteRT, slice by slice: the network is converted here, in seconds. "auto"
            takes OpenVINO where it is installed, there is no GPU, and the network is float32 and
            of a fixed size.

    Returns:
        A function of a batch, of whole numbers or float32, that gives what the model gives, but
        for rounding.

    Raises:
        ImportError: If a runtime is asked for and not installed; it names the package.
        ValueError: If `runtime` is unknown, or wants a network of a fixed size.
    """
    if runtime not in get_args(Runtime):
        raise ValueError(f"`runtime` must be one of {get_args(Runtime)}. Received: {runtime!r}")
    if runtime == "auto":
        runtime = "openvino" if openvino_gains() and _is_plain(model) else "keras"
    compute = _by_tensorflow(model) if runtime == "keras" else _converted(model, runtime)

    def outputs(images: Any) -> Outputs:
        named = compute(images)
        return named[OUTPUT] if named.keys() == {OUTPUT} else named

    return outputs


def openvino_gains() -> bool:
    """Returns whether "auto" takes OpenVINO: it is installed and there is no GPU."""
    installed = importlib.util.find_spec("openvino") is not None
    return is_on() and installed and not tf.config.list_physical_devices("GPU")


def _is_plain(model: keras.Model) -> bool:
    dtypes = {layer.compute_dtype for layer in model._flatten_layers()}
    return dtypes == {"float32"} and None not in model.input_shape[1:]


def _by_tensorflow(model: keras.Model) -> Callable[[Any], dict[str, np.ndarray]]:
    graph = freeze(model)

    def compute(images: Any) -> dict[str, np.ndarray]:
        outputs = graph.outputs(tf.cast(images, tf.float32))
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return compute


def _converted(model: keras.Model, name: ExportFormat) -> Callable[[Any], dict[str, np.ndarray]]:
    compute = convert(model, name)
    return lambda images: compute(np.asarray(images, np.float32))
