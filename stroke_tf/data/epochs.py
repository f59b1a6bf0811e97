"""Which slices each epoch holds, in which batches, and what is pasted into them."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from stroke_tf.data.memory import Slices
from stroke_tf.data.paste import Draw, donor_drawer


def weights_of(
    slices: Slices, places: np.ndarray, small_lesions: float, *, training: bool
) -> np.ndarray | None:
    """Returns how often each slice with a lesion is drawn, in proportion; None for each once."""
    if small_lesions == 0:
        return None
    if small_lesions < 0 or slices.masks is None or not training:
        raise ValueError(
            "`small_lesions` must be 0, or above it in training with masks. "
            f"Received: {small_lesions}, training {training}"
        )
    areas = [max(1, np.count_nonzero(slices.masks[place])) for place in places]
    return np.array(areas, float) ** -small_lesions


def donors_of(slices: Slices, places: np.ndarray, share: float, *, training: bool) -> Draw:
    """Returns a function that draws the donors of an epoch, none for all where the share is 0."""
    if share == 0:
        return donor_drawer(places, share)
    if slices.masks is None or not training:
        raise ValueError(
            "`pasted_lesions` must be 0, or above it in training with masks. "
            f"Received: {share}, training {training}"
        )
    has_lesion = [bool(slices.masks[place].any()) for place in places]
    return donor_drawer(places[has_lesion], share)


def epochs_of(
    draw: Callable[[np.random.Generator], np.ndarray],
    draw_donors: Draw,
    *,
    batch_size: int,
    seed: int,
) -> tf.data.Dataset:
    """Returns which slices each batch of an epoch holds, their donors, and a seed for the batch."""
    count = len(draw(np.random.default_rng(seed)))
    batches = -(-count // batch_size)
    epochs = itertools.count()

    def draw_epoch() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        # Not tf.data's own shuffle, whose order depends on TensorFlow's global seed too.
        random = np.random.default_rng((seed, next(epochs)))
        order = draw(random)
        seeds = random.integers(2**31, size=(batches, 2), dtype=np.int32)
        return order, draw_donors(random, count), seeds

    @tf.autograph.experimental.do_not_convert
    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        order, donors, seeds = tf.numpy_function(draw_epoch, [], (tf.int64, tf.int64, tf.int32))
        drawn = tf.ensure_shape(order, (count,)), tf.ensure_shape(donors, (count,))
        seeds, slices = tf.ensure_shape(seeds, (batches, 2)), tf.data.Dataset.from_tensor_slices
        return tf.data.Dataset.zip(slices(drawn).batch(batch_size), slices(seeds))

    # The outer data set has one element and is run anew, so draws anew, in each epoch.
    dataset = tf.data.Dataset.range(1).flat_map(one_epoch)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches))
