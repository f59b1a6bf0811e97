import collections
import io
import pickle
import struct
import sys
import types

import numpy as np
import pytest

from stroke_tf.models.backbones import build_backbone
from stroke_tf.models.lite_weights import read_state, set_state

ORDINARY = {0: 3_413_024, 1: 4_189_344, 2: 4_869_168}
"""Parameters of the networks without their top, as the reference has them."""


@pytest.fixture
def torch_names(monkeypatch):
    """Modules with the names that a state dict refers to, so that one can be pickled."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2():
        pass

    _rebuild_tensor_v2.__module__ = "torch._utils"
    _rebuild_tensor_v2.__qualname__ = "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    storage = type("FloatStorage", (), {"__module__": "torch"})
    torch.FloatStorage, torch._utils = storage, utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return types.SimpleNamespace(storage=storage, rebuild=_rebuild_tensor_v2)


def state_file(names, arrays):
    """Bytes as PyTorch wrote a state dict before version 1.6."""

    class Tensor:
        def __init__(self, key, array):
            self.key, self.array = key, array

        def __reduce__(self):
            steps = tuple(step // self.array.itemsize for step in self.array.strides)
            whole = ("storage", names.storage, self.key, "cpu", self.array.size, None)
            return names.rebuild, (_Stored(whole), 0, self.array.shape, steps, False, {})

    class _Stored(tuple):
        __slots__ = ()

        def __new__(cls, values):
            return super().__new__(cls, values)

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return tuple(item) if isinstance(item, _Stored) else None

    file = io.BytesIO()
    for head in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(head, file, protocol=2)
    items = [(name, Tensor(str(n), array)) for n, (name, array) in enumerate(arrays.items())]
    Pickler(file, protocol=2).dump(collections.OrderedDict(items))
    pickle.dump([str(n) for n in range(len(arrays))], file, protocol=2)
    for array in arrays.values():
        file.write(struct.pack("<q", array.size) + array.tobytes("A"))
    file.seek(0)
    return file


def test_a_state_dict_is_read_as_it_was_written(torch_names):
    rng = np.random.default_rng(0)
    arrays = {
        "one": rng.normal(size=(2, 3)).astype(np.float32),
        "turned": np.asfortranarray(rng.normal(size=(4, 2, 3)).astype(np.float32)),
    }
    read = read_state(state_file(torch_names, arrays))
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)


def test_a_state_dict_that_would_run_code_is_refused():
    file = io.BytesIO(pickle.dumps(0) + pickle.dumps(1) + pickle.dumps(2) + pickle.dumps(print))
    with pytest.raises(pickle.UnpicklingError, match="arrays alone. Received: builtins.print"):
        read_state(file)


def test_every_layer_gets_its_arrays_in_the_order_of_keras():
    network = build_backbone("efficientnetlite0", image_size=32, weights=None)
    rng, state = np.random.default_rng(0), {}

    def of(shape, name):
        state[name] = rng.normal(size=shape).astype(np.float32)
        return state[name]

    stem = of((32, 3, 3, 3), "_conv_stem.weight")
    for layer in network.layers:
        block, _, part = layer.name.partition("_")
        if not layer.weights or layer.name == "stem_conv":
            continue
        shapes = [tuple(weight.shape) for weight in layer.weights]
        theirs = {
            "expand_conv": "_expand_conv", "expand_bn": "_bn0", "dw": "_depthwise_conv",
            "dw_bn": "_bn1", "project_conv": "_project_conv", "project_bn": "_bn2",
        }.get(part)  # fmt: skip
        ends = {"stem_bn": "_bn0", "head_conv": "_conv_head", "head_bn": "_bn1"}
        name = ends.get(layer.name) or f"_blocks.{block[1:]}.{theirs}"
        if len(shapes) == 4:
            for key, shape in zip(
                ("weight", "bias", "running_mean", "running_var"), shapes, strict=True
            ):
                of(shape, f"{name}.{key}")
        else:
            height, width, inner, outer = shapes[0]
            turned = (inner, outer) if part == "dw" else (outer, inner)
            of((*turned, height, width), f"{name}.weight")
    set_state(network, state)
    kernel = network.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel, stem.transpose(2, 3, 1, 0))
    depthwise = network.get_layer("b5_dw").get_weights()[0]
    np.testing.assert_array_equal(
        depthwise[..., 0].transpose(2, 0, 1), state["_blocks.5._depthwise_conv.weight"][:, 0]
    )
    scale = network.get_layer("b5_dw_bn").get_weights()[0]
    np.testing.assert_array_equal(scale, state["_blocks.5._bn1.weight"])


@pytest.mark.parametrize("number", ORDINARY)
def test_networks_have_the_parameters_of_the_reference(number):
    name = f"efficientnetlite{number}"
    network = build_backbone(name, image_size=32, weights=None)
    assert network.count_params() == ORDINARY[number]
