"""Picture and mask keep one geometry on their way from records to batches."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.config import AugmentStrength
from stroke_tf.data.augment import augment_batch
from stroke_tf.data.memory import load_slices
from stroke_tf.labels import StrokeType, Task

_NOTHING = AugmentStrength(rotation_deg=0, contrast=0, brightness=0, mirror=0, roi=0)


def disc(side, *, at=(0.47, 0.54), radius=0.15):
    y, x = np.mgrid[:side, :side] + 0.5
    inside = np.hypot(y - at[0] * side, x - at[1] * side) < radius * side
    return np.uint8(200) * inside, np.uint8(2) * inside


def centroid(weights):
    y, x = np.indices(weights.shape) + 0.5
    return np.array([(y * weights).sum(), (x * weights).sum()]) / weights.sum()


@pytest.mark.parametrize(
    "strength",
    [
        {"rotation_deg": 25.0},
        {"mirror": 1.0},
        {"roi": 0.3},
        {"rotation_deg": 25.0, "mirror": 0.5, "roi": 0.3},
    ],
    ids=lambda strength: "-".join(strength),
)
@pytest.mark.parametrize("side", [192, 257])
def test_augmentation_moves_a_disc_and_its_mask_alike(side, strength):
    image, mask = disc(side)
    images = np.repeat(image[None, ..., None].astype(np.float32), 16, 0)
    masks = np.repeat(mask[None, ..., None], 16, 0)
    seed = tf.constant([3, 4], tf.int32)
    moved = augment_batch(images, masks, dataclasses.replace(_NOTHING, **strength), seed)
    pairs = zip(*(np.asarray(array)[..., 0] for array in moved), strict=True)
    shifts = [centroid(picture) - centroid(drawn == 2) for picture, drawn in pairs]
    assert np.abs(shifts).max() < 0.5  # a mask has whole pixels
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1


@pytest.mark.parametrize(("stored", "size"), [(130, 64), (128, 48), (96, 128), (64, 64)])
def test_stored_slices_keep_their_place_at_another_size(
    write_records, make_record, tmp_path, stored, size
):
    image, mask = disc(stored)
    record = make_record("a", 0, StrokeType.HEMORRHAGE, image, mask)
    records = write_records(tmp_path / "records", [record, record], size=stored)
    slices = load_slices(records, (0,), task=Task.SEGMENT, image_size=size)
    expected = centroid(mask == 2) * size / stored
    assert np.abs(centroid(slices.images[0, ..., 0].astype(float)) - expected).max() < 0.1
    assert np.abs(centroid(slices.masks[0, ..., 0] == 2) - expected).max() < 0.1


def test_a_small_lesion_is_kept_at_a_smaller_size(write_records, make_record, tmp_path):
    image, mask = np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8)
    mask[21:23, 41:43] = 1
    record = make_record("a", 0, StrokeType.ISCHEMIA, image, mask)
    records = write_records(tmp_path / "records", [record, record], size=64)
    slices = load_slices(records, (0,), task=Task.SEGMENT, image_size=16)
    assert np.argwhere(slices.masks[0, ..., 0]).tolist() == [[5, 10]]


@pytest.mark.parametrize(
    ("stroke_type", "class_id"), [(StrokeType.HEMORRHAGE, 0), (StrokeType.NONE, 2)]
)
def test_records_whose_mask_contradicts_their_class_are_refused(
    write_records, make_record, lesion_mask, gray_image, tmp_path, stroke_type, class_id
):
    record = make_record("a7", 0, stroke_type, gray_image(0), lesion_mask(class_id))
    records = write_records(tmp_path / "records", [record, record])
    with pytest.raises(ValueError, match=r"just where the class is one.*'a7'"):
        load_slices(records, (0,), task=Task.SEGMENT, image_size=16)
