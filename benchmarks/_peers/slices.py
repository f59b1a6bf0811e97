"""The slices of one part of a cross-validation, handed over in the form that each peer wants.

Runs in the interpreter of `stroke_tf`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import cv2
import numpy as np

from benchmarks._peers.job import DATASET, SLICES_NAME, Slices, Use
from stroke_tf.data.memory import load_slices
from stroke_tf.data.rendering import gray_images
from stroke_tf.data.selection import neighbours_of
from stroke_tf.files import replacing, write_bytes, write_json
from stroke_tf.labels import LESION_CLASSES, MASK_CLASSES, StrokeType, Task
from stroke_tf.manifest import FoldName, read_manifest
from stroke_tf.runs.keep_or_run import Split


class Truth(NamedTuple):
    """Ids, groups and true masks of the slices of one use.

    Attributes:
        ids: Source id of each slice.
        groups: Group id of each slice, such as its patient.
        masks: Class ids, uint8, shape (N, S, S).
    """

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    masks: np.ndarray


class Handed(NamedTuple):
    """The slices as they were handed over to the peers.

    Attributes:
        folder: Where it lies: `slices.npz`, and nnU-Net's `raw` and `preprocessed`.
        class_ids: The lesion classes that the masks hold: 1 to K in the masks handed over.
        truth: Of each use, see `Truth`.
    """

    folder: Path
    class_ids: tuple[int, ...]
    truth: dict[Use, Truth]


def hand_over(records: Path, split: Split, folder: Path, *, neighbours: bool) -> Handed:
    """Writes the slices of a split as arrays and as a data set of nnU-Net.

    The slices are those that a training of `stroke_tf` on these folds reads, in the same order, at
    the size of the records; those in HU through the brain window.

    Args:
        records: Folder of records.
        split: Folds for training, validation and test.
        folder: Where to write.
        neighbours: Whether the slice before and the slice after are the first and last of three
            channels, as in the view "neighbours".
    """
    size = read_manifest(records).size
    slices: dict[Use, Slices] = {}
    truth: dict[Use, Truth] = {}
    for use in get_args(Use):
        slices[use], truth[use] = _read(records, getattr(split, use), size, neighbours=neighbours)
    shown = np.unique(np.concatenate([np.unique(of_use.masks) for of_use in truth.values()]))
    class_ids = tuple(int(kind) for kind in LESION_CLASSES if kind in shown)
    codes = np.zeros(len(MASK_CLASSES), np.uint8)
    codes[list(class_ids)] = np.arange(1, 1 + len(class_ids))
    slices = {use: Slices(of_use.images, codes[of_use.masks]) for use, of_use in slices.items()}
    _write_arrays(folder / SLICES_NAME, slices, class_ids)
    _write_nnunet(folder, slices, class_ids)
    return Handed(folder, class_ids, truth)


def read_answers(handed: Handed, use: Use, path: Path) -> np.ndarray:
    """Returns what a peer says of all three mask classes, float32, shape (N, S, S, 3).

    Raises:
        ValueError: If it did not answer every slice at the size of the records.
    """
    with np.load(path) as arrays:
        said = arrays["probs"].astype(np.float32)
    masks = handed.truth[use].masks
    expected = (len(masks), len(handed.class_ids), *masks.shape[1:])
    if said.shape != expected:
        raise ValueError(
            f"{path} must hold probabilities of shape {expected}. Received: {said.shape}"
        )
    probs = np.zeros((*masks.shape, len(MASK_CLASSES)), np.float32)
    probs[..., list(handed.class_ids)] = np.moveaxis(said, 1, -1)
    probs[..., 0] = np.clip(1 - probs.sum(axis=-1), 0, 1)
    return probs


def _read(
    records: Path, folds: tuple[FoldName, ...], size: int, *, neighbours: bool
) -> tuple[Slices, Truth]:
    decoded = load_slices(records, folds, task=Task.SEGMENT, image_size=size)
    gray = gray_images(decoded)
    if neighbours:
        images = np.moveaxis(gray[neighbours_of(decoded.rows)], 1, -1)
    else:
        images = gray[..., None]
    masks = np.array(decoded.masks)[..., 0]
    ids = tuple(row.source_id for row in decoded.rows)
    groups = tuple(row.group_id for row in decoded.rows)
    return Slices(images, masks), Truth(ids, groups, masks)


def _write_arrays(path: Path, slices: dict[Use, Slices], class_ids: Sequence[int]) -> None:
    arrays = {
        f"{use}_{name}": array for use, of in slices.items() for name, array in of._asdict().items()
    }
    with replacing(path) as temporary:
        np.savez_compressed(temporary, class_ids=np.array(class_ids), **arrays)


def _write_nnunet(folder: Path, slices: dict[Use, Slices], class_ids: Sequence[int]) -> None:
    """Writes training and validation slices as nnU-Net wants them, and which is which."""
    raw, names = (
        folder / "raw" / DATASET,
        {use: case_names(use, len(of_use.images)) for use, of_use in slices.items()},
    )
    for use in ("train", "val"):
        for name, image, mask in zip(names[use], *slices[use], strict=True):
            for channel, gray in enumerate(np.moveaxis(image, -1, 0)):
                _write_png(raw / "imagesTr" / f"{name}_{channel:04d}.png", gray)
            _write_png(raw / "labelsTr" / f"{name}.png", mask)
    channels = slices["train"].images.shape[-1]
    labels = {StrokeType(kind).name.lower(): number for number, kind in enumerate(class_ids, 1)}
    description = {
        # No name that nnU-Net knows, such as CT or R: it then takes each slice's own z-scores.
        "channel_names": {str(channel): "grey" for channel in range(channels)},
        "labels": {"background": 0, **labels},
        "numTraining": len(names["train"]) + len(names["val"]),
        "file_ending": ".png",
    }
    write_json(raw / "dataset.json", description)
    split = [{use: names[use] for use in ("train", "val")}]
    write_json(folder / "preprocessed" / DATASET / "splits_final.json", split)


def case_names(use: Use, count: int) -> list[str]:
    """Returns the names of nnU-Net's cases, in the order of the slices."""
    return [f"{use}-{number:05d}" for number in range(count)]


def _write_png(path: Path, gray: np.ndarray) -> None:
    write_bytes(path, cv2.imencode(".png", np.ascontiguousarray(gray))[1].tobytes())
