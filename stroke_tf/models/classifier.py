"""The binary classifier: a backbone under the head of the USTH report."""

from __future__ import annotations

import keras

from stroke_tf.labels import Task
from stroke_tf.models.backbones import BACKBONES, build_backbone, preprocess
from stroke_tf.models.weights import Weights, resolve_weights


def build_classifier(
    backbone: str = "mobilenetv2",
    *,
    task: Task = Task.DETECT,
    image_size: int = 224,
    weights: Weights = None,
    trainable: bool = True,
    dropout: float = 0.3,
    dense_units: int = 128,
    seed: int = 0,
) -> keras.Model:
    """Returns an uncompiled classifier with one sigmoid output.

    Pooled features, dropout, a dense layer and a sigmoid (USTH phase 1, model training). The
    backbone's batch norms stay frozen when weights are loaded and have a momentum of 0.9 when
    they are not: see `settle_batch_norms`.

    Args:
        backbone: A key of BACKBONES. The layer that holds it has its own name in the model:
            `model.layers` has exactly one `keras.Model`.
        task: DETECT or TYPE.
        image_size: Side S of the input in pixels.
        weights: None for random weights, "imagenet", or a weight file of the backbone without
            its top.
        trainable: Whether the backbone trains too; if not, only the head does.
        dropout: Share of the pooled features dropped in training, in [0, 1). USTH: 0.3 to 0.5.
        dense_units: Width of the dense layer. USTH: 128.
        seed: Seed of the initial weights and of dropout, set with `keras.utils.set_random_seed`:
            the global seeds of Python, NumPy and TensorFlow are set with it.

    Returns:
        A model that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives float32
        probabilities of class 1, shape (B, 1). Saved, it loads without this package.

    Raises:
        ValueError: If an argument is out of range or the weight file does not fit.
        FileNotFoundError: If the weight file does not exist.
        OSError: If the ImageNet weights cannot be downloaded.
    """
    if task not in (Task.DETECT, Task.TYPE):
        raise ValueError(f"`task` must be {Task.DETECT} or {Task.TYPE}. Received: {task}")
    keras.utils.set_random_seed(seed)
    network = build_backbone(backbone, image_size=image_size, weights=resolve_weights(weights))
    if not trainable:
        network.trainable = False
    images = keras.Input((image_size, image_size, 3), name="image")
    features = network(preprocess(images, BACKBONES[backbone].preprocessing))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(features)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    x = keras.layers.Dense(dense_units, activation="relu", name="dense")(x)
    probs = keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="probs")(x)
    return keras.Model(images, probs, name=f"{backbone}_{task.value}")
