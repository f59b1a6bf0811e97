"""The loss and the score of classifiers with a sigmoid or a two-class softmax, in keras.ops.

Both take labels of shape (B, 1), 0 or 1, whatever the number of outputs.
"""

from __future__ import annotations

from typing import TypeAlias

import keras
from keras import ops

Tensor: TypeAlias = keras.KerasTensor
_register = keras.saving.register_keras_serializable(package="stroke_tf")


def classifier_loss(outputs: int, *, label_smoothing: float = 0.0) -> keras.losses.Loss:
    """Returns the cross-entropy of a classifier with one or two outputs.

    The loss takes labels, shape (B, 1), 0 or 1, and probabilities, shape (B, outputs).

    Args:
        outputs: 1 for a sigmoid: the probability of class 1; 2 for a softmax.
        label_smoothing: Share s in [0, 1) of each label that is given to both classes alike: 1
            becomes 1 - s / 2 and 0 becomes s / 2.

    Raises:
        ValueError: If an argument is out of range.
    """
    if outputs not in (1, 2):
        raise ValueError(f"`outputs` must be 1 or 2. Received: {outputs}")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"`label_smoothing` must be in [0, 1). Received: {label_smoothing}")
    if outputs == 1:
        return keras.losses.BinaryCrossentropy(label_smoothing=label_smoothing)
    return TwoClassCrossEntropy(label_smoothing=label_smoothing)


def class_one_auc() -> keras.metrics.AUC:
    """Returns a ROC AUC named "auc" that reads class 1 of either kind of output.

    It takes labels, shape (B, 1), and probabilities, shape (B, 1) or (B, 2), and approximates the
    area by 200 thresholds: good enough to watch a training, not to report.
    """
    return ClassOneAUC(name="auc")


@_register
class TwoClassCrossEntropy(keras.losses.CategoricalCrossentropy):
    """Categorical cross-entropy that takes labels as class ids.

    Unlike SparseCategoricalCrossentropy it has label smoothing.
    """

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """Returns the loss of each slice, shape (B,).

        Args:
            y_true: Class ids 0 or 1, shape (B, 1).
            y_pred: Probabilities, shape (B, 2).
        """
        ids = ops.cast(ops.squeeze(y_true, axis=-1), "int32")
        return super().call(ops.one_hot(ids, num_classes=2, dtype=y_pred.dtype), y_pred)


@_register
class ClassOneAUC(keras.metrics.AUC):
    """Area under a curve for the last column of the outputs."""

    def update_state(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> None:
        """Adds a batch.

        Args:
            y_true: 0 or 1, shape (B, 1).
            y_pred: Probabilities, shape (B, 1) or (B, 2).
            sample_weight: Weight of each slice, shape (B,) or (B, 1).
        """
        super().update_state(y_true, y_pred[:, -1:], sample_weight)
