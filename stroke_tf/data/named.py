"""Batches whose slices have their names, for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf


class NamedBatch(NamedTuple):
    """One batch of a data set made `with_ids`.

    Attributes:
        images: What a model takes, shape (B, S, S, C).
        labels: Labels or masks, of the shape that `make_dataset` says.
        shown: uint8, shape (B, S, S, C): the images as pictures.
        ids: Source id of each slice.
        groups: Group id of each slice.
        stroke_types: int64, shape (B,): values of StrokeType.
    """

    images: tf.Tensor
    labels: np.ndarray
    shown: np.ndarray
    ids: list[str]
    groups: list[str]
    stroke_types: np.ndarray


def named_batches(dataset: Iterable[tuple]) -> Iterator[NamedBatch]:
    """Yields the batches of a data set made `with_ids`."""
    for images, labels, known in dataset:
        shown = images.numpy().round().astype(np.uint8)
        ids, groups = (
            [name.decode() for name in known[key].numpy()] for key in ("source_id", "group_id")
        )
        yield NamedBatch(images, labels.numpy(), shown, ids, groups, known["stroke_type"].numpy())
