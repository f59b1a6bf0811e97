"""Models as faster TensorFlow graphs that compute the same; other backends keep what they have."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stroke_tf.fast import is_on
from stroke_tf.fast.fewer_steps import all_layers, fewer_steps
from stroke_tf.machine import usable_cores


@contextlib.contextmanager
def fused_batch_norms(model: keras.Model) -> Iterator[None]:
    """Meanwhile, each batch norm of a model is one operation of TensorFlow instead of about ten.

    Keras 3 composes them of moments, products and sums, a fifth of a U-Net's training step on a
    CPU. Outputs and moving averages are the same but for rounding. Layers that the operation does
    not fit stay as they are, and so do all of them on another backend.
    """
    on_tensorflow = keras.backend.backend() == "tensorflow"
    fused = [layer for layer in all_layers(model) if on_tensorflow and _fits(layer)]
    for layer in fused:
        layer.call = functools.partial(_fused_batch_norm, layer)
    try:
        yield
    finally:
        for layer in fused:
            vars(layer).pop("call", None)  # a layer that stands twice in the model has one


def inference_graph(model: keras.Model) -> Callable[[tf.Tensor], Any]:
    """Returns a model as a graph of inference whose weights are constants, as they are now.

    So TensorFlow folds the batch norms into the convolutions when it optimises the graph, which it
    cannot do with variables. Without a GPU, layers are computed in fewer steps (see `fewer_steps`),
    and the cores share a batch by slices: so none waits for another within each operation. The
    results are the same but for rounding.

    Args:
        model: A model with one input, on the TensorFlow backend.

    Returns:
        A function of a batch, of whole numbers or float32, that gives what the model gives, in
        float32. A GPU is sent the batch as it is. The model's layers are as they were.
    """
    variables = (model.trainable_variables, model.non_trainable_variables)
    trainable, others = map(_arrays, variables)
    values = dict(zip(map(id, itertools.chain(*variables)), trainable + others, strict=True))
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]

    @tf.function(input_signature=signature, autograph=False)
    def compute(images: tf.Tensor) -> Any:
        outputs, _ = model.stateless_call(trainable, others, images, training=False)
        return tf.nest.map_structure(lambda it: tf.cast(it, tf.float32), outputs)

    def cast_and_compute(images: tf.Tensor) -> Any:
        return compute(tf.cast(images, tf.float32))

    if not is_on():
        return cast_and_compute
    on_gpu = bool(tf.config.list_physical_devices("GPU"))
    with fused_batch_norms(model):
        with contextlib.nullcontext() if on_gpu else fewer_steps(model, values):
            compute.get_concrete_function()
    if on_gpu:
        return cast_and_compute
    return _shared_by_cores(compute)


def _shared_by_cores(compute: Callable[[tf.Tensor], Any]) -> Callable[[tf.Tensor], Any]:
    cores = usable_cores()
    pool = ThreadPoolExecutor(cores)

    @functools.cache
    def optimise(shape: tuple[int, ...]) -> None:  # by one thread: each would do it, and keep it
        compute(tf.zeros((1, *shape)))

    def compute_parts(images: tf.Tensor) -> Any:
        images = tf.cast(images, tf.float32)
        ends = np.linspace(0, len(images), min(cores, len(images)) + 1, dtype=int)
        if len(ends) <= 2:
            return compute(images)
        optimise(tuple(images.shape[1:]))
        parts = pool.map(compute, [images[a:b] for a, b in itertools.pairwise(ends)])
        return tf.nest.map_structure(lambda *it: tf.concat(it, axis=0), *parts)

    return compute_parts


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


def _arrays(variables: list[keras.Variable]) -> list[Any]:
    return [keras.ops.convert_to_numpy(it) for it in variables]
