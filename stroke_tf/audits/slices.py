"""The slices that audits look at, and a frozen network's features of them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stroke_tf.audits.audit import Finding, Subject
from stroke_tf.audits.known import findings_of
from stroke_tf.audits.quick import parts_of
from stroke_tf.data import decode_slices, gray_images, gray_to_rgb
from stroke_tf.data.selection import is_used, label_of
from stroke_tf.fast.runtimes import inference
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldRow, read_manifest
from stroke_tf.models.classifier import build_classifier
from stroke_tf.models.heads import split_head
from stroke_tf.own_table import known_of
from stroke_tf.records import STAGE_FOLDS
from stroke_tf.text_tables import read_columns

_BATCH = 32


@dataclass(frozen=True)
class SliceSet:
    """Slices as pictures, in the order of folds.csv.

    Attributes:
        images: uint8 grey, shape (N, S, S), in a brain window where the records hold HU.
        rows: What folds.csv says of each.
        is_hu: bool, shape (N,): whether its record holds HU.
    """

    images: NDArray[np.uint8]
    rows: tuple[FoldRow, ...]
    is_hu: NDArray[np.bool_]

    @property
    def ids(self) -> NDArray[np.str_]:
        """Source id of each slice."""
        return np.array([row.source_id for row in self.rows])

    @property
    def groups(self) -> NDArray[np.str_]:
        """Group id of each slice."""
        return np.array([row.group_id for row in self.rows])

    @property
    def parts(self) -> NDArray[np.int64]:
        """Part of each slice, 0 to 4: pairs of folds."""
        return parts_of([row.fold for row in self.rows])

    def places(self, ids: Iterable[str]) -> NDArray[np.int64]:
        """Returns the places of slices by their ids; a copied id stands for its original.

        Raises:
            ValueError: If one is not there.
        """
        copies_first = sorted(enumerate(self.rows), key=lambda pair: pair[1].copy, reverse=True)
        known = {row.source_id: place for place, row in copies_first}
        if missing := [name for name in ids if name not in known]:
            raise ValueError(
                "predictions must be of slices of the records. Received: "
                f"{len(missing)} others, such as {missing[0]}"
            )
        return np.array([known[name] for name in ids], np.int64)

    def take(self, places: NDArray[np.int64]) -> SliceSet:
        """Returns some of the slices."""
        rows = tuple(self.rows[place] for place in places)
        return SliceSet(self.images[places], rows, self.is_hu[places])

    def truth(self, task: Task) -> NDArray[np.bool_]:
        """Returns the label of each slice; those that the task does not use have one too."""
        return np.array([label_of(row, task=task) for row in self.rows], bool)

    def used(self, task: Task) -> NDArray[np.bool_]:
        """Returns whether the task uses each slice."""
        return np.array([is_used(row, task=task) for row in self.rows], bool)


def read_slices(records: Path, *, image_size: int, stages: bool = False) -> SliceSet:
    """Returns all slices of folds 0 to 9, in 8 bits, and those of the test sessions if asked for.

    Raises:
        FileNotFoundError: If the manifest or a shard is missing.
        ValueError: If there is no slice, or a shard is not what the manifest says.
    """
    manifest = read_manifest(records)
    folds = tuple(fold.fold for fold in manifest.folds if stages or fold.fold not in STAGE_FOLDS)
    slices = decode_slices(records, folds, task=Task.DETECT, image_size=image_size)
    return SliceSet(gray_images(slices), slices.rows, slices.is_hu)


def of_patients(slices: SliceSet, table: Path | None) -> tuple[SliceSet, list[Finding]]:
    """Returns slices grouped by the patients of a table's column patient, if it has one.

    Where a slice's patient is empty, it gets the patient of its group if the table names only one
    there; otherwise it keeps its group. Findings on the table are returned too.

    Raises:
        ValueError: If the table names none of the slices, or one twice.
    """
    if table is None or "patient" not in read_columns(table):
        return slices, []
    known = known_of(table, slices.ids.tolist())
    named: dict[str, set[str]] = {}
    pairs = list(zip(slices.rows, known.column("patient"), strict=True))
    for row, patient in pairs:
        named.setdefault(row.group_id, set()).update([patient] if patient else [])
    rows = []
    for row, patient in pairs:
        of_group = named[row.group_id] if len(named[row.group_id]) == 1 else {row.group_id}
        rows.append(dataclasses.replace(row, group_id=patient or next(iter(of_group))))
    return dataclasses.replace(slices, rows=tuple(rows)), findings_of(known)


def backbone_features(images: NDArray[np.uint8], subject: Subject) -> NDArray[np.float32]:
    """Returns the pooled features of the subject's frozen backbone, shape (N, C).

    Args:
        images: uint8 grey, shape (N, S, S), S the subject's `image_size`.
        subject: Names the backbone and its weights.
    """
    compute = load_backbone(subject)
    starts = range(0, len(images), _BATCH)
    return np.concatenate(
        [np.asarray(compute(gray_to_rgb(images[at : at + _BATCH, ..., None]))) for at in starts]
    )


def load_backbone(subject: Subject) -> Callable[[Any], Any]:
    """Returns the subject's frozen backbone, from images, (B, S, S, 3), to features, (B, C).

    Raises:
        FileNotFoundError: If its weight file does not exist.
        OSError: If its ImageNet weights cannot be downloaded.
        ValueError: If the backbone is unknown, or the weights do not fit it.
    """
    return _extractor(subject.backbone, subject.image_size, subject.weights)


@functools.lru_cache(maxsize=1)  # it is built and compiled in seconds, for many views
def _extractor(backbone: str, image_size: int, weights: str | None) -> Callable[[Any], Any]:
    model = build_classifier(backbone, image_size=image_size, weights=weights, head="linear")
    return inference(split_head(model)[0])
