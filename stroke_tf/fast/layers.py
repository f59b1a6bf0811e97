"""Faster batch norms and convolutions while a graph is traced; afterwards layers are as before.

On other backends than TensorFlow nothing changes.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import keras
import tensorflow as tf

from stroke_tf.fast import is_on

_MAKERS = (keras.layers.ZeroPadding2D, keras.layers.UpSampling2D, keras.layers.Concatenate)

_Methods = dict[str, Callable[..., Any]]


@contextlib.contextmanager
def fused_batch_norms(model: keras.Model) -> Iterator[None]:
    """Makes each batch norm of a model one operation of TensorFlow, not about ten, in the block.

    Keras 3 composes them of moments, products and sums, a fifth of a U-Net's training step on a
    CPU. Outputs and moving averages are the same but for rounding. Layers that the operation does
    not fit stay as they are, and so do all of them on another backend.
    """
    with _swapped(model, _batch_norm_of):
        yield


def _batch_norm_of(layer: keras.Layer) -> _Methods:
    return {"call": functools.partial(_fused_batch_norm, layer)} if _is_plain(layer) else {}


def _is_plain(layer: keras.Layer) -> bool:
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.input_spec is not None
        and layer.input_spec.ndim == 4
        and layer.axis in (-1, 3)
        and not (layer.renorm or layer.synchronized)
    )


def _fused_batch_norm(
    layer: keras.layers.BatchNormalization,
    inputs: tf.Tensor,
    training: bool | None = None,
    mask: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes what `BatchNormalization.call` does, for images with channels last."""
    if mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    images = tf.cast(inputs, tf.float32)
    mean, variance = (
        tf.cast(statistic, tf.float32) for statistic in (layer.moving_mean, layer.moving_variance)
    )
    scale = tf.cast(layer.gamma, tf.float32) if layer.scale else tf.ones_like(mean)
    offset = tf.cast(layer.beta, tf.float32) if layer.center else tf.zeros_like(mean)
    learning = bool(training and layer.trainable)
    outputs, batch_mean, batch_variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=scale,
        offset=offset,
        mean=tf.zeros([0]) if learning else mean,
        variance=tf.zeros([0]) if learning else variance,
        epsilon=layer.epsilon,
        is_training=learning,
    )
    if learning:
        count = tf.cast(tf.size(images) / tf.size(mean), tf.float32)
        batch_variance *= (count - 1) / count  # it gives the unbiased one, Keras keeps the biased
        kept = layer.momentum
        layer.moving_mean.assign(mean * kept + batch_mean * (1.0 - kept))
        layer.moving_variance.assign(variance * kept + batch_variance * (1.0 - kept))
    return tf.cast(outputs, layer.compute_dtype)


@contextlib.contextmanager
def fused_convolutions(model: keras.Model) -> Iterator[None]:
    """Makes convolutions take images as they were before a layer enlarged them, in the block.

    - A padding that keeps the size is left to the convolution after it.
    - A 3 x 3 convolution of images doubled by nearest neighbours is a transposed one of 4 x 4 of
      the images themselves: 4 products for a pixel and channel instead of 9. Skip connections
      joined to them have a convolution of their own, and the two are added.

    Outputs and gradients are the same but for rounding. Layers that do not fit stay as they are,
    and so do all of them where there is a GPU.
    """
    if tf.config.list_physical_devices("GPU"):
        yield
    else:
        with _swapped(model, _Convolutions().methods):
            yield


class _Convolutions:
    """The layers of one model, and the layer and inputs of each output while a graph is traced."""

    def __init__(self) -> None:
        self._made: dict[Hashable, tuple[keras.Layer, Any]] = {}

    def methods(self, layer: keras.Layer) -> _Methods:
        last = getattr(layer, "data_format", "channels_last") == "channels_last"
        if layer.compute_dtype != "float32" or not last:  # bfloat16 gains nothing
            return {}
        if type(layer) in _MAKERS:
            return {"call": functools.partial(self._note, layer)}
        if type(layer) is keras.layers.Conv2D and _is_dense(layer):
            return {"convolution_op": functools.partial(self._convolve, layer)}
        return {}

    def _note(self, layer: keras.Layer, inputs: Any) -> tf.Tensor:
        outputs = type(layer).call(layer, inputs)
        if not tf.executing_eagerly():  # eagerly nothing is left out, and tensors would be kept
            self._made[outputs.ref()] = (layer, inputs)
        return outputs

    def _before(self, images: tf.Tensor, kind: type) -> tuple[keras.Layer | None, Any]:
        """Returns the layer of a kind that made images and its inputs, or None and the images."""
        layer, inputs = self._made.get(images.ref(), (None, images))
        return (layer, inputs) if type(layer) is kind else (None, images)

    def _convolve(self, layer: keras.layers.Conv2D, images: tf.Tensor, kernel: Any) -> tf.Tensor:
        padding, inner = self._before(images, keras.layers.ZeroPadding2D)
        if padding and layer.padding == "valid" and padding.padding == _same(layer.kernel_size):
            return tf.nn.conv2d(inner, tf.convert_to_tensor(kernel), 1, "SAME")
        joint, parts = self._before(images, keras.layers.Concatenate)
        parts = parts if joint and joint.axis in (-1, 3) else [images]
        halves = [self._half(part) for part in parts]
        fits = layer.kernel_size == (3, 3) and layer.padding == "same"
        if not fits or not any(_is_worth(half, layer.filters) for half in halves):
            return type(layer).convolution_op(layer, images, kernel)
        kernels = tf.split(tf.convert_to_tensor(kernel), [part.shape[-1] for part in parts], axis=2)
        return tf.add_n(
            [
                _convolve_doubled(half, of_part)
                if _is_worth(half, layer.filters)
                else tf.nn.conv2d(part, of_part, 1, "SAME")
                for part, half, of_part in zip(parts, halves, kernels, strict=True)
            ]
        )

    def _half(self, images: tf.Tensor) -> tf.Tensor | None:
        """Returns the images before they were doubled; None if they were not."""
        layer, inputs = self._before(images, keras.layers.UpSampling2D)
        doubled = layer and layer.size == (2, 2) and layer.interpolation == "nearest"
        return inputs if doubled else None


def _is_dense(layer: keras.layers.Conv2D) -> bool:
    return layer.strides == layer.dilation_rate == (1, 1) and layer.groups == 1


def _same(kernel_size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Returns the padding that keeps the size of images; for an even side there is none."""
    return tuple(((side - 1) / 2, (side - 1) / 2) for side in kernel_size)


def _is_worth(half: tf.Tensor | None, filters: int) -> bool:
    """Returns whether the pixels are more than a channel's weights, which are summed each step."""
    return half is not None and (half.shape[1:3].num_elements() or 0) > 9 * filters


def _convolve_doubled(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Returns the 3 x 3 convolution of images doubled by nearest neighbours.

    Each pixel stands for 2 x 2 of the doubled image, so it acts through the sum of the kernel and
    its copies moved by one row, one column and both.
    """
    grown = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
    for axis in (0, 1):
        first, second, third = tf.split(grown, 3, axis)
        grown = tf.concat([first, first + second, second + third, third], axis)
    _, height, width, _ = images.shape
    shape = (tf.shape(images)[0], 2 * height, 2 * width, kernel.shape[-1])
    return tf.nn.conv2d_transpose(images, grown, shape, 2)


@contextlib.contextmanager
def _swapped(model: keras.Model, methods_of: Callable[[keras.Layer], _Methods]) -> Iterator[None]:
    """Gives layers of a model other methods in the block, on the TensorFlow backend alone.

    Args:
        model: Any model.
        methods_of: Returns what takes the place of methods of a layer, by their names.
    """
    on = is_on() and keras.backend.backend() == "tensorflow"
    swaps = [(layer, methods_of(layer)) for layer in _layers(model)] if on else []
    for layer, methods in swaps:
        vars(layer).update(methods)
    try:
        yield
    finally:
        for layer, methods in swaps:
            for name in methods:
                vars(layer).pop(name, None)  # a layer that stands twice in the model has one


def _layers(model: keras.Model) -> Iterator[keras.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers(layer)
        else:
            yield layer
