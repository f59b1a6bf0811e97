"""Trained networks as one frozen graph, as files of other libraries, and the runtimes for them.

The runtime is OpenVINO on a CPU, else TensorFlow, or the one asked for. Knows nothing of slices.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.util
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from stroke_tf.config import ExportFormat, Runtime
from stroke_tf.fast import is_on, takes_openvino
from stroke_tf.fast.layers import fused_batch_norms
from stroke_tf.machine import usable_cores

Outputs = Any
"""The output of a network: an array or a dict of arrays, float32, the batch first."""
IMAGE = "image"
"""The name of a graph's input."""
OUTPUT = "output"
"""The name of the output of a network that gives an array, not a dict of arrays."""
Compute = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Takes a batch, float32, and gives float32 arrays by the name of the output."""

_SIGNATURE = "serving_default"
_OPSET = 18


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
    return takes_openvino(has_gpu=bool(tf.config.list_physical_devices("GPU")))


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


@dataclass(frozen=True)
class FrozenGraph:
    """A network in inference mode, as it was when this was made.

    Attributes:
        function: Takes float32 images and gives a list of float32 tensors.
        names: The names of the outputs, in the order of that list.
    """

    function: Any
    names: tuple[str, ...]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the input; None where any length goes."""
        return tuple(self.function.inputs[0].shape)

    def outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the outputs by name."""
        return dict(zip(self.names, self.function(images), strict=True))


def freeze(model: keras.Model, *, batch: int | None = None) -> FrozenGraph:
    """Returns a network as a graph that holds its weights and all that its layers keep as tensors.

    Args:
        model: Has one input, on the TensorFlow backend.
        batch: Number of slices in a batch; None takes any.
    """
    names: list[str] = []

    def compute(images: tf.Tensor) -> list[tf.Tensor]:
        outputs = model(images, training=False)
        named = outputs if isinstance(outputs, dict) else {OUTPUT: outputs}
        names[:] = sorted(named)
        return [tf.cast(named[name], tf.float32) for name in names]

    spec = tf.TensorSpec((batch, *model.input_shape[1:]), tf.float32, name=IMAGE)
    with fused_batch_norms(model) if is_on() else contextlib.nullcontext():
        traced = tf.function(compute, autograph=False).get_concrete_function(spec)
    return FrozenGraph(convert_variables_to_constants_v2(traced), tuple(names))


@dataclass(frozen=True)
class FileFormat:
    """One kind of file.

    Attributes:
        writer: Package that writes it.
        reader: Package that computes it.
        write: Writes a network into an empty folder.
        load: Returns a function that computes the network of a folder.
    """

    writer: str
    reader: str
    write: Callable[[keras.Model, Path], None]
    load: Callable[[Path], Compute]


def convert(model: keras.Model, name: ExportFormat) -> Compute:
    """Returns a function that computes a network by the runtime of a format.

    Raises:
        ImportError: If a package is not installed; names it and its extra.
        ValueError: If the network has no fixed size, which these runtimes want.
    """
    if None in model.input_shape[1:]:
        raise ValueError(f"{name} needs a network of a fixed size. Received: {model.input_shape}")
    check_packages(name)
    with tempfile.TemporaryDirectory() as folder:
        FORMATS[name].write(model, Path(folder))
        return FORMATS[name].load(Path(folder))


def check_packages(name: ExportFormat) -> None:
    """Refuses a format whose packages are not installed.

    Raises:
        ImportError: Names the package and the extra.
    """
    for package in (FORMATS[name].writer, FORMATS[name].reader):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ImportError(
                f"{name} needs the package {package}: pip install 'stroke_tf[runtime]'"
            ) from error


def write_openvino(model: keras.Model, folder: Path) -> None:
    """Writes `model.xml` and `model.bin`: float32, any batch."""
    import openvino

    openvino.save_model(openvino_network(freeze(model)), folder / "model.xml", False)


def openvino_network(graph: FrozenGraph) -> Any:
    """Returns a graph as OpenVINO has it.

    The graph is read from a file: OpenVINO's converter, which takes it from memory, reports its use
    to its maker.
    """
    import openvino

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.pb"
        path.write_bytes(graph.function.graph.as_graph_def().SerializeToString())
        network = openvino.Core().read_model(path)
    network.inputs[0].tensor.set_names({IMAGE})
    for tensor, name in zip(_tensor_names(graph), graph.names, strict=True):
        source = network.output(tensor).node.input_value(0)  # whose names the output has too
        source.tensor.set_names({name})
    return network


def load_openvino(folder: Path, *, precision: str = "f32") -> Compute:
    """Returns a function that computes `model.xml` of a folder, see `by_openvino`."""
    import openvino

    return by_openvino(openvino.Core().read_model(folder / "model.xml"), precision=precision)


def by_openvino(network: Any, *, precision: str = "f32") -> Compute:
    """Returns a function that computes a network on the processor, each slice as its own request.

    Args:
        network: A network of OpenVINO with one input; its batch becomes 1.
        precision: "f32"; or "bf16", which gains where the processor has it.
    """
    import openvino

    names = [port.any_name for port in network.outputs]  # compiled, they can have others
    network.reshape([1, *(side.get_length() for side in network.inputs[0].partial_shape[1:])])
    options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.compile_model(network, "CPU", options)
    ports = dict(zip(names, compiled.outputs, strict=True))
    count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    requests = [compiled.create_infer_request() for _ in range(count)]

    def compute(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = {
            name: np.empty((len(images), *port.shape[1:]), np.float32)
            for name, port in ports.items()
        }
        for place in range(len(images) + count):
            request = requests[place % count]
            if 0 <= (done := place - count) < len(images):  # started a round ago
                request.wait()
                for name, port in ports.items():
                    outputs[name][done] = request.get_tensor(port).data[0]
            if place < len(images):
                request.start_async({0: images[place : place + 1]})
        return outputs

    return _one_at_a_time(compute)


def write_onnx(model: keras.Model, folder: Path) -> None:
    """Writes `model.onnx`: float32, any batch."""
    import tf2onnx

    graph = freeze(model)
    inputs, outputs = ([tensor.name for tensor in graph.function.inputs], _tensor_names(graph))
    with _cycles_freed():
        tf2onnx.convert.from_graph_def(
            graph.function.graph.as_graph_def(),
            input_names=inputs,
            output_names=outputs,
            tensors_to_rename=dict(zip([*inputs, *outputs], [IMAGE, *graph.names], strict=True)),
            opset=_OPSET,
            output_path=str(folder / "model.onnx"),
        )


def load_onnx(folder: Path) -> Compute:
    """Returns a function that computes `model.onnx` of a folder by ONNX Runtime on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    path = str(folder / "model.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda images: dict(zip(names, session.run(names, {IMAGE: images}), strict=True))


def write_litert(
    model: keras.Model, folder: Path, *, calibration: Iterable[np.ndarray] | None = None
) -> None:
    """Writes `model.tflite`: a batch of 1, float32; or whole numbers of 8 bits inside.

    Args:
        model: The network.
        folder: An empty folder.
        calibration: Inputs, float32, each of shape (1, ...), from which the ranges of whole numbers
            are taken; None keeps float32.
    """
    with tempfile.TemporaryDirectory() as saved:
        _save(freeze(model, batch=1), Path(saved))
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: ({IMAGE: image} for image in calibration)
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of its own parts
            (folder / "model.tflite").write_bytes(converter.convert())


def load_litert(folder: Path) -> Compute:
    """Returns a function that computes `model.tflite` of a folder by LiteRT, slice by slice."""
    from ai_edge_litert.interpreter import Interpreter

    path = str(folder / "model.tflite")
    runner = Interpreter(path, num_threads=usable_cores()).get_signature_runner(_SIGNATURE)

    def compute(images: np.ndarray) -> dict[str, np.ndarray]:
        slices = [runner(**{IMAGE: image[None]}) for image in images]
        return {name: np.concatenate([outputs[name] for outputs in slices]) for name in slices[0]}

    return _one_at_a_time(compute)


def write_saved_model(model: keras.Model, folder: Path) -> None:
    """Writes a SavedModel: float32, any batch."""
    _save(freeze(model), folder)


def load_saved_model(folder: Path) -> Compute:
    """Returns a function that computes the SavedModel of a folder by TensorFlow."""
    loaded = tf.saved_model.load(str(folder))
    compute = loaded.signatures[_SIGNATURE]

    def call(images: np.ndarray) -> dict[str, np.ndarray]:
        outputs = compute(**{IMAGE: tf.constant(images)})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    call.of = loaded  # type: ignore[attr-defined]  # its functions live as long as it does
    return call


FORMATS: dict[ExportFormat, FileFormat] = {
    "openvino": FileFormat("openvino", "openvino", write_openvino, load_openvino),
    "onnx": FileFormat("tf2onnx", "onnxruntime", write_onnx, load_onnx),
    "litert": FileFormat("tensorflow", "ai_edge_litert", write_litert, load_litert),
    "saved-model": FileFormat("tensorflow", "tensorflow", write_saved_model, load_saved_model),
}
"""All kinds of files."""


def _save(graph: FrozenGraph, folder: Path) -> None:
    module = tf.Module()
    spec = tf.TensorSpec(graph.shape, tf.float32, name=IMAGE)
    module.compute = tf.function(graph.outputs, input_signature=[spec], autograph=False)
    signatures = {_SIGNATURE: module.compute.get_concrete_function()}
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(folder), signatures=signatures, options=options)


def _tensor_names(graph: FrozenGraph) -> list[str]:
    return [tensor.name for tensor in graph.function.outputs]


@contextlib.contextmanager
def _cycles_freed() -> Iterator[None]:
    """Makes Python free reference cycles soon: tf2onnx leaves copies of all weights in them.

    Of a U-Net on ResNet50 they took 13 GB, as Python looks seldom where TensorFlow is loaded.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.collect()
    gc.set_threshold(700, 2, 1)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
        gc.collect()


def _one_at_a_time(compute: Compute) -> Compute:
    """Returns the same function with a lock for several threads: its runtime has one state."""
    lock = threading.Lock()

    def locked(images: np.ndarray) -> dict[str, np.ndarray]:
        with lock:
            return compute(images)

    return locked
