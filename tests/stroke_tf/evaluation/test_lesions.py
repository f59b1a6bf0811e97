import math

import numpy as np
import pandas as pd
import pytest

from stroke_tf.evaluation.lesions import (
    LESION_METRICS,
    LesionCounts,
    count_lesions,
    hd95_px,
    lesion_metrics,
)
from stroke_tf.evaluation.segmentation import COUNTED, count_masks

EMPTY = np.zeros((5, 6), np.uint8)
ISCHEMIA, HEMORRHAGE, ANY = range(3)


def mask(*rows):
    """A mask drawn as text: "." is background."""
    return np.array([[int(pixel) for pixel in row.replace(".", "0")] for row in rows], np.uint8)


TWO_AND_ONE = mask(
    "11..22",
    "1...22",
    "......",
    ".1....",
    "..1...",
)  # two ischaemias, the second held together by a corner, and one haemorrhage
DRAWN = mask(
    ".1....",
    "......",
    "22..1.",
    "......",
    ".....2",
)  # one pixel of the first ischaemia; one false ischaemia and two false haemorrhages


def score(truth, predicted, groups=None):
    truth, predicted = np.array(truth), np.array(predicted)
    lesions = count_lesions(truth, predicted)
    found = lesion_metrics(count_masks(truth, predicted), lesions, groups, resamples=20)
    assert tuple(found) == LESION_METRICS
    return {name: metric.value for name, metric in found.items()}


def test_lesions_are_counted_by_class():
    cells = count_lesions([TWO_AND_ONE], [DRAWN]).per_slice[0]
    assert cells[ISCHEMIA].tolist() == [2, 1, 1]
    assert cells[HEMORRHAGE].tolist() == [1, 0, 2]
    assert cells[ANY].tolist() == [3, 1, 3]


def test_one_shared_pixel_of_the_class_finds_a_lesion():
    values = score([TWO_AND_ONE], [DRAWN])
    assert values["ischemia_lesionwise_recall"] == 1 / 2
    assert values["hemorrhage_lesionwise_recall"] == 0
    assert values["any_lesion_lesionwise_recall"] == pytest.approx(1 / 3)


def test_a_lesion_drawn_as_the_other_type_is_missed_and_false_but_any_lesion():
    swapped = np.array([0, 2, 1], np.uint8)[TWO_AND_ONE]
    cells = count_lesions([TWO_AND_ONE], [swapped]).per_slice[0]
    assert cells.tolist() == [[2, 0, 1], [1, 0, 2], [3, 3, 0]]


def test_one_drawn_blob_may_find_two_lesions_and_is_not_false():
    truth, drawn = mask("1...1"), mask("11111")
    assert count_lesions([truth], [drawn]).per_slice[0, ISCHEMIA].tolist() == [2, 2, 0]


def test_pieces_of_one_found_lesion_are_not_false():
    truth, drawn = mask("11111"), mask("1.1.1")
    assert count_lesions([truth], [drawn]).per_slice[0, ISCHEMIA].tolist() == [1, 1, 0]


def test_lesions_of_different_type_that_touch_are_one_lesion_of_any_type():
    cells = count_lesions([mask("1122..")], [mask("1.....")]).per_slice[0]
    assert cells.tolist() == [[1, 1, 0], [1, 0, 0], [1, 1, 0]]


def test_false_lesions_are_divided_by_all_slices():
    values = score([TWO_AND_ONE, EMPTY, EMPTY, EMPTY], [DRAWN, EMPTY, DRAWN, EMPTY])
    assert values["ischemia_false_lesions_per_slice"] == (1 + 2) / 4
    assert values["hemorrhage_false_lesions_per_slice"] == (2 + 2) / 4


def test_hd95_of_shifted_squares_is_the_shift():
    truth = np.zeros((20, 20), bool)
    truth[3:9, 3:9] = True
    assert hd95_px(truth, np.roll(truth, 4, axis=1)) == 4
    assert hd95_px(truth, truth) == 0


def test_hd95_takes_the_worse_direction():
    truth, drawn = np.zeros((3, 40), bool), np.zeros((3, 40), bool)
    truth[1, 5] = drawn[1, 5] = drawn[1, 25] = True
    # From truth to drawn: 0. From drawn to truth: 0 and 20, whose 95th percentile is 19.
    assert hd95_px(truth, drawn) == hd95_px(drawn, truth) == 19


def test_hd95_is_of_outlines_not_of_regions():
    full = np.ones((9, 9), bool)
    ring = full.copy()
    ring[1:8, 1:8] = False
    assert hd95_px(full, ring) == 0
    inner = np.zeros((9, 9), bool)
    inner[4, 4] = True
    # The edge of the slice is outline: from its 32 pixels to the centre at most sqrt(32), twice 4.
    assert hd95_px(full, inner) == pytest.approx(math.sqrt(32))


def test_hd95_agrees_with_distances_of_all_pairs():
    rng = np.random.default_rng(0)
    truth, drawn = rng.random((2, 23, 31)) < 0.3
    outlines = []
    for region in (truth, drawn):
        padded = np.pad(region, 1)
        inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        outlines.append(np.argwhere(region & ~inside))
    distances = np.linalg.norm(outlines[0][:, None] - outlines[1], axis=-1)
    expected = max(np.percentile(distances.min(axis=axis), 95) for axis in (0, 1))
    assert hd95_px(truth, drawn) == pytest.approx(expected)
    counted = count_lesions([truth.astype(np.uint8)], [drawn.astype(np.uint8)])
    assert counted.hd95_px[0, ISCHEMIA] == pytest.approx(expected)


def test_hd95_is_averaged_over_slices_with_both_outlines_and_the_rest_is_counted():
    truth = [mask("1...."), mask("1...."), mask("1...."), mask("....."), mask(".....")]
    drawn = [mask("..1.."), mask("...1."), mask("....."), mask("1...."), mask(".....")]
    values = score(truth, drawn)
    assert values["ischemia_hd95_px"] == (2 + 3) / 2
    assert values["ischemia_hd95_missing"] == 2
    assert math.isnan(values["hemorrhage_hd95_px"])
    assert values["hemorrhage_hd95_missing"] == 0


def test_only_slices_without_lesion_are_normal():
    truth = [EMPTY, EMPTY, EMPTY, TWO_AND_ONE]
    drawn = [EMPTY, DRAWN, mask(*["1....."] * 5), DRAWN]
    values = score(truth, drawn)
    assert values["normal_slice_false_px"] == (0 + 5 + 5) / 3
    assert values["normal_slice_false_rate"] == pytest.approx(2 / 3)


def test_without_lesions_recall_is_undefined_and_without_normal_slices_false_area_is():
    nothing = score([EMPTY], [EMPTY])
    assert math.isnan(nothing["ischemia_lesionwise_recall"])
    assert math.isnan(nothing["any_lesion_hd95_px"])
    assert nothing["any_lesion_hd95_missing"] == nothing["normal_slice_false_px"] == 0
    lesion = score([TWO_AND_ONE], [EMPTY])
    assert lesion["ischemia_lesionwise_recall"] == 0
    assert math.isnan(lesion["normal_slice_false_px"])
    assert math.isnan(lesion["normal_slice_false_rate"])


def test_no_slices_give_nan_throughout():
    none = np.zeros((0, 4, 4), np.uint8)
    assert all(math.isnan(value) for value in score(none, none).values())


def test_intervals_draw_whole_groups():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (12, 9, 9)).astype(np.uint8)
    truth[::3] = 0
    drawn = np.where(rng.random(truth.shape) < 0.5 * rng.random((12, 1, 1)), 2, 0)
    pair = truth.repeat(5, axis=0), drawn.repeat(5, axis=0)
    counts, lesions = count_masks(*pair), count_lesions(*pair)
    alone = lesion_metrics(counts, lesions, resamples=200)
    grouped = lesion_metrics(counts, lesions, np.arange(12).repeat(5), resamples=200)
    for name in ("any_lesion_lesionwise_recall", "hemorrhage_hd95_px", "normal_slice_false_px"):
        value, low, high = grouped[name]
        assert low < value < high
        assert high - low > 1.5 * (alone[name].high - alone[name].low)
    assert math.isnan(grouped["hemorrhage_hd95_missing"].low)


def test_counts_survive_a_csv_file_and_add_up(tmp_path):
    both = count_lesions([TWO_AND_ONE, EMPTY], [DRAWN, EMPTY])
    parts = count_lesions([TWO_AND_ONE], [DRAWN]) + count_lesions([EMPTY], [EMPTY])
    frame = both.to_frame()
    assert frame.columns[:3].tolist() == ["ischemia_lesions", "ischemia_found", "ischemia_false"]
    assert frame.columns[-1] == f"{COUNTED[-1]}_hd95_px"
    frame.to_csv(tmp_path / "lesions.csv", index=False)
    again = LesionCounts.from_frame(pd.read_csv(tmp_path / "lesions.csv"))
    for counts in (parts, again):
        assert len(counts) == 2
        np.testing.assert_array_equal(counts.per_slice, both.per_slice)
        np.testing.assert_allclose(counts.hd95_px, both.hd95_px)


def test_counts_of_other_slices_are_refused():
    one, two = count_masks([EMPTY], [EMPTY]), count_lesions([EMPTY] * 2, [EMPTY] * 2)
    with pytest.raises(ValueError, match="`lesions` must be of 1 slices. Received: 2"):
        lesion_metrics(one, two)
    with pytest.raises(ValueError, match="same shape"):
        count_lesions([EMPTY], [EMPTY] * 2)
