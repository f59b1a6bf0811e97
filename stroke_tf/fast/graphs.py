"""A network as one TensorFlow graph whose weights are constants: what runtimes and files take."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from stroke_tf.fast import is_on
from stroke_tf.fast.batch_norms import fused_batch_norms

IMAGE = "image"
"""The name of a graph's input."""
OUTPUT = "output"
"""The name of the output of a network that gives an array, not a dict of arrays."""


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
