import numpy as np
import pytest

from data_tools.offline_copies import augmented_copies, copies_of
from stroke_tf.labels import StrokeType


@pytest.fixture
def slice_and_mask():
    image = np.zeros((65, 65), np.uint8)
    image[10:50, 12:40] = 120
    mask = np.zeros_like(image)
    mask[10:50, 12:40] = 2
    return image, mask


@pytest.mark.parametrize(
    ("copies_for", "none", "stroke"),
    [("none", 1, 1), ("detect", 2, 4), ("segment", 1, 6)],  # SAUCIS Tables 1 and 3
)
def test_factors_are_those_of_the_paper(copies_for, none, stroke):
    assert copies_of(StrokeType.NONE, copies_for=copies_for) + 1 == none
    assert copies_of(StrokeType.ISCHEMIA, copies_for=copies_for) + 1 == stroke
    assert copies_of(StrokeType.HEMORRHAGE, copies_for=copies_for) + 1 == stroke


def test_six_fold_holds_one_copy_of_each_operation(slice_and_mask):
    image, mask = slice_and_mask
    copies = augmented_copies(image, mask, count=5, source_id="1", seed=0)
    assert len(copies) == 5
    assert all((copy != image).any() for copy, _ in copies)
    mirrored = [copy for copy, moved in copies if (moved == mask[:, ::-1]).all()]
    assert any((copy == image[:, ::-1]).all() for copy in mirrored)


def test_image_and_mask_move_together(slice_and_mask):
    image, mask = slice_and_mask
    for copy, moved in augmented_copies(image, mask, count=5, source_id="1", seed=3):
        bright = copy > copy.max() / 2
        assert set(np.unique(moved)) <= {0, 2}
        overlap = (bright & (moved == 2)).sum() * 2 / (bright.sum() + (moved == 2).sum())
        assert overlap > 0.97


def test_copies_follow_from_seed_and_id(slice_and_mask):
    image, mask = slice_and_mask

    def copies(source_id, seed):
        made = augmented_copies(image, mask, count=3, source_id=source_id, seed=seed)
        return np.stack([copy for copy, _ in made])

    assert (copies("1", 0) == copies("1", 0)).all()
    assert (copies("1", 0) != copies("2", 0)).any()
    assert (copies("1", 0) != copies("1", 1)).any()


def test_a_slice_without_mask_has_copies_without_mask(slice_and_mask):
    image, _ = slice_and_mask
    copies = augmented_copies(image, None, count=5, source_id="1", seed=0)
    assert [moved for _, moved in copies] == [None] * 5


def test_a_disc_and_its_mask_move_to_the_same_place():
    y, x = np.mgrid[:257, :257]
    inside = np.hypot(y - 110.3, x - 150.6) < 50
    image, mask = np.uint8(200) * inside, np.uint8(2) * inside
    shifts = []
    for seed in range(10):
        for copy, moved in augmented_copies(image, mask, count=5, source_id="1", seed=seed):
            grey = copy - copy.min().astype(float)  # without the brightness that is added
            centres = [
                np.array([(y * part).sum(), (x * part).sum()]) / part.sum()
                for part in (grey, moved == 2)
            ]
            shifts.append(centres[0] - centres[1])
    assert np.abs(shifts).max() < 0.2  # a mask has whole pixels
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.05


@pytest.mark.parametrize("place", [(0, 0), (64, 64), (3, 60), (30, 41)])
def test_every_copy_shows_the_lesion_of_its_type(slice_and_mask, place):
    image, _ = slice_and_mask
    mask = np.zeros_like(image)
    mask[place] = 2
    for seed in range(40):
        copies = augmented_copies(image, mask, count=5, source_id="1", seed=seed)
        assert all((moved == 2).any() for _, moved in copies)
