"""Batch norms as one operation of TensorFlow each; other backends keep what they have."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf

from stroke_tf.fast.layers import Methods, swapped_methods


@contextlib.contextmanager
def fused_batch_norms(model: keras.Model) -> Iterator[None]:
    """Meanwhile, each batch norm of a model is one operation of TensorFlow instead of about ten.

    Keras 3 composes them of moments, products and sums, a fifth of a U-Net's training step on a
    CPU. Outputs and moving averages are the same but for rounding. Layers that the operation does
    not fit stay as they are, and so do all of them on another backend.
    """
    with swapped_methods(model, _methods):
        yield


def _methods(layer: keras.Layer) -> Methods:
    return {"call": functools.partial(_fused_batch_norm, layer)} if _fits(layer) else {}


def _fits(layer: keras.Layer) -> bool:
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
    """What `BatchNormalization.call` computes, for images with channels last."""
    if mask is not None:
        return type(layer).call(layer, inputs, training=training, mask=mask)
    images = tf.cast(inputs, tf.float32)
    mean, variance = (tf.cast(it, tf.float32) for it in (layer.moving_mean, layer.moving_variance))
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
