"""Records to batches: float32 RGB in [0, 255] and the label of a task.

The slices are decoded once, when the data set is made. Each epoch then picks batches from the
decoded arrays and does the rest (windows, augmentation, colour) on whole batches.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stroke_tf.config import THREE_WINDOWS, AugmentStrength, Window
from stroke_tf.data.augment import augment_batch
from stroke_tf.data.memory import Cache, Slices, load_slices
from stroke_tf.data.selection import label_of
from stroke_tf.labels import StrokeType, Task
from stroke_tf.manifest import FoldName
from stroke_tf.records import HU_OFFSET, STAGE_FOLDS


def make_dataset(
    records: Path | str,
    *,
    folds: tuple[FoldName, ...],
    task: Task,
    image_size: int,
    batch_size: int,
    training: bool = False,
    augment: AugmentStrength | None = None,
    windows: tuple[Window, ...] = THREE_WINDOWS,
    lesions_only: bool = False,
    with_ids: bool = False,
    seed: int = 0,
    cache: Cache = "auto",
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
        windows: One or three HU windows, (centre, width), for slices stored in HU: one for each
            channel, or one for all. Slices stored as 8-bit grey have the grey in all channels.
        lesions_only: Whether slices of class NONE are left out.
        with_ids: Whether each batch ends with a dict of what is known of its slices, for
            evaluation (Keras would take it for sample weights).
        seed: Seed of the order and the augmentations: equal seeds give equal batches, epoch by
            epoch, counted from when the data set was made.
        cache: Where decoded slices are kept: "memory", "file" (unnamed, in the folder for
            temporary files), or "auto": in memory unless they need over 60 % of what is available.

    Returns:
        A data set of known length that yields (images, labels) or (images, labels, ids):
        images float32, shape (B, S, S, 3), in [0, 255]; labels float32, shape (B, 1): stroke
        no 0 or yes 1 (DETECT), ischaemia 0 or haemorrhage 1 (TYPE), or uint8 class ids, shape
        (B, S, S, 1) (SEGMENT); ids: "source_id" and "group_id" string, "height" and "width" (of
        the original, pixels) and "stroke_type" int64, each of shape (B,).

    Raises:
        FileNotFoundError: If the manifest or a shard is missing.
        ValueError: If a test session is to be trained on, a fold is unknown, no slice is left, an
            argument is out of range, or a shard is not what manifest, folds.csv and the record
            contract say.
        OSError: If there is no space for the file.
    """
    _check_folds(folds, training=training)
    _check_arguments(image_size=image_size, batch_size=batch_size, windows=windows)
    slices = load_slices(
        records,
        folds,
        task=task,
        image_size=image_size,
        lesions_only=lesions_only,
        cache=cache,
    )
    indices = _indices(len(slices.rows), batch_size=batch_size, shuffle=training, seed=seed)
    make_batch = _batch_maker(slices, task, windows=windows, augment=augment, with_ids=with_ids)
    batches = indices.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    return batches.prefetch(1)


def window_hu(hu: tf.Tensor, windows: tuple[Window, ...]) -> tf.Tensor:
    """Returns HU as grey values, one channel for each window.

    Args:
        hu: float32 HU, shape (B, H, W, 1).
        windows: (centre, width) of each window in HU.

    Returns:
        float32, shape (B, H, W, number of windows): 0 at the window's lower end and below, 255 at
        its upper end and above.
    """
    centre, width = np.array(windows, np.float32).T
    scaled = _times(hu, 255 / width)
    return tf.clip_by_value(tf.nn.bias_add(scaled, 255 * (0.5 - centre / width)), 0.0, 255.0)


def gray_to_rgb(gray: tf.Tensor) -> tf.Tensor:
    """Returns float32 grey, shape (B, H, W, 1), in three equal channels."""
    return _times(gray, np.ones(3, np.float32))


def _times(gray: tf.Tensor, factors: np.ndarray) -> tf.Tensor:
    # A 1x1 convolution takes a third of the time of tf.repeat, tf.tile or broadcasting.
    return tf.nn.conv2d(gray, factors.reshape(1, 1, 1, -1), strides=1, padding="VALID")


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


def _indices(count: int, *, batch_size: int, shuffle: bool, seed: int) -> tf.data.Dataset:
    """Returns which slices each batch of an epoch holds, and a seed for the batch."""
    batches = -(-count // batch_size)
    epochs = itertools.count()

    def draw() -> tuple[np.ndarray, np.ndarray]:
        # Not tf.data's own shuffle, whose order depends on TensorFlow's global seed too.
        random = np.random.default_rng((seed, next(epochs)))
        order = random.permutation(count) if shuffle else np.arange(count)
        return order, random.integers(2**31, size=(batches, 2), dtype=np.int32)

    @tf.autograph.experimental.do_not_convert
    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        order, seeds = tf.numpy_function(draw, [], (tf.int64, tf.int32))
        order, seeds = tf.ensure_shape(order, (count,)), tf.ensure_shape(seeds, (batches, 2))
        slices = tf.data.Dataset.from_tensor_slices
        return tf.data.Dataset.zip(slices(order).batch(batch_size), slices(seeds))

    # The outer data set has one element and is run anew, so draws anew, in each epoch.
    dataset = tf.data.Dataset.range(1).flat_map(one_epoch)
    return dataset.apply(tf.data.experimental.assert_cardinality(batches))


def _batch_maker(
    slices: Slices,
    task: Task,
    *,
    windows: tuple[Window, ...],
    augment: AugmentStrength | None,
    with_ids: bool,
) -> Callable[[tf.Tensor, tf.Tensor], tuple]:
    """Returns what makes a batch of the indices of its slices and a seed."""
    known = _tensors(slices, task)
    all_hu, none_hu = bool(slices.is_hu.all()), not slices.is_hu.any()

    def to_gray(stored: tf.Tensor, is_hu: tf.Tensor) -> tf.Tensor:
        if none_hu:
            return stored
        windowed = window_hu(stored - HU_OFFSET, windows)
        if all_hu:
            return windowed
        plain = stored if len(windows) == 1 else gray_to_rgb(stored)
        return tf.where(is_hu[:, None, None, None], windowed, plain)

    @tf.autograph.experimental.do_not_convert
    def make_batch(index: tf.Tensor, seed: tf.Tensor) -> tuple:
        batch = {name: tf.gather(values, index) for name, values in known.items()}
        images = to_gray(tf.cast(batch.pop("image"), tf.float32), batch.pop("is_hu"))
        labels = batch.pop("label")
        if augment is not None:  # while there may still be one channel only
            masks = labels if task == Task.SEGMENT else None
            images, masks = augment_batch(images, masks, augment, seed)
            labels = labels if masks is None else masks
        images = gray_to_rgb(images) if images.shape[-1] == 1 else images
        return (images, labels, batch) if with_ids else (images, labels)

    return make_batch


def _tensors(slices: Slices, task: Task) -> dict[str, tf.Tensor]:
    """Returns all that is known of the slices by name, one entry on the first axis for each."""
    rows = slices.rows
    with tf.device("CPU:0"):
        if slices.masks is None:
            label = tf.constant([[label_of(row, task=task)] for row in rows], tf.float32)
        else:
            label = _shared(slices.masks)
        return {
            "image": _shared(slices.images),
            "is_hu": tf.constant(slices.is_hu),
            "label": label,
            "source_id": tf.constant([row.source_id for row in rows]),
            "group_id": tf.constant([row.group_id for row in rows]),
            "height": tf.constant([row.height for row in rows], tf.int64),
            "width": tf.constant([row.width for row in rows], tf.int64),
            "stroke_type": tf.constant([StrokeType[row.stroke_type] for row in rows], tf.int64),
        }


def _shared(array: np.ndarray) -> tf.Tensor:
    """Returns an array as a tensor on the same memory."""
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
