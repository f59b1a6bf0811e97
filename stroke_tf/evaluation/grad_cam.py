"""Grad-CAM: which part of a slice a network's answer rests on. Needs TensorFlow.

Selvaraju et al. 2017, Grad-CAM: Visual Explanations from Deep Networks, equations 1 and 2; for
masks Vinogradova et al. 2020, Towards Interpretable Semantic Segmentation via Grad-CAM, and Draelos
and Carin 2020, Use HiResCAM instead of Grad-CAM for faithful explanations.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike, NDArray

from stroke_tf.labels import MASK
from stroke_tf.models.heads import POOL_AVG

_MASK_LAYERS = (MASK, "probs")
_ENCODER_STRIDE = 32
_STRIDE = 8


def grad_cam(
    model: keras.Model, images: ArrayLike, *, layer: str | None = None
) -> NDArray[np.float32]:
    """Returns where a classifier sees class 1, as one heatmap for each slice.

    The maps of a layer, weighted by the mean gradient of the score of class 1, are summed; what
    speaks against the class is cut off, and the sum is resized bilinearly. The score is the log
    odds of class 1, the same for a sigmoid and for a softmax of two: taken before the activation,
    its gradient does not vanish for sure answers. Runs as one batch and in inference mode.

    Args:
        model: A classifier that takes images, shape (B, H, W, 3), and ends in a dense layer of one
            sigmoid or two softmax units. It holds a backbone, the single `keras.Model` among its
            layers, or convolutions of its own.
        images: RGB, shape (B, H, W, 3), in [0, 255], as the model takes them.
        layer: Name of a layer with a feature map, in the backbone if there is one. None: the
            backbone's last feature map, or the last convolution of a model without backbone.

    Returns:
        float32, shape (B, H, W), in [0, 1]: each heatmap divided by its maximum, all 0 where
        nothing speaks for class 1. Heatmaps of two slices do not share a scale.

    Raises:
        ValueError: If the model is of another kind, has no such layer, or the layer gives no
            feature map.

    Example:
        >>> import numpy as np
        >>> from stroke_tf import build_classifier, grad_cam
        >>> model = build_classifier("cnn-detect", image_size=32)
        >>> heat = grad_cam(model, np.zeros((2, 32, 32, 3), np.uint8))
        >>> heat.shape
        (2, 32, 32)
    """
    return _heatmaps(_explained(model, layer), images)


def mask_grad_cam(model: keras.Model, images: ArrayLike) -> NDArray[np.float32]:
    """Returns where a segmentation network sees lesions, as one heatmap for each slice.

    As `grad_cam`, of the last feature map of an eighth of the side, or of the deepest one where
    there is none. The score is -log p(background), summed over the pixels: each counts by its
    probability of being lesion, and its gradient does not vanish for sure answers. Gradients are
    not averaged over the map (HiResCAM): what a map holds where no lesion is seen does not show.

    Args:
        model: Takes RGB images, shape (B, S, S, 3), and gives the probabilities of each
            pixel by a layer named "probs", or "mask" in a joint network.
        images: RGB, shape (B, S, S, 3), in [0, 255], as the model takes them.

    Returns:
        float32, shape (B, S, S), in [0, 1], as of `grad_cam`.

    Raises:
        ValueError: If the model is of another kind.
    """
    return _heatmaps(_explained_mask(model), images, averaged=False)


def _heatmaps(
    explained: keras.Model, images: ArrayLike, *, averaged: bool = True
) -> NDArray[np.float32]:
    pixels = tf.convert_to_tensor(np.asarray(images, dtype=np.float32))
    with tf.GradientTape() as tape:
        tape.watch(pixels)  # a frozen model has no variable that would start the recording
        features, score = explained(pixels, training=False)
    gradients = tf.cast(tape.gradient(score, features), tf.float32)
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True) if averaged else gradients
    maps = tf.nn.relu(tf.reduce_sum(weights * tf.cast(features, tf.float32), -1, keepdims=True))
    maps = tf.image.resize(maps, pixels.shape[1:3])[..., 0]
    highest = tf.reduce_max(maps, axis=(1, 2), keepdims=True)
    heatmaps: NDArray[np.float32] = tf.math.divide_no_nan(maps, highest).numpy()
    return heatmaps


def _explained(model: keras.Model, layer: str | None) -> keras.Model:
    """Returns the model with two outputs: the feature map and the log odds of class 1."""
    log_odds = _log_odds(model.layers[-1])
    networks = [inner for inner in model.layers if isinstance(inner, keras.Model)]
    if len(networks) > 1:
        names = [network.name for network in networks]
        raise ValueError(f"`model` must hold one backbone at most. Received: {names}")
    if not networks:
        target = _layer(model, layer or _last_convolution(model))
        return keras.Model(model.input, [target.output, log_odds])
    (network,) = networks
    position = model.layers.index(network)
    before, after = model.layers[position - 1].output, model.layers[position + 1].input
    several = len(network.outputs) > 1
    if layer is None:
        last = model.get_layer(POOL_AVG).input if several else after
        return keras.Model(model.input, [last, log_odds])
    if several:
        raise ValueError(f"`layer` must be None for pooling 'layers'. Received: {layer!r}")
    # Tensors inside the backbone are no tensors of the model: run both parts of it anew.
    backbone = keras.Model(network.input, [_layer(network, layer).output, network.output])
    features, pooled_from = backbone(before)
    return keras.Model(model.input, [features, keras.Model(after, log_odds)(pooled_from)])


def _explained_mask(model: keras.Model) -> keras.Model:
    """Returns the model with two outputs: a feature map and how much lesion it sees."""
    heads = [layer for layer in model.layers if layer.name in _MASK_LAYERS]
    if len(heads) != 1 or len(heads[0].output.shape) != 4:
        names = [layer.name for layer in heads]
        raise ValueError(f"`model` must give masks by a layer of {_MASK_LAYERS}. Received: {names}")
    (head,), size = heads, model.input_shape[1]
    # A softmax of its own layer lets the gradient of sure answers through.
    alone = isinstance(head, keras.layers.Activation)
    logits = head.input if alone else keras.ops.log(head.output + keras.config.epsilon())
    networks = [inner for inner in model.layers if isinstance(inner, keras.Model)]
    if not networks:
        return keras.Model(model.input, [_map_of(model, size).output, _lesion_score(logits)])
    (network,) = networks
    if len(network.outputs) > 1:  # an encoder alone
        return keras.Model(model.input, [_map_of(model, size).output, _lesion_score(logits)])
    before = model.layers[model.layers.index(network) - 1].output
    inner = keras.Model(network.input, [_map_of(network, size).output, network.outputs[0]])
    features, logits = inner(before)
    return keras.Model(model.input, [features, _lesion_score(logits)])


def _lesion_score(logits: keras.KerasTensor) -> keras.KerasTensor:
    background = keras.ops.log_softmax(keras.ops.cast(logits, "float32"), axis=-1)[..., 0]
    return -keras.ops.sum(background, axis=(1, 2))


def _map_of(network: keras.Model, size: int) -> keras.layers.Layer:
    """Returns the last layer of an eighth of the side, or else of the encoder's smallest map."""
    maps = [
        layer
        for layer in network.layers
        if len(getattr(layer.output, "shape", ())) == 4
        and layer.name not in _MASK_LAYERS
        and not isinstance(layer, (keras.layers.AveragePooling2D, keras.layers.MaxPooling2D))
    ]
    sides = {layer.name: layer.output.shape[1] for layer in maps}
    side = size // _STRIDE
    if side not in sides.values():
        least = size // _ENCODER_STRIDE  # a pyramid of smaller maps is not part of the encoder
        side = min(length for length in sides.values() if length and length >= least)
    return [layer for layer in maps if sides[layer.name] == side][-1]


def _log_odds(last: keras.layers.Layer) -> keras.KerasTensor:
    activation = getattr(getattr(last, "activation", None), "__name__", None)
    kind = (activation, getattr(last, "units", None))
    if kind not in (("sigmoid", 1), ("softmax", 2)):
        raise ValueError(
            "`model` must end in a dense layer of one sigmoid or two softmax units. "
            f"Received: {last.name!r}, activation and units {kind}"
        )
    logits = keras.ops.matmul(keras.ops.cast(last.input, last.dtype), last.kernel)
    if last.use_bias:
        logits = logits + last.bias
    return logits if last.units == 1 else logits[:, 1:] - logits[:, :1]


def _layer(model: keras.Model, name: str) -> keras.layers.Layer:
    maps = [layer.name for layer in model.layers if len(getattr(layer.output, "shape", ())) == 4]
    if name not in maps:
        raise ValueError(f"`layer` must be one of {maps}. Received: {name!r}")
    return model.get_layer(name)


def _last_convolution(model: keras.Model) -> str:
    names = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
    if not names:
        raise ValueError(f"`model` must have a backbone or a convolution. Received: {model.name!r}")
    return names[-1]
