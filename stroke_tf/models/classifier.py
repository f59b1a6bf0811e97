"""The binary classifier: a backbone or a custom CNN, under one of the papers' heads."""

from __future__ import annotations

import keras

from stroke_tf.labels import Task
from stroke_tf.models.backbones import (
    BACKBONES,
    build_backbone,
    preprocess,
    unfreeze,
    with_earlier_maps,
)
from stroke_tf.models.custom_cnn import CUSTOM_CNNS, flat_features
from stroke_tf.models.heads import HEADS, Pooling, pool
from stroke_tf.models.weights import Weights, resolve_weights

_BLOCKS = {True: "all", False: "none"}


def build_classifier(
    backbone: str = "mobilenetv2",
    *,
    task: Task = Task.DETECT,
    image_size: int = 224,
    weights: Weights = None,
    head: str | None = None,
    trainable: bool | str = True,
    pooling: Pooling = "avg",
    dropout: float = 0.3,
    dense_units: int = 128,
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled classifier with two classes.

    The backbone's batch norms stay frozen when weights are loaded and have a momentum of 0.9 when
    they are not: see `settle_batch_norms`.

    Args:
        backbone: A key of BACKBONES or of CUSTOM_CNNS. A backbone is one layer of the model, the
            only `keras.Model` among `model.layers`; a custom CNN is its layers.
        task: DETECT or TYPE.
        image_size: Side S of the input in pixels.
        weights: None for random weights, "imagenet", "ct-ich-haemorrhage", whose encoder is taken,
            or a weight file of the backbone without its top. A custom CNN takes None only.
        head: A key of HEADS; None for "usth-detect", or for the custom CNN's own.
        trainable: Whether the backbone trains too; if not, only the head does. The name of one of
            its blocks: from there on, see `unfreeze`.
        pooling: "avg", "avg+max" or "layers", see `Pooling`; for backbones.
        dropout: Share of units dropped in training, in [0, 1). USTH: 0.3 to 0.5.
        dense_units: Width of the dense layer. USTH: 128.
        seed: Seed of the initial weights and of dropout, set with `keras.utils.set_random_seed`:
            the global seeds of Python, NumPy and TensorFlow are set with it.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities: shape (B, 1) of class 1 from a sigmoid head, (B, 2) from a softmax head.
        `probs[:, -1]` is the probability of class 1 in both. Saved, it loads without this package.

    Raises:
        ValueError: If an argument is out of range or the weight file does not fit.
        FileNotFoundError: If the weight file does not exist.
        OSError: If the ImageNet weights cannot be downloaded.

    Example:
        >>> from stroke_tf import build_classifier
        >>> model = build_classifier("mobilenet025", image_size=64)
        >>> model.output_shape
        (None, 1)
    """
    _check_names(backbone, task=task, head=head)
    keras.utils.set_random_seed(seed)
    images = keras.Input((image_size, image_size, 3), name="image")
    if backbone in CUSTOM_CNNS:
        _check_custom(backbone, weights=weights, trainable=trainable, pooling=pooling)
        features = flat_features(backbone, images)
        head = head or CUSTOM_CNNS[backbone].head
    else:
        network = build_backbone(backbone, image_size=image_size, weights=resolve_weights(weights))
        unfreeze(network, trainable if isinstance(trainable, str) else _BLOCKS[trainable])
        if pooling == "layers":
            network = with_earlier_maps(network)
        maps = network(preprocess(images, BACKBONES[backbone].preprocessing))
        features = pool(maps if isinstance(maps, list) else [maps], pooling)
    probs = HEADS[head or "usth-detect"](features, dropout=dropout, dense_units=dense_units)
    return keras.Model(images, probs, name=f"{backbone}_{task.value}")


def _check_names(backbone: str, *, task: Task, head: str | None) -> None:
    known = sorted([*BACKBONES, *CUSTOM_CNNS])
    if backbone not in known:
        raise ValueError(f"`backbone` must be one of {known}. Received: {backbone!r}")
    if task not in (Task.DETECT, Task.TYPE):
        raise ValueError(f"`task` must be {Task.DETECT} or {Task.TYPE}. Received: {task}")
    if head is not None and head not in HEADS:
        raise ValueError(f"`head` must be None or one of {sorted(HEADS)}. Received: {head!r}")


def _check_custom(
    backbone: str, *, weights: Weights, trainable: bool | str, pooling: Pooling
) -> None:
    for name, value, only in (
        ("weights", weights, None),
        ("trainable", trainable, True),
        ("pooling", pooling, "avg"),
    ):
        if value != only:
            raise ValueError(
                f"`{name}` must be {only!r} for {backbone}, which trains from scratch as a whole. "
                f"Received: {value!r}"
            )
