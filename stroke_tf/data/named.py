"""Batches whose slices have their names, for evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf


class NamedBatch(NamedTuple):
    """One batch of a data set made `with_ids`.

    Attributes:
        images: What a model takes, shape (B, S, S, C).
        labels: Labels or masks, of the shape that `make_dataset` says; masks as the slices lie.
        shown: uint8, shape (B, S, S, C): the images as pictures; the slices as they lie, in one
            channel, where masks are seen upright.
        ids: Source id of each slice.
        groups: Group id of each slice.
        stroke_types: int64, shape (B,): values of StrokeType.
        moves: float64, shape (B, 2, 3): how slices with masks came to lie upright, see
            `upright_heads`; None where images and masks lie alike.
    """

    images: tf.Tensor
    labels: np.ndarray
    shown: np.ndarray
    ids: list[str]
    groups: list[str]
    stroke_types: np.ndarray
    moves: np.ndarray | None = None

    def apart(self) -> Iterator[NamedBatch]:
        """Yields batches of one slice each."""
        for place in range(len(self.ids)):
            one = slice(place, place + 1)
            parts: list[Any] = [None if part is None else part[one] for part in self]
            yield NamedBatch(*parts)


def named_batches(dataset: Iterable[tuple]) -> Iterator[NamedBatch]:
    """Yields the batches of a data set made `with_ids`."""
    for images, labels, known in dataset:
        moves = None
        if "move" in known:
            labels, moves = known["lying_mask"], known["move"].numpy()
            shown = known["lying_image"].numpy()[..., None]
        else:
            shown = images.numpy().round().astype(np.uint8)
        ids, groups = (
            [name.decode() for name in known[key].numpy()] for key in ("source_id", "group_id")
        )
        types = known["stroke_type"].numpy()
        yield NamedBatch(images, labels.numpy(), shown, ids, groups, types, moves)
