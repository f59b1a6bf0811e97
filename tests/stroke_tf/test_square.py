import numpy as np
import pytest

from stroke_tf.square import fit_square, undo_square


def test_squares_are_padded_with_air_not_stretched():
    grey = np.full((2, 4), 9, np.uint8)
    assert fit_square(grey, size=4).tolist() == [[0] * 4, [9] * 4, [9] * 4, [0] * 4]
    hu = np.full((3, 2), 40, np.int16)
    assert fit_square(hu, size=3).tolist() == [[40, 40, -1000]] * 3


def test_masks_keep_their_class_ids_when_resized():
    mask = np.zeros((9, 9), np.uint8)
    mask[3:, 3:] = 2
    assert set(np.unique(fit_square(mask, size=4, nearest=True))) == {0, 2}


@pytest.mark.parametrize(("height", "width"), [(7, 7), (5, 8), (9, 4), (1, 6)])
def test_undoing_a_square_gives_the_pixels_back(height, width):
    image = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    square = fit_square(image, size=max(height, width))
    again = undo_square(np.dstack([square] * 3).astype(np.float32), height=height, width=width)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again[..., 0], image)


@pytest.mark.parametrize("size", [16, 64])
def test_undoing_a_resized_square_puts_things_where_they_were(size):
    image = np.zeros((20, 31), np.uint8)
    image[4:12, 20:28] = 255
    square = fit_square(image, size=size).astype(np.float32)
    again = undo_square(np.dstack([square, 255 - square, 0 * square]), height=20, width=31)
    assert again.shape == (20, 31, 3)
    inside, outside = np.s_[6:10, 22:26], np.s_[:, :17]
    assert (again[inside][..., 0] > 200).all()
    assert (again[outside][..., 0] == 0).all()
    np.testing.assert_allclose(again.sum(axis=-1), 255, rtol=1e-5)
