"""Records to batches: 8-bit RGB and the label of a task.

The slices are decoded once, when the data set is made. Each epoch then picks slices from the
decoded arrays and does the rest (windows, augmentation, colour) slice by slice, while it is in the
processor's cache. Pixels become float32 inside the model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import cast, get_args

import numpy as np
import tensorflow as tf

from stroke_tf.config import THREE_WINDOWS, AugmentStrength, View, Window
from stroke_tf.data.augment import draw_change
from stroke_tf.data.epochs import donors_of, epochs_of, weights_of
from stroke_tf.data.memory import Cache, Lying, Slices, empty_array, load_slices
from stroke_tf.data.parallel import call_numpy, parallel_map
from stroke_tf.data.rendering import batch_renderer, gray_images
from stroke_tf.data.selection import (
    Hardness,
    count_samples,
    epoch_drawer,
    is_used,
    label_of,
    rows_of_folds,
    series_key,
)
from stroke_tf.data.upright import HEAD_SIZE, turn_mask, upright_heads
from stroke_tf.labels import StrokeType, Task
from stroke_tf.manifest import FoldName, Manifest, read_manifest
from stroke_tf.records import STAGE_FOLDS


def make_dataset(
    records: Path | str,
    *,
    folds: tuple[FoldName, ...],
    task: Task,
    image_size: int,
    batch_size: int,
    training: bool = False,
    augment: AugmentStrength | None = None,
    negatives_per_positive: float | None = None,
    hardness: Hardness | None = None,
    small_lesions: float = 0.0,
    pasted_lesions: float = 0.0,
    windows: tuple[Window, ...] = THREE_WINDOWS,
    view: View = "windows",
    lesions_only: bool = False,
    with_ids: bool = False,
    in_series: bool = False,
    seed: int = 0,
    cache: Cache = "auto",
    decoded: Slices | None = None,
) -> tf.data.Dataset:
    """Returns batches of the slices of some folds, decoded once and kept.

    All records of the folds are used, copies augmented before folding included: in the
    `as-published` protocol they are part of the test folds too, which is the leak it reproduces.

    Args:
        records: Folder of records, as the converter writes it.
        folds: Folds to read: 0 to 9, "stage1", "stage2".
        task: DETECT (every slice), TYPE (ischaemia and haemorrhage) or SEGMENT (slices whose
            mask is known; class NONE without a mask is all background).
        image_size: Side S in pixels. Images are resampled bilinearly (antialiased when they
            shrink) and rounded to the stored integers, masks by the nearest neighbour.
        batch_size: Slices in a batch; the last one of an epoch may be smaller.
        training: Whether slices are shuffled anew over all folds in each epoch.
        augment: Strength of the augmentations, or None for none.
        negatives_per_positive: Where given, an epoch of training holds all slices with label 1 and
            at most so many with label 0 for each of them, drawn anew: neighbouring slices without
            a lesion are much alike. For SEGMENT a slice counts as for DETECT.
        hardness: Where given, a share of those with label 0 is drawn by it.
        small_lesions: Where above 0, an epoch of training for SEGMENT holds as many lesion slices
            as there are, but drawn in proportion to the area of their lesions to the power of minus
            this: small ones more often, large ones not every time.
        pasted_lesions: Share of an epoch's slices, of training for SEGMENT, into which the lesion
            of another one is pasted before they are augmented, see `paste_lesion`.
        windows: One or three HU windows, (centre, width), for slices stored in HU: one for each
            channel, or one for all. Slices stored as 8-bit grey have the grey in all channels.
        view: What the channels show. "windows": the slice through each window. "neighbours": the
            slice before, the slice itself and the slice after it in the patient's series, where
            every slice is used, for records of known patients in the `clean` protocol, and one
            window.
            "upright": the head upright and centred, its brain at one grey (see `upright_views`);
            slices in HU are seen through the brain window first, and masks go with their slices.
        lesions_only: Whether slices of class NONE are left out.
        with_ids: Whether each batch ends with a dict of what is known of its slices, for
            evaluation (Keras would take it for sample weights).
        in_series: Whether slices come patient by patient, each patient's in their order; for
            records of known patients as for "neighbours", and not in training.
        seed: Seed of the order and the augmentations: equal seeds give equal batches, epoch by
            epoch, counted from when the data set was made.
        cache: Where decoded slices are kept: "memory", "file" (unnamed, in the folder for
            temporary files), or "auto": in memory unless that takes over a fifth of what is free.
        decoded: What `decode_slices` gave for these folds, and maybe others, of the same records,
            with equal task, image size and view: several data sets share it, and nothing is
            decoded here. None decodes.

    Returns:
        A data set of known length that yields (images, labels) or (images, labels, ids):
        images uint8, shape (B, S, S, 3), windows and augmentations rounded to whole grey values
        (the input of a Keras model is float32, so Keras casts them there); labels float32, shape
        (B, 1): stroke no 0 or yes 1 (DETECT), ischaemia 0 or haemorrhage 1 (TYPE), or uint8 class
        ids, shape (B, S, S, 1) (SEGMENT); ids: "source_id" and "group_id" string, "height" and
        "width" (of the original, pixels) and "stroke_type" int64, each of shape (B,). With masks
        seen upright the ids also hold the slices as they lie: "lying_image", uint8, shape
        (B, S, S), "lying_mask", uint8, shape (B, S, S, 1), and "move", float64, shape (B, 2, 3),
        see `upright_heads`. A batch's memory is used again once nothing refers to the batch.

    Raises:
        FileNotFoundError: If the manifest or a shard is missing.
        ValueError: If a test session is to be trained on, a fold is unknown, no slice is left, an
            argument is out of range, or a shard is not what manifest, folds.csv and the record
            contract say.
        OSError: If there is no space for the file.

    Example:
        >>> from stroke_tf import Task, make_dataset
        >>> slices = make_dataset(
        ...     "records", folds=(0, 1), task=Task.SEGMENT, image_size=64, batch_size=8
        ... )
        >>> images, masks = next(iter(slices))
        >>> tuple(images.shape), tuple(masks.shape)
        ((8, 64, 64, 3), (8, 64, 64, 1))
    """
    _check_folds(folds, training=training)
    _check_arguments(image_size=image_size, batch_size=batch_size, windows=windows)
    _check_negatives(negatives_per_positive, training=training)
    manifest = read_manifest(records)
    _check_view(view, manifest, windows=windows)
    if in_series and training:
        raise ValueError("`in_series` must be False in training. Received: True")
    for name, is_asked in (("view 'neighbours'", view == "neighbours"), ("`in_series`", in_series)):
        if is_asked:
            check_series(name, records, folds, task=task, lesions_only=lesions_only)
    slices = decoded or decode_slices(
        records,
        folds,
        task=task,
        image_size=image_size,
        view=view,
        lesions_only=lesions_only,
        cache=cache,
    )
    places = _places(slices, records, folds, task=task, size=image_size, lesions_only=lesions_only)
    if in_series:
        places = np.array(sorted(places, key=lambda place: series_key(slices.rows[place])))
    drawn_by = Task.DETECT if task == Task.SEGMENT else task
    labels = [label_of(slices.rows[place], task=drawn_by) for place in places]
    draw = epoch_drawer(
        places,
        labels,
        shuffle=training,
        ratio=negatives_per_positive,
        ids=[slices.rows[place].source_id for place in places],
        hardness=hardness,
        weights=weights_of(slices, places, small_lesions, training=training),
    )
    donors = donors_of(slices, places, pasted_lesions, training=training)
    indices = epochs_of(draw, donors, batch_size=batch_size, seed=seed)
    make_batch = _batch_maker(
        slices,
        task,
        windows=windows,
        augment=augment,
        view=view,
        batch_size=batch_size,
        with_ids=with_ids,
    )
    return parallel_map(indices, make_batch)


def decode_slices(
    records: Path | str,
    folds: tuple[FoldName, ...],
    *,
    task: Task,
    image_size: int,
    view: View = "windows",
    lesions_only: bool = False,
    cache: Cache = "auto",
) -> Slices:
    """Decodes the slices of some folds for several calls of `make_dataset` to share.

    Arguments and errors are those of `make_dataset`; `folds` are all that one of them will read.
    """

    def load(size: int) -> Slices:
        return load_slices(
            records, folds, task=task, image_size=size, lesions_only=lesions_only, cache=cache
        )

    if view != "upright":
        return load(image_size)
    upright, moves = _upright(load(round(HEAD_SIZE * image_size)), image_size)
    if task != Task.SEGMENT:
        return upright
    # Decoded again at the size of the other views, so that masks are scored against the same truth.
    # Masks turned from this size also come back best: Dice 0.999, against 0.96 for larger ones.
    as_stored = load(image_size)
    lying = Lying(gray_images(as_stored), cast(np.ndarray, as_stored.masks), moves)
    masks = empty_array(lying.masks.shape, np.uint8, "memory")
    for place in np.flatnonzero(lying.masks.any(axis=(1, 2, 3))):
        masks[place, ..., 0] = turn_mask(lying.masks[place, ..., 0], moves[place], size=image_size)
    return dataclasses.replace(upright, masks=masks, lying=lying)


def _check_folds(folds: tuple[FoldName, ...], *, training: bool) -> None:
    if training and (stages := [fold for fold in folds if fold in STAGE_FOLDS]):
        raise ValueError(
            "`folds` must be 0 to 9 when training: the official test sessions are never trained "
            f"on. Received: {stages}"
        )


def _check_arguments(*, image_size: int, batch_size: int, windows: tuple[Window, ...]) -> None:
    for name, value in (("image_size", image_size), ("batch_size", batch_size)):
        if value < 1:
            raise ValueError(f"`{name}` must be >= 1. Received: {value}")
    if len(windows) not in (1, 3) or any(width <= 0 for _, width in windows):
        raise ValueError(f"`windows` must be one or three of a width > 0. Received: {windows}")


def _check_view(view: View, manifest: Manifest, *, windows: tuple[Window, ...]) -> None:
    if view not in get_args(View):
        raise ValueError(f"`view` must be one of {get_args(View)}. Received: {view!r}")
    if view == "neighbours" and manifest.pixels != "gray8" and len(windows) != 1:
        raise ValueError(f"view 'neighbours' needs one window. Received: {windows}")


def _check_patients(name: str, manifest: Manifest) -> None:
    if not manifest.knows_series:
        raise ValueError(
            f"{name} needs records of known patients in the clean protocol, whose series are whole "
            f"in a fold. Received: {manifest.protocol}, groups by {manifest.grouping}"
        )


def check_series(
    name: str,
    records: Path | str,
    folds: tuple[FoldName, ...],
    *,
    task: Task,
    lesions_only: bool = False,
) -> None:
    """Checks that folds hold whole series of known patients.

    Args:
        name: What needs them.
        records: Folder of records.
        folds: The folds.
        task: Decides which slices are used.
        lesions_only: Whether slices without a lesion are left out.

    Raises:
        ValueError: If patients are unknown or not whole in their folds, or slices are left out.
    """
    _check_patients(name, read_manifest(records))
    rows = rows_of_folds(records, folds)
    used = sum(is_used(row, task=task, lesions_only=lesions_only) for row in rows)
    if used < len(rows):
        raise ValueError(
            f"{name} needs every slice of a series. Received: {used} of {len(rows)} slices for "
            f"task {task}"
        )


def _check_negatives(ratio: float | None, *, training: bool) -> None:
    if ratio is not None and (not training or ratio <= 0):
        raise ValueError(
            "`negatives_per_positive` must be None, or above 0 in training. "
            f"Received: {ratio}, training {training}"
        )


def _places(
    slices: Slices,
    records: Path | str,
    folds: tuple[FoldName, ...],
    *,
    task: Task,
    size: int,
    lesions_only: bool,
) -> np.ndarray:
    """Returns where the slices of some folds are among decoded ones, in the order of the folds."""
    by_fold: dict[str, list[int]] = {str(fold): [] for fold in folds}
    for place, row in enumerate(slices.rows):
        if row.fold in by_fold and is_used(row, task=task, lesions_only=lesions_only):
            by_fold[row.fold].append(place)
    places = [place for found in by_fold.values() for place in found]
    needed = count_samples(records, folds, task, lesions_only=lesions_only)
    fits = (len(places), slices.images.shape[1], slices.masks is not None)
    if fits != (needed, size, task == Task.SEGMENT):
        raise ValueError(
            f"`decoded` must hold the {needed} slices of folds {list(folds)} for task {task}, side "
            f"{size}. Received: {fits[0]} of them, side {fits[1]}, masks {fits[2]}"
        )
    return np.array(places)


def _upright(slices: Slices, size: int) -> tuple[Slices, np.ndarray]:
    """Returns slices seen upright, their masks as they were, and the moves there."""
    gray = gray_images(slices)
    views = empty_array((len(gray), size, size, 3), np.uint8, "memory")
    views[:], moves = upright_heads(gray, [row.group_id for row in slices.rows], size=size)
    return dataclasses.replace(slices, images=views, is_hu=np.zeros(len(gray), bool)), moves


def _batch_maker(
    slices: Slices,
    task: Task,
    *,
    windows: tuple[Window, ...],
    augment: AugmentStrength | None,
    view: View,
    batch_size: int,
    with_ids: bool,
) -> Callable[[tuple[tf.Tensor, tf.Tensor], tf.Tensor], tuple]:
    """Returns a function that makes a batch of the places of its slices and donors, and a seed."""
    known, labels = _known(slices), None
    if task != Task.SEGMENT:
        with tf.device("CPU:0"):
            labels = tf.constant([[label_of(row, task=task)] for row in slices.rows], tf.float32)
    render = batch_renderer(slices, windows=windows, view=view, batch_size=batch_size)
    as_they_lie = _taker(slices.lying)
    size = slices.images.shape[1]
    shapes = [(size, size, 3)] if slices.masks is None else [(size, size, 3), (size, size, 1)]

    @tf.autograph.experimental.do_not_convert
    def make_batch(drawn: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor) -> tuple:
        index, donors = drawn
        inputs = [index, donors]
        if augment is not None:
            inputs += draw_change(tf.stack([tf.size(index), size, size]), augment, seed)
        rendered = call_numpy(render, inputs, [tf.uint8] * len(shapes))
        images, *masks = [
            tf.ensure_shape(part, (*index.shape, *shape))
            for part, shape in zip(rendered, shapes, strict=True)
        ]
        label = masks[0] if masks else tf.gather(labels, index)
        if not with_ids:
            return images, label
        found = {name: tf.gather(values, index) for name, values in known.items()}
        return images, label, found | as_they_lie(index)

    return make_batch


def _taker(lying: Lying | None) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns a function that gives the unturned slices behind upright views, by name.

    It takes the places of a batch. For other views it gives nothing.
    """
    if lying is None:
        return lambda index: {}
    stored = {"lying_image": lying.images, "lying_mask": lying.masks, "move": lying.moves}
    dtypes = [tf.as_dtype(array.dtype) for array in stored.values()]

    def take(places: np.ndarray) -> list[np.ndarray]:
        return [array[places] for array in stored.values()]

    def as_they_lie(index: tf.Tensor) -> dict[str, tf.Tensor]:
        taken = call_numpy(take, [index], dtypes)
        return {
            name: tf.ensure_shape(part, (*index.shape, *array.shape[1:]))
            for part, (name, array) in zip(taken, stored.items(), strict=True)
        }

    return as_they_lie


def _known(slices: Slices) -> dict[str, tf.Tensor]:
    """Returns what is known of the slices by name, one entry on the first axis for each."""
    rows = slices.rows
    with tf.device("CPU:0"):
        return {
            "source_id": tf.constant([row.source_id for row in rows]),
            "group_id": tf.constant([row.group_id for row in rows]),
            "height": tf.constant([row.height for row in rows], tf.int64),
            "width": tf.constant([row.width for row in rows], tf.int64),
            "stroke_type": tf.constant([StrokeType[row.stroke_type] for row in rows], tf.int64),
        }
