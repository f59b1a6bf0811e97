import itertools

import numpy as np
import pytest

from stroke_tf.square import fit_mask, fit_square, undo_square


def disc(height, width, *, at=(0.5, 0.5), radius=0.2):
    """A disc of grey 200 about a share of each side, and its mask of class 2."""
    y, x = np.mgrid[:height, :width] + 0.5
    inside = np.hypot(y - at[0] * height, x - at[1] * width) < radius * min(height, width)
    return np.uint8(200) * inside, np.uint8(2) * inside


def centroid(weights):
    y, x = np.indices(weights.shape) + 0.5
    return np.array([(y * weights).sum(), (x * weights).sum()]) / weights.sum()


def place_in_square(point, height, width, size):
    """Where a point of the slice lies in its square, whose margins are whole pixels."""
    side = max(height, width)
    return (point + np.array([(side - height) // 2, (side - width) // 2])) * size / side


def places_of(image, mask, *, size):
    seen = centroid(fit_square(image, size=size).astype(float))
    drawn = centroid(fit_mask(mask, size=size) == 2)
    return seen, drawn, place_in_square(centroid(mask == 2), *mask.shape, size)


def test_squares_are_padded_with_air_not_stretched():
    grey = np.full((2, 4), 9, np.uint8)
    assert fit_square(grey, size=4).tolist() == [[0] * 4, [9] * 4, [9] * 4, [0] * 4]
    hu = np.full((3, 2), 40, np.int16)
    assert fit_square(hu, size=3).tolist() == [[40, 40, -1000]] * 3


def test_masks_get_the_margins_of_their_pictures():
    mask = np.full((3, 2), 1, np.uint8)
    assert fit_mask(mask, size=3).tolist() == [[1, 1, 0]] * 3


SIDES = [(650, 650), (512, 512), (400, 400), (130, 130), (651, 500), (333, 512), (131, 97)]


@pytest.mark.parametrize("size", [512, 256, 128])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_a_disc_and_its_mask_stay_where_they_were(height, width, size):
    seen, drawn, expected = places_of(*disc(height, width), size=size)
    assert np.abs(seen - drawn).max() < 0.1
    assert np.abs(seen - expected).max() < 0.1


@pytest.mark.parametrize("size", [512, 256, 128])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_discs_anywhere_are_not_shifted_on_the_whole(height, width, size):
    # One by one, whole pixels allow no more: at 130 to 128 a disc lies up to half a pixel between.
    shifts = []
    for at in np.random.default_rng(0).uniform(0.25, 0.75, (30, 2)):
        seen, drawn, expected = places_of(*disc(height, width, at=at), size=size)
        assert np.abs(seen - expected).max() < 0.1
        shifts.append(drawn - seen)
    assert np.abs(shifts).max() < 0.5
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.1


@pytest.mark.parametrize("size", [512, 256, 128])
@pytest.mark.parametrize(("height", "width"), SIDES)
def test_what_is_drawn_in_a_square_comes_back_to_its_place(height, width, size):
    image, mask = disc(height, width)
    square = fit_square(image, size=size).astype(np.float32) / 200
    probs = np.dstack([1 - square, 0 * square, square])
    again = undo_square(probs, height=height, width=width)
    assert again.shape == (height, width, 3)
    expected = centroid(mask == 2)
    assert np.abs(centroid(again[..., 2].astype(float)) - expected).max() < 0.1
    assert np.abs(centroid(again.argmax(axis=-1) == 2) - expected).max() < 0.1


@pytest.mark.parametrize(("pixels", "expected"), [(7, 0), (8, 2), (9, 2)])
def test_a_pixel_has_the_class_of_most_of_its_area_and_a_lesion_wins_a_tie(pixels, expected):
    block = (np.arange(16) < pixels).reshape(4, 4)
    mask = np.zeros((8, 8), np.uint8)
    mask[:4, 4:], mask[4:, 4:] = 2, 2 * block  # hangs together with the lesion above
    assert fit_mask(mask, size=2).tolist() == [[0, 2], [0, expected]]


def test_of_two_lesions_the_larger_share_wins_and_the_higher_class_a_tie():
    most = np.array([[1, 1, 1, 2], [1, 1, 2, 2], [1, 1, 2, 2], [1, 0, 0, 2]])  # 8 : 6 : 2
    tie = np.array([[1, 1, 2, 2]] * 4)
    ones, twos = np.full((4, 4), 1), np.full((4, 4), 2)  # so that no lesion is lost whole
    mask = np.block([[ones, most, twos], [ones, tie, twos], [ones, ones, twos]])
    expected = [[1, 1, 2], [1, 2, 2], [1, 1, 2]]
    assert fit_mask(mask.astype(np.uint8), size=3).tolist() == expected


def test_masks_keep_their_class_ids_when_resized():
    mask = np.zeros((9, 9), np.uint8)
    mask[3:, 3:] = 2
    assert set(np.unique(fit_mask(mask, size=4))) == {0, 2}
    assert set(np.unique(fit_mask(mask, size=20))) == {0, 2}


@pytest.mark.parametrize("size", [128, 224, 256])
@pytest.mark.parametrize("corner", list(itertools.product(range(99, 103), range(200, 204))))
def test_a_lesion_of_two_pixels_a_side_is_kept_near_its_place(size, corner):
    mask = np.zeros((512, 512), np.uint8)
    mask[corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = 2
    small = fit_mask(mask, size=size)
    assert set(np.unique(small)) == {0, 2}
    centre = (np.array(corner) + 1) * size / 512
    assert np.abs(centroid(small == 2) - centre).max() <= 0.5 + 0.25


def test_each_small_lesion_keeps_a_pixel_beside_a_large_one():
    mask = np.zeros((64, 64), np.uint8)
    mask[20:40, 20:40] = 1
    mask[5, 5] = mask[60, 50] = mask[30, 30] = 2  # two alone, one inside the other class
    expected = np.zeros((16, 16), np.uint8)
    expected[5:10, 5:10] = 1
    expected[1, 1] = expected[15, 12] = expected[7, 7] = 2
    assert fit_mask(mask, size=16).tolist() == expected.tolist()


def test_two_lesions_in_the_area_of_one_pixel_are_both_kept():
    mask = np.zeros((32, 32), np.uint8)
    mask[9, 9], mask[10, 11] = 1, 2
    assert set(np.unique(fit_mask(mask, size=4))) == {0, 1, 2}


@pytest.mark.parametrize(("height", "width"), [(7, 7), (5, 8), (9, 4), (1, 6)])
def test_undoing_a_square_gives_the_pixels_back(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    square = fit_square(image, size=max(height, width))
    again = undo_square(np.dstack([square] * 3).astype(np.float32), height=height, width=width)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again[..., 0], image)
