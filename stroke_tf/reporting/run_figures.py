"""The figures that a run leaves: how it learned, on what, and what it drew."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from stroke_tf.config import AugmentStrength
from stroke_tf.data import AUGMENTATIONS
from stroke_tf.evaluation.segmentation import any_lesion_slice_dice
from stroke_tf.inference.segmenting import Segmented
from stroke_tf.reporting.figures import (
    figure_augmentations,
    figure_history,
    figure_segmentation,
)

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


def draw_training(
    history: pd.DataFrame,
    dataset: tf.data.Dataset,
    *,
    strength: AugmentStrength | None,
    seed: int,
) -> dict[str, Figure]:
    """Returns the figures "history" and, where slices were augmented, "augmentations".

    Args:
        history: Loss and scores of each epoch.
        dataset: Batches of (images, labels), not augmented.
        strength: Strength of the augmentations; None for none.
        seed: Seed of the run.
    """
    figures = {"history": figure_history(history)}
    if strength is not None:
        figures["augmentations"] = draw_augmentations(dataset, strength=strength, seed=seed)
    return figures


def figure_segmented(test: Segmented) -> Figure:
    """Draws slices with a lesion, the worst Dice first; where none has one, the most painted."""
    dice = any_lesion_slice_dice(test.counts)
    drawn = (test.predicted > 0).sum(axis=(1, 2))
    lesions = np.flatnonzero((test.truth > 0).any(axis=(1, 2)))
    if len(lesions):
        ranked = lesions[np.argsort(dice[lesions], kind="stable")]
        said = {index: f"Dice {dice[index]:.2f}" for index in ranked}
    else:
        ranked = np.argsort(-drawn, kind="stable")
        said = {index: f"no lesion, {drawn[index]} pixels drawn" for index in ranked}
    shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, _SHOWN).round().astype(int))]
    titles = [f"{test.ids[index]}: {said[index]}" for index in shown]
    return figure_segmentation(test.images[shown], test.truth[shown], test.predicted[shown], titles)
