import numpy as np
import pytest

from stroke_tf import Task, make_dataset
from stroke_tf.data.paste import NOTHING, donor_drawer, paste_lesion
from stroke_tf.labels import StrokeType

SIZE, BRAIN, BLOOD, BONE = 64, 100, 160, 255


def head(level=BRAIN, *, channels=None):
    """A square head: bone around brain, air around bone."""
    picture = np.zeros((SIZE, SIZE), np.uint8)
    picture[6:-6, 6:-6] = BONE
    picture[8:-8, 8:-8] = level
    return picture if channels is None else np.repeat(picture[..., None], channels, axis=-1)


def bleeding(rows, columns, *, channels=None):
    picture, mask = head(BRAIN - 10, channels=channels), np.zeros((SIZE, SIZE, 1), np.uint8)
    picture[rows, columns], mask[rows, columns] = BLOOD, 2
    return picture, mask


NO_MASK = np.zeros((SIZE, SIZE, 1), np.uint8)


@pytest.mark.parametrize("channels", [None, 3])
def test_a_lesion_comes_with_a_margin_that_fades(channels):
    donor, donor_mask = bleeding(slice(30, 36), slice(28, 40), channels=channels)
    picture = head(channels=channels)
    mixed, mask = paste_lesion(picture, NO_MASK, donor, donor_mask, 0)
    np.testing.assert_array_equal(mask, donor_mask)
    assert (mixed[30:36, 28:40] == BLOOD).all()
    above = mixed.reshape(SIZE, SIZE, -1)[:30, 34, 0].astype(int)  # from the head to the lesion
    assert above[29] < BRAIN
    assert (np.diff(above[20:]) <= 0).all()
    assert (above[10:24] == BRAIN).all()
    assert mixed.dtype == np.uint8
    assert mixed.shape == picture.shape
    assert not NO_MASK.any()


def test_neither_bone_nor_air_is_painted_over():
    donor, donor_mask = bleeding(slice(8, 20), slice(30, 40))
    picture = head()
    picture[:10] = picture[2:12]  # its skull lies two pixels higher
    picture[10, 30:40] = BONE
    mixed, mask = paste_lesion(picture, NO_MASK, donor, donor_mask, 0)
    hard = (picture <= 40) | (picture == BONE)
    np.testing.assert_array_equal(mixed[hard], picture[hard])
    assert not mask[hard].any()
    assert mask.any()
    assert not (mixed[~hard] == BONE).any()  # no bone of the donor


def test_a_lesion_that_lies_outside_the_head_is_not_pasted():
    donor, donor_mask = bleeding(slice(10, 16), slice(10, 16))
    small = np.zeros((SIZE, SIZE), np.uint8)
    small[20:44, 20:44] = BRAIN
    mixed, mask = paste_lesion(small, NO_MASK, donor, donor_mask, 0)
    np.testing.assert_array_equal(mixed, small)
    assert not mask.any()


def test_a_lesion_that_is_there_stays():
    donor, donor_mask = bleeding(slice(30, 36), slice(28, 40))
    picture, mask = bleeding(slice(12, 18), slice(12, 18))
    mixed, both = paste_lesion(picture, mask, donor, donor_mask, 0)
    assert (both > 0).sum() == (mask > 0).sum() + (donor_mask > 0).sum()
    assert (mixed[12:18, 12:18] == BLOOD).all()


def test_what_is_tissue_is_seen_in_the_channel_of_the_slice_itself():
    donor, donor_mask = bleeding(slice(30, 36), slice(28, 40), channels=3)
    picture = head(channels=3)
    picture[..., 0] = 0  # the slice before shows air
    assert not paste_lesion(picture, NO_MASK, donor, donor_mask, 0)[1].any()
    mixed, mask = paste_lesion(picture, NO_MASK, donor, donor_mask, 0, channel=1)
    np.testing.assert_array_equal(mask, donor_mask)
    assert (mixed[30:36, 28:40, 1] == BLOOD).all()


def test_a_share_of_the_slices_gets_a_donor():
    lesions = np.array([3, 5, 8])
    donors = donor_drawer(lesions, 0.25)(np.random.default_rng(0), 4000)
    assert set(donors) == {NOTHING, *lesions}
    assert np.mean(donors != NOTHING) == pytest.approx(0.25, abs=0.03)
    assert (donor_drawer(lesions[:0], 0)(np.random.default_rng(0), 5) == NOTHING).all()


@pytest.mark.parametrize(
    ("lesions", "share", "message"),
    [([1], 1.5, r"must be in \[0, 1\]. Received: 1.5"), ([], 0.5, "a lesion. Received: none")],
)
def test_a_share_out_of_range_and_no_lesion_are_told(lesions, share, message):
    with pytest.raises(ValueError, match=f"`pasted_lesions` .*{message}"):
        donor_drawer(np.array(lesions, int), share)


@pytest.fixture
def records(write_records, make_record, tmp_path):
    """One slice without a lesion and one with."""
    picture, mask = bleeding(slice(30, 36), slice(28, 40))
    healthy, empty = head(), np.zeros((SIZE, SIZE), np.uint8)
    return write_records(
        tmp_path / "records",
        [
            make_record("healthy", 0, StrokeType.NONE, healthy, empty),
            make_record("bleeding", 0, StrokeType.HEMORRHAGE, picture, mask[..., 0]),
        ],
        size=SIZE,
    )


def test_an_epoch_shows_the_lesion_in_the_healthy_head(records):
    options = {"folds": (0,), "task": Task.SEGMENT, "image_size": SIZE, "batch_size": 2}
    pasting = make_dataset(records, **options, training=True, pasted_lesions=1.0, with_ids=True)
    for images, masks, known in pasting:
        shown = dict(zip(known["source_id"].numpy(), masks.numpy(), strict=True))
        np.testing.assert_array_equal(shown[b"healthy"], shown[b"bleeding"])
        assert shown[b"healthy"].any()
        place = known["source_id"].numpy().tolist().index(b"healthy")
        assert (images.numpy()[place, 30:36, 28:40] == BLOOD).all()
    plain = make_dataset(records, **options, training=True)
    assert sum(masks.numpy().any(axis=(1, 2, 3)).sum() for _, masks in plain) == 1


def test_lesions_are_pasted_in_training_with_masks_alone(records):
    options = {"folds": (0,), "image_size": SIZE, "batch_size": 2, "pasted_lesions": 0.5}
    for others in ({"task": Task.SEGMENT}, {"task": Task.DETECT, "training": True}):
        with pytest.raises(ValueError, match="`pasted_lesions` must be 0, or above it in training"):
            make_dataset(records, **options, **others)
