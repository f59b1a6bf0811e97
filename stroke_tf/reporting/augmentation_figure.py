"""The figure of what a run's augmentations do to its slices."""

from __future__ import annotations

import dataclasses

import tensorflow as tf
from matplotlib.figure import Figure

from stroke_tf.config import AugmentStrength
from stroke_tf.data import AUGMENTATIONS
from stroke_tf.reporting.figures import figure_augmentations

_SHOWN = 6


def draw_augmentations(dataset: tf.data.Dataset, *, strength: AugmentStrength, seed: int) -> Figure:
    """Draws the first slices of a data set as they are and after each operation alone.

    Args:
        dataset: Batches of (images, labels), not augmented.
        strength: Strength of the operations; the mirror image is shown for every slice.
        seed: Seed of the run.
    """
    images = next(iter(dataset))[0][:_SHOWN]
    shown = dataclasses.replace(strength, mirror=float(strength.mirror > 0))
    rows = {"as it is": images.numpy()}
    for number, (name, operation) in enumerate(AUGMENTATIONS.items()):
        changed, _ = operation(images, None, shown, tf.constant([seed, number]))
        rows[name] = changed.numpy()
    return figure_augmentations(rows)
