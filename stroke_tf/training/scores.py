"""Scores of an epoch from the pixels of all its slices, for `compile`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import keras
from keras import ops

Tensor: TypeAlias = keras.KerasTensor


def pixel_scores(classes: int) -> list[keras.metrics.Metric]:
    """Returns accuracy, lesion IoU and lesion Dice, from one count of the pixels.

    Each pixel takes its likeliest class. IoU and Dice are means of the lesion classes (id 1 and
    up) that truth or prediction have; 0 when there is none. Keras' own metrics count the pixels
    once each, and so slowly that they take a fifth of a small network's training step on a CPU.

    Args:
        classes: Number of classes, background included.
    """
    counts = PixelCounts(classes)
    return [
        counts,
        _OfCounts(counts, lambda hits, both: hits / ops.maximum(both - hits, 1), name="lesion_iou"),
        _OfCounts(counts, lambda hits, both: 2 * hits / ops.maximum(both, 1), name="lesion_dice"),
    ]


class PixelCounts(keras.metrics.Metric):
    """Counts pixels by true and predicted class; its result is the share of right ones.

    Args:
        classes: Number of classes, background included.
        name: Name of the result.
    """

    def __init__(self, classes: int, *, name: str = "accuracy") -> None:
        super().__init__(name=name)
        self._classes = classes
        self.matrix = self.add_variable((classes, classes), "zeros", name="matrix")

    def update_state(self, y_true: Tensor, y_pred: Tensor, sample_weight: None = None) -> None:
        """Adds a batch.

        Args:
            y_true: Class ids, shape (B, H, W, 1).
            y_pred: Probabilities, shape (B, H, W, C).
            sample_weight: Not used.
        """
        truth = ops.cast(ops.squeeze(y_true, axis=-1), "int32")
        pairs = truth * self._classes + _likeliest(y_pred)
        # Not `ops.bincount`, which JAX cannot compile.
        found = [ops.sum(ops.cast(pairs == pair, "float32")) for pair in range(self._classes**2)]
        self.matrix.assign_add(ops.reshape(ops.stack(found), self.matrix.shape))

    def result(self) -> Tensor:
        """Returns the accuracy, a scalar."""
        return ops.trace(self.matrix) / ops.maximum(ops.sum(self.matrix), 1)


class _OfCounts(keras.metrics.Metric):
    """A score of pixels that another metric counts."""

    def __init__(
        self, counts: PixelCounts, score: Callable[[Tensor, Tensor], Tensor], *, name: str
    ) -> None:
        super().__init__(name=name)
        self._matrix, self._score = counts.matrix, score

    def update_state(self, *batch: Tensor, **options: Tensor) -> None:
        """Leaves the counting to the other metric."""
        return

    def result(self) -> Tensor:
        """Returns the mean over the lesion classes that there are, a scalar."""
        hits = ops.diag(self._matrix)[1:]
        both = (ops.sum(self._matrix, axis=0) + ops.sum(self._matrix, axis=1))[1:]
        present = ops.cast(both > 0, "float32")
        return ops.sum(self._score(hits, both)) / ops.maximum(ops.sum(present), 1)


def _likeliest(probs: Tensor) -> Tensor:
    """Returns the likeliest class as `ops.argmax` does, several times as fast on few classes."""
    best, found = probs[..., 0], ops.zeros(ops.shape(probs)[:-1], "int32")
    for kind in range(1, probs.shape[-1]):
        better = probs[..., kind] > best
        found = ops.where(better, kind, found)
        best = ops.maximum(best, probs[..., kind])
    return found
