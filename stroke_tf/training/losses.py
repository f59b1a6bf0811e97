"""Segmentation losses: class ids against softmax probabilities, in keras.ops.

A new loss is a class and a line in LOSSES. Under a distribution strategy each replica sums over its
own part of the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras
from keras import ops

Tensor: TypeAlias = keras.KerasTensor
_register = keras.saving.register_keras_serializable(package="stroke_tf")

SMOOTH = 1.0
"""Pixels added to numerator and denominator of a Dice ratio: a class that is neither in the truth
nor predicted costs 0, and each predicted pixel of an absent class costs something."""


@_register
class SoftDice(keras.losses.Loss):
    """Soft Dice loss over the lesion classes (SAUCIS eq. 6).

    1 - (2 sum(p g) + SMOOTH) / (sum(p) + sum(g) + SMOOTH) for each class but background (id 0),
    sums over all pixels of the batch, then the mean of the classes: in [0, 1], and 0 for a perfect
    prediction (the paper's text has it the wrong way round). Sample weights only scale it.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of a batch, a scalar.

        Args:
            y_true: Class ids, shape (B, H, W, 1).
            y_pred: Probabilities, shape (B, H, W, C).
        """
        return _soft_dice(y_true, y_pred)


@_register
class DiceCrossEntropy(keras.losses.Loss):
    """The sum of `SoftDice` and the mean cross-entropy of all pixels."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of a batch, a scalar; arguments as `SoftDice.call`."""
        entropies = keras.losses.sparse_categorical_crossentropy(y_true, y_pred)
        return _soft_dice(y_true, y_pred) + ops.mean(entropies)


@_register
class SegmentationModelsDice(keras.losses.Loss):
    """`dice_loss` of segmentation_models, background included, as the USTH report trains with."""

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of a batch, a scalar; arguments as `SoftDice.call`."""
        from stroke_tf.models.unet import sm_dice_loss  # classifiers need no segmentation_models

        return sm_dice_loss(y_true, y_pred)


LOSSES: dict[str, Callable[[], keras.losses.Loss]] = {
    "dice": SoftDice,
    "cross-entropy": keras.losses.SparseCategoricalCrossentropy,
    "dice+ce": DiceCrossEntropy,
    "sm-dice": SegmentationModelsDice,
}
"""What makes each loss: class ids of shape (B, H, W, 1) against softmax of shape (B, H, W, C)."""


def _soft_dice(class_ids: Tensor, probs: Tensor) -> Tensor:
    ids = ops.cast(ops.squeeze(class_ids, axis=-1), "int32")
    truth = ops.one_hot(ids, num_classes=probs.shape[-1], dtype=probs.dtype)[..., 1:]
    lesions = probs[..., 1:]
    overlap = ops.sum(truth * lesions, axis=(0, 1, 2))
    total = ops.sum(truth, axis=(0, 1, 2)) + ops.sum(lesions, axis=(0, 1, 2))
    return ops.mean(1 - (2 * overlap + SMOOTH) / (total + SMOOTH))
