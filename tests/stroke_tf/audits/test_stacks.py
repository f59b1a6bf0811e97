import numpy as np

from stroke_tf.audits.stacks import heights_of, ml_per_pixel, neighbours_of
from stroke_tf.manifest import FoldRow


def rows(*ids, group="a", **changed):
    values = {"stroke_type": "NONE", "fold": "0", "has_mask": 0, "width": 100, "height": 100}
    values |= {"file": "", "copy": 0, **changed}
    return [FoldRow(source_id=name, group_id=group, **values) for name in ids]


def test_slices_lie_on_each_other_by_their_last_number():
    found = neighbours_of(rows("p-9", "p-10", "p-11", "q-12"))
    assert found.tolist() == [[-1, 1], [0, 2], [1, -1], [-1, -1]]


def test_a_missing_slice_has_no_stand_in():
    assert neighbours_of(rows("1/1", "1/3")).tolist() == [[-1, -1]] * 2


def test_slices_of_two_groups_and_copies_are_no_neighbours():
    slices = [*rows("1"), *rows("2", group="b"), *rows("2", copy=1)]
    assert neighbours_of(slices).tolist() == [[-1, -1]] * 3


def test_ids_without_a_number_are_no_neighbours():
    assert neighbours_of(rows("a", "b")).tolist() == [[-1, -1]] * 2


def test_heights_go_from_the_first_number_to_the_last():
    found = heights_of(rows("p-6", "p-2", "p-3", "p-4", "p-5"))
    assert found.tolist() == [1, 0, 0.25, 0.5, 0.75]


def test_one_gap_leaves_heights_and_scattered_or_few_slices_have_none():
    assert np.isfinite(heights_of(rows("1", "2", "4", "5", "6"))).all()
    assert np.isnan(heights_of(rows("1", "9", "20", "31", "47"))).all()
    assert np.isnan(heights_of(rows("1", "2", "3", "4"))).all()


def test_the_volume_of_a_pixel_is_that_before_the_resize():
    slices = [*rows("1", spacing_mm="0.5x0.5x5", width=512, height=400), *rows("2")]
    found = ml_per_pixel(slices, size=128)
    assert found[0] == 0.5 * 0.5 * 5 * 4**2 / 1000
    assert np.isnan(found[1])
