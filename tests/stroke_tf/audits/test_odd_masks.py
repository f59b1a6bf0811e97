import numpy as np
import pytest

from stroke_tf.audits.odd_masks import compared, odd_masks

CHAIN = np.array([[-1, 1], [0, 2], [1, -1]])
KNOWN = np.ones(3, bool)


def masks(*boxes, kinds=(2, 2, 2)):
    """Returns three masks of 30 x 30 pixels: a box (top, left, side) each, or none."""
    drawn = np.zeros((3, 30, 30), np.uint8)
    for mask, box, kind in zip(drawn, boxes, kinds, strict=True):
        if box:
            top, left, side = box
            mask[top : top + side, left : left + side] = kind
    return drawn


def rules(*boxes, known=KNOWN, **options):
    return odd_masks(masks(*boxes, **options), CHAIN, known=known)["rule"].tolist()


def test_masks_that_move_a_little_fit():
    assert rules((2, 2, 6), (3, 3, 6), (4, 4, 6)) == []


def test_an_empty_mask_between_two_that_overlap_is_missing():
    found = odd_masks(masks((2, 2, 6), None, (2, 2, 6)), CHAIN, known=KNOWN)
    assert found.to_dict("records") == [
        {"place": 1, "rule": "missing", "area_px": 0, "below_px": 36, "above_px": 36, "overlap": 1}
    ]


def test_an_empty_mask_between_two_lesions_is_not_missing():
    assert rules((0, 0, 6), None, (10, 10, 6)) == []


@pytest.mark.parametrize("wrong", [(12, 12, 6), (0, 0, 2)])
@pytest.mark.parametrize("above", [(2, 2, 6), None])
def test_a_mask_elsewhere_than_those_beside_it_is_apart(wrong, above):
    assert rules((2, 2, 6), wrong, above) == ["apart"]


def test_a_mask_of_another_class_is_apart():
    assert rules((2, 2, 6), (2, 2, 6), (2, 2, 6), kinds=(2, 1, 2)) == ["apart"]


def test_a_mask_that_fits_one_neighbour_is_not_apart():
    assert rules((2, 2, 6), (2, 2, 6), (12, 12, 6)) == []


def test_a_large_mask_between_empty_slices_is_alone_and_a_small_one_is_none():
    assert rules(None, (2, 2, 6), None) == ["alone"]
    assert rules(None, (2, 2, 1), None) == []


@pytest.mark.parametrize("unknown", range(3))
def test_masks_beside_unknown_ones_are_not_judged(unknown):
    assert rules((2, 2, 6), None, (2, 2, 6), known=np.arange(3) != unknown) == []


def test_the_ends_of_a_series_and_empty_slices_are_not_compared():
    assert compared(masks(None, (2, 2, 6), None), CHAIN, known=KNOWN).tolist() == [0, 1, 0]
    assert not compared(masks(None, None, None), CHAIN, known=KNOWN).any()


def test_the_largest_of_a_rule_comes_first():
    drawn = np.concatenate([masks((2, 2, 3), None, (2, 2, 3)), masks((2, 2, 6), None, (2, 2, 6))])
    chain = np.concatenate([CHAIN, np.where(CHAIN < 0, -1, CHAIN + 3)])
    assert odd_masks(drawn, chain, known=np.ones(6, bool))["place"].tolist() == [4, 1]
