"""The scores of a classifier for slices, mirrored and smoothed, and the pictures to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import keras
import numpy as np
import tensorflow as tf

from stroke_tf.data import named_batches
from stroke_tf.evaluation.series import smooth_series


@dataclass(frozen=True)
class Scored:
    """The scores of a classifier for some slices.

    Attributes:
        ids: Source id of each slice.
        groups: Group id of each slice.
        truth: bool, shape (N,).
        scores: float64, shape (N,), in [0, 1]: the probability given to class 1.
        images: uint8, shape (N, S, S, 3): what the model saw.
    """

    ids: Sequence[str]
    groups: Sequence[str]
    truth: np.ndarray
    scores: np.ndarray
    images: np.ndarray

    def smoothed(self, sigma: float) -> Scored:
        """Returns the same with scores smoothed along each group's slices."""
        scores = smooth_series(self.scores, self.groups, ids=self.ids, sigma=sigma)
        return replace(self, scores=scores)


def score_slices(model: keras.Model, dataset: tf.data.Dataset, *, mirror: bool = False) -> Scored:
    """Scores every slice of a data set made `with_ids`.

    Args:
        model: A classifier.
        dataset: Batches of (images, labels, ids).
        mirror: Whether a slice's score is the mean of its own and that of its mirror image.
    """
    ids: list[str] = []
    groups: list[str] = []
    truth, scores, images = [], [], []
    for batch in named_batches(dataset):
        views = (batch.images, batch.images[:, :, ::-1]) if mirror else (batch.images,)
        probs = [model(view, training=False).numpy()[:, -1] for view in views]
        scores.append(np.mean(probs, axis=0, dtype=np.float64))
        truth.append(batch.labels[:, 0] > 0)
        images.append(batch.shown)
        ids += batch.ids
        groups += batch.groups
    return Scored(
        ids, groups, np.concatenate(truth), np.concatenate(scores), np.concatenate(images)
    )
