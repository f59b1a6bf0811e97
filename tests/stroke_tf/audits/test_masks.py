import numpy as np
import pytest

from stroke_tf.audits.masks import SIDES, read_masks, sides_of, sizes_of
from stroke_tf.audits.slices import read_slices

UNKNOWN = np.full(5, np.nan)


def boxes(*sides):
    """Returns masks of 10 x 10 pixels, each a square of a side."""
    drawn = np.zeros((len(sides), 10, 10), np.uint8)
    for mask, side in zip(drawn, sides, strict=True):
        mask[:side, :side] = 2
    return drawn


def test_lesions_are_dealt_to_quarters_by_size():
    sizes = sizes_of(boxes(0, 1, 2, 3, 4), UNKNOWN)
    assert sizes.isna().tolist() == [True, False, False, False, False]
    assert sizes.cat.codes[1:].tolist() == [0, 1, 2, 3]
    assert sizes.cat.categories[-1].endswith("to 16 % of the slice")


def test_sizes_are_volumes_where_spacing_is_known():
    sizes = sizes_of(boxes(0, 1, 2, 3, 4), np.array([np.nan, 0.1, 0.1, 0.1, 0.1]))
    assert sizes.cat.categories[-1].endswith("to 1.6 ml")


def test_equal_sizes_and_no_lesions_are_no_quarters():
    assert sizes_of(boxes(2, 2, 2), UNKNOWN[:3]).nunique() <= 1
    assert sizes_of(boxes(0, 0), UNKNOWN[:2]).isna().all()


def test_quarters_of_like_sizes_have_names_of_their_own():
    areas = np.repeat(np.array([1.1201, 1.1202, 1.1203, 1.1204, 1.1205, 1.1206]), 1)
    sizes = sizes_of(boxes(*[1] * 6), areas)
    names = list(sizes.cat.categories)
    assert len(set(names)) == len(names) == 4
    assert names[-1].endswith("to 1.1206 ml")


@pytest.mark.parametrize(
    ("row", "column", "side"),
    [(20, 20, 0), (20, 12, 1), (20, 28, 2), (12, 20, 3), (28, 20, 4), (22, 18, 0)],
)
def test_a_lesion_lies_where_its_centre_does_in_the_head(row, column, side):
    image, mask = np.zeros((2, 60, 60), np.uint8)
    image[10:31, 10:31] = 100  # the head, in a corner of the slice
    mask[row - 1 : row + 2, column - 1 : column + 2] = 1
    assert sides_of(mask[None], image[None]).tolist() == [SIDES[side]]


def test_no_lesion_and_no_head_have_no_side():
    empty = np.zeros((1, 8, 8), np.uint8)
    assert sides_of(empty, empty + 100).isna().all()
    assert sides_of(empty + 1, empty).isna().all()


def test_masks_are_those_of_their_slices(phantom_records):
    slices = read_slices(phantom_records[0], image_size=32)
    masks, known = read_masks(phantom_records[0], slices.rows, image_size=32)
    assert known.all()
    lesion = np.array([row.stroke_type != "NONE" for row in slices.rows])
    assert (masks.any(axis=(1, 2)) == lesion).all()
