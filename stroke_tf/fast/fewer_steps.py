"""Layers that compute the same in fewer steps of TensorFlow on a CPU, while a graph is traced."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

_MANY_CHANNELS = 256
"""From so many on, a doubled image is convolved by differences of its pixels."""

_FOLDED = ("Conv2D", "DepthwiseConv2dNative", "BiasAdd")
"""Behind these TensorFlow itself makes a batch norm part of the weights."""


class _Part(NamedTuple):
    """One of the images that a convolution sees joined in the axis of channels.

    Attributes:
        image: Shape (B, H, W, C).
        doubled: Whether the convolution sees each of its pixels twice, both ways.
    """

    image: tf.Tensor
    doubled: bool


@contextlib.contextmanager
def fewer_steps(model: keras.Model, values: Mapping[int, np.ndarray]) -> Iterator[None]:
    """Meanwhile, some layers of a model compute what they do in fewer steps.

    - A convolution of an image with doubled pixels is computed from the small image, since its
      3 x 3 windows have 2 x 2 different pixels there. In a graph the doubled image, which nothing
      takes any more, is left out.
    - A batch norm behind such a convolution is part of its weights; one that no convolution
      precedes is a depthwise convolution, with which TensorFlow computes the ReLU behind it.
    - A softmax over the classes of pixels has the classes first, so that it can be vectorised.

    Args:
        model: What is to be traced for inference.
        values: Its weights by the id of their variables.
    """
    steps = _Steps(values)
    before = {}
    for layer in all_layers(model):
        for kind, call in (
            (keras.layers.UpSampling2D, steps.double),
            (keras.layers.Concatenate, steps.join),
            (keras.layers.Conv2D, steps.convolve),
            (keras.layers.BatchNormalization, steps.normalise),
            (keras.layers.Activation, steps.activate),
        ):
            if type(layer) is kind and layer not in before:
                before[layer] = layer.call
                layer.call = functools.partial(call, layer, layer.call)
    try:
        yield
    finally:
        for layer, call in before.items():
            del layer.call
            if call != layer.call:
                layer.call = call


def all_layers(model: keras.Model) -> Iterator[keras.Layer]:
    """Yields the layers of a model, and of the models in it."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from all_layers(layer)
        else:
            yield layer


class _Steps:
    """What layers do instead; each method has the layer, its own `call`, and its inputs."""

    def __init__(self, values: Mapping[int, np.ndarray]):
        self._values = values
        self._small: dict[Any, tf.Tensor] = {}
        self._joined: dict[Any, Sequence[tf.Tensor]] = {}
        self._convolved: dict[Any, Callable[..., tf.Tensor]] = {}

    def double(
        self, layer: keras.layers.UpSampling2D, call: Callable[..., tf.Tensor], inputs: tf.Tensor
    ) -> tf.Tensor:
        doubled = call(inputs)
        nearest = layer.size == (2, 2) and layer.interpolation == "nearest"
        if nearest and layer.data_format == "channels_last" and None not in inputs.shape[1:]:
            # Differences in half precision would be rounded twice as coarsely as the image is.
            if inputs.dtype == tf.float32 or inputs.shape[-1] < _MANY_CHANNELS:
                self._small[doubled.ref()] = inputs
        return doubled

    def join(
        self,
        layer: keras.layers.Concatenate,
        call: Callable[..., tf.Tensor],
        inputs: Sequence[tf.Tensor],
    ) -> tf.Tensor:
        joined = call(inputs)
        if layer.axis in (-1, 3):
            self._joined[joined.ref()] = inputs
        return joined

    def convolve(
        self, layer: keras.layers.Conv2D, call: Callable[..., tf.Tensor], inputs: tf.Tensor
    ) -> tf.Tensor:
        parts = [
            _Part(self._small.get(it.ref(), it), doubled=it.ref() in self._small)
            for it in self._joined.get(inputs.ref(), [inputs])
        ]
        if not any(part.doubled for part in parts) or not _sees_neighbours(layer):
            return call(inputs)
        bias = self._values[id(layer.bias)] if layer.use_bias else np.zeros(layer.filters)
        compute = functools.partial(_convolve_parts, parts, self._values[id(layer.kernel)])
        result = layer.activation(compute(bias))
        if layer.activation is keras.activations.linear:
            self._convolved[result.ref()] = lambda scale, offset: compute(
                bias * scale + offset, scale=scale
            )
        return result

    def normalise(
        self,
        layer: keras.layers.BatchNormalization,
        call: Callable[..., tf.Tensor],
        inputs: tf.Tensor,
        **options: Any,
    ) -> tf.Tensor:
        if layer.axis not in (-1, 3) or inputs.shape.rank != 4 or layer.compute_dtype != "float32":
            return call(inputs, **options)
        compute = self._convolved.get(inputs.ref())
        if compute is None:
            if inputs.op.type in _FOLDED:
                return call(inputs, **options)
            compute = functools.partial(_scaled, inputs)
        mean, variance, gamma, beta = (
            self._values.get(id(it))
            for it in (layer.moving_mean, layer.moving_variance, layer.gamma, layer.beta)
        )
        scale = (1.0 if gamma is None else gamma) / np.sqrt(variance + layer.epsilon)
        return compute(scale, (0.0 if beta is None else beta) - mean * scale)

    def activate(
        self, layer: keras.layers.Activation, call: Callable[..., tf.Tensor], inputs: tf.Tensor
    ) -> tf.Tensor:
        if layer.activation is not keras.activations.softmax or inputs.shape.rank != 4:
            return call(inputs)
        by_class = tf.transpose(tf.reshape(inputs, (-1, inputs.shape[-1])))
        powers = tf.exp(by_class - tf.reduce_max(by_class, axis=0))
        shares = powers / tf.reduce_sum(powers, axis=0)
        return tf.reshape(tf.transpose(shares), tf.shape(inputs))


def _scaled(image: tf.Tensor, scale: np.ndarray, offset: np.ndarray) -> tf.Tensor:
    kernel = _as(image, scale)[None, None, :, None]
    scaled = tf.nn.depthwise_conv2d(image, kernel, strides=[1, 1, 1, 1], padding="SAME")
    return tf.nn.bias_add(scaled, _as(image, offset))


def _sees_neighbours(layer: keras.layers.Conv2D) -> bool:
    return (
        layer.kernel_size == (3, 3)
        and layer.strides == layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and layer.padding == "same"
        and layer.data_format == "channels_last"
    )


def _convolve_parts(
    parts: Sequence[_Part], kernel: np.ndarray, bias: np.ndarray, *, scale: np.ndarray | float = 1.0
) -> tf.Tensor:
    """Returns a 3 x 3 convolution with padding of images that are joined in the axis of channels.

    Args:
        parts: The images, at least one of them doubled.
        kernel: Shape (3, 3, C, F), C channels of all images together.
        bias: Shape (F,).
        scale: What the F maps are multiplied by before the bias is added.
    """
    ends = np.cumsum([part.image.shape[-1] for part in parts])[:-1]
    plain, doubled = [], []
    for (image, is_doubled), own in zip(parts, np.split(kernel * scale, ends, axis=2), strict=True):
        if is_doubled:
            doubled.append(_convolve_doubled(image, own))
        else:
            plain.append(tf.nn.conv2d(image, _as(image, own), strides=1, padding="SAME"))
    first, *others = plain + doubled  # TensorFlow adds the bias within a plain convolution
    return functools.reduce(tf.add, others, tf.nn.bias_add(first, _as(first, bias)))


def _as(image: tf.Tensor, weights: np.ndarray) -> np.ndarray:
    return weights.astype(image.dtype.as_numpy_dtype)


def _convolve_doubled(image: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    """Returns the 3 x 3 convolution of an image with all its pixels doubled, both ways."""
    many = kernel.shape[2] >= _MANY_CHANNELS
    return (_by_differences if many else _transposed)(image, kernel)


def _transposed(image: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    """As a transposed convolution: 4 multiplications for a place instead of 9.

    Each pixel, two wide, reaches four places in each direction.
    """
    spread = np.zeros((4, 4, *kernel.shape[:1:-1]), kernel.dtype)
    for row, column in itertools.product((0, 1), repeat=2):
        spread[row : row + 3, column : column + 3] += np.swapaxes(kernel[::-1, ::-1], 2, 3)
    height, width = image.shape[1:3]
    return tf.raw_ops.Conv2DBackpropInput(
        input_sizes=[2 * height, 2 * width],
        filter=_as(image, spread),
        out_backprop=image,
        strides=[1, 2, 2, 1],
        padding="SAME",
    )


def _by_differences(image: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
    """By what neighbours differ in: 2.25 multiplications for a place, but more maps to add.

    In a row, the left place of a pixel p with neighbours o and q sees o, p, p; the right one sees
    p, p, q. For weights a, b, c those are s + a (o - p) and s - c (p - q) with s = (a + b + c) p.
    """
    height, width = image.shape[1:3]

    def product(row: int, column: int) -> tf.Tensor:
        seen, weights = image, kernel
        for axis, side in ((1, row), (2, column)):
            first, middle, last = np.split(weights, 3, axis=axis - 1)
            weights = {-1: first, 0: first + middle + last, 1: -last}[side]
            if side:
                before, after = np.zeros((2, 4, 2), int)
                before[axis, 0] = after[axis, 1] = 1
                seen = tf.pad(seen, before) - tf.pad(seen, after)
        top, left = max(row, 0), max(column, 0)
        seen = seen[:, top : top + height, left : left + width]
        return tf.nn.conv2d(seen, _as(image, weights), strides=1, padding="VALID")

    products = {it: product(*it) for it in itertools.product((-1, 0, 1), repeat=2)}
    places = [
        products[0, 0] + products[row, 0] + products[0, column] + products[row, column]
        for row, column in itertools.product((-1, 1), repeat=2)
    ]
    return tf.nn.depth_to_space(tf.concat(places, axis=-1), 2)
