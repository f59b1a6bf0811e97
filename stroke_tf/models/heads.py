"""Pooling and heads: the layers between a backbone's feature map and the probabilities.

Knows nothing of backbones. The last layer of every head is named "probs" and computes in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import keras

from stroke_tf.config import Pooling
from stroke_tf.models.backbones import SCRATCH_MOMENTUM

POOL = "pool"
POOL_AVG = "pool_avg"  # of the backbone's last feature map


def pool(feature_maps: Sequence[keras.KerasTensor], pooling: Pooling) -> keras.KerasTensor:
    """Returns pooled features, shape (B, C), the output of a layer named "pool".

    Args:
        feature_maps: One or more of shape (B, h, w, c), the last of the backbone first. All are
            pooled for "layers", else the first is.
        pooling: How.

    Raises:
        ValueError: If `pooling` is unknown.
    """
    if pooling not in get_args(Pooling):
        raise ValueError(f"`pooling` must be one of {get_args(Pooling)}. Received: {pooling!r}")
    if pooling == "avg":
        return keras.layers.GlobalAveragePooling2D(name=POOL)(feature_maps[0])
    pooled = []
    for place, feature_map in enumerate(feature_maps):
        which = f"_{place}" if place else ""
        pooled += [
            keras.layers.GlobalAveragePooling2D(name=POOL_AVG + which)(feature_map),
            keras.layers.GlobalMaxPooling2D(name=f"pool_max{which}")(feature_map),
        ]
    return keras.layers.Concatenate(name=POOL)(pooled)


def usth_detect(
    features: keras.KerasTensor, *, dropout: float, dense_units: int
) -> keras.KerasTensor:
    """Dropout, a dense ReLU layer, a sigmoid (USTH II-B2)."""
    x = keras.layers.Dropout(dropout, name="dropout")(features)
    x = keras.layers.Dense(dense_units, activation="relu", name="dense")(x)
    return keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="probs")(x)


def usth_type(
    features: keras.KerasTensor, *, dropout: float, dense_units: int
) -> keras.KerasTensor:
    """Batch norm, dropout, a softmax over two classes (USTH II-C2); no dense layer before it."""
    x = keras.layers.BatchNormalization(momentum=SCRATCH_MOMENTUM, name="batch_norm")(features)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return _softmax(x)


def usth_cnn(features: keras.KerasTensor, *, dropout: float, dense_units: int) -> keras.KerasTensor:
    """A dense ReLU layer with dropout, a softmax over two classes (USTH II-C2, custom CNN)."""
    x = keras.layers.Dense(dense_units, activation="relu", name="dense")(features)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    return _softmax(x)


def saucis(features: keras.KerasTensor, *, dropout: float, dense_units: int) -> keras.KerasTensor:
    """A fully connected layer of one neuron for each class, alone (SAUCIS 2.3)."""
    return _softmax(features)


def linear(features: keras.KerasTensor, *, dropout: float, dense_units: int) -> keras.KerasTensor:
    """Standardised features, dropout, a sigmoid that starts from 0.5: for few patients."""
    norm = keras.layers.BatchNormalization(
        momentum=SCRATCH_MOMENTUM, center=False, scale=False, name="batch_norm"
    )
    x = keras.layers.Dropout(dropout, name="dropout")(norm(features))
    probs = keras.layers.Dense(
        1, activation="sigmoid", kernel_initializer="zeros", dtype="float32", name="probs"
    )
    return probs(x)


HEADS: dict[str, Callable[..., keras.KerasTensor]] = {
    "usth-detect": usth_detect,
    "usth-type": usth_type,
    "usth-cnn": usth_cnn,
    "saucis": saucis,
    "linear": linear,
}
"""Each takes features, shape (B, C), and, by keyword, `dropout` in [0, 1) and `dense_units`; one
without a dropout or dense layer makes no use of them. It gives float32 probabilities: shape (B, 1)
of class 1 from a sigmoid, or (B, 2) from a softmax. `probs[:, -1]` is class 1 in both."""


def split_head(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Returns a classifier in two parts, to train the head on features computed once.

    Both parts share the layers of `model`: what one learns, `model` has learned.

    Args:
        model: A classifier on a backbone, of `build_classifier` or loaded from disk.

    Returns:
        The extractor, from raw images, shape (B, S, S, 3), to pooled features, shape (B, C); and
        the head, from pooled features to probabilities, shape (B, 1) or (B, 2).

    Raises:
        ValueError: If the model has no layer named "pool", as custom CNNs have not.
    """
    if POOL not in (layer.name for layer in model.layers):
        raise ValueError(
            f"`model` must be a classifier on a backbone, with a layer named {POOL!r}: custom CNNs "
            f"flatten their features and train as a whole. Received: {model.name}"
        )
    features = model.get_layer(POOL).output
    extractor = keras.Model(model.inputs[0], features, name=f"{model.name}_features")
    return extractor, keras.Model(features, model.outputs[0], name=f"{model.name}_head")


def _softmax(x: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Dense(2, activation="softmax", dtype="float32", name="probs")(x)
