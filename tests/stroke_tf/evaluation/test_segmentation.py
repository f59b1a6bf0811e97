import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score

from stroke_tf.evaluation.metrics import Counts
from stroke_tf.evaluation.segmentation import (
    SEGMENTATION_METRICS,
    count_masks,
    segmentation_metrics,
)

EMPTY = [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
ISCHEMIA = [[1, 1, 0], [1, 1, 0], [0, 0, 0]]
ISCHEMIA_SHIFTED = [[0, 1, 1], [0, 1, 1], [0, 0, 0]]
BOTH = [[1, 1, 0], [0, 0, 0], [0, 2, 2]]
BOTH_SWAPPED = [[2, 2, 0], [0, 0, 0], [0, 1, 1]]
BOTH_PARTLY = [[1, 0, 0], [0, 0, 2], [0, 2, 2]]


def _values(truth, predicted):
    found = segmentation_metrics(count_masks(truth, predicted), resamples=5)
    assert tuple(found) == SEGMENTATION_METRICS
    return {name: metric.value for name, metric in found.items()}


def test_counts_of_one_class_by_hand():
    total = count_masks([ISCHEMIA], [ISCHEMIA_SHIFTED]).total()
    assert total == {
        "ischemia": Counts(tp=2, fp=2, fn=2, tn=3),
        "hemorrhage": Counts(tp=0, fp=0, fn=0, tn=9),
        "any_lesion": Counts(tp=2, fp=2, fn=2, tn=3),
    }


def test_one_class_only_is_scored_alone():
    values = _values([ISCHEMIA], [ISCHEMIA_SHIFTED])
    assert values["ischemia_dice"] == values["lesion_dice"] == values["any_lesion_dice"] == 0.5
    assert values["ischemia_iou"] == values["lesion_iou"] == pytest.approx(2 / 6)
    assert values["ischemia_slice_dice"] == 0.5
    assert math.isnan(values["hemorrhage_dice"])
    assert values["ischemia_slice_iou"] == values["lesion_slice_iou"] == pytest.approx(2 / 6)
    assert math.isnan(values["hemorrhage_slice_dice"])
    assert math.isnan(values["hemorrhage_slice_iou"])


def test_both_classes_by_hand():
    values = _values([BOTH], [BOTH_PARTLY])
    # ischaemia TP 1 FN 1; haemorrhage TP 2 FP 1; any lesion TP 3 FP 1 FN 1
    assert values["ischemia_dice"] == pytest.approx(2 / 3)
    assert values["hemorrhage_dice"] == pytest.approx(4 / 5)
    assert values["lesion_dice"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["lesion_iou"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert values["any_lesion_dice"] == pytest.approx(6 / 8)
    assert values["any_lesion_iou"] == pytest.approx(3 / 5)


def test_the_right_place_of_the_wrong_type_counts_for_any_lesion_only():
    values = _values([BOTH], [BOTH_SWAPPED])
    assert values["lesion_dice"] == values["ischemia_dice"] == values["hemorrhage_dice"] == 0
    assert values["any_lesion_dice"] == 1


def test_all_background_is_undefined_not_perfect():
    assert all(math.isnan(value) for value in _values([EMPTY], [EMPTY]).values())


def test_an_empty_prediction_scores_zero():
    values = _values([ISCHEMIA], [EMPTY])
    assert values["ischemia_dice"] == values["lesion_dice"] == values["any_lesion_dice"] == 0


def test_a_false_alarm_on_an_empty_mask_scores_zero_but_is_no_class_of_the_truth():
    values = _values([EMPTY], [ISCHEMIA])
    assert values["ischemia_dice"] == values["any_lesion_dice"] == 0
    assert math.isnan(values["lesion_dice"])


def test_background_never_changes_a_score():
    wide = np.zeros((1, 30, 30), np.uint8)
    predicted = wide.copy()
    wide[0, :3, :3], predicted[0, :3, :3] = BOTH, BOTH_PARTLY
    assert _values(wide, predicted) == _values([BOTH], [BOTH_PARTLY])


def test_data_set_scores_pool_pixels_and_slice_scores_average_slices():
    truth, predicted = [ISCHEMIA, BOTH, EMPTY, EMPTY], [ISCHEMIA, EMPTY, EMPTY, ISCHEMIA]
    values = _values(truth, predicted)
    # ischaemia: TP 4, FN 2, FP 4 pooled; slices 1, 0, left out, 0 (a false alarm)
    assert values["ischemia_dice"] == pytest.approx(8 / 14)
    assert values["ischemia_slice_dice"] == pytest.approx(1 / 3)
    assert values["hemorrhage_slice_dice"] == 0
    assert values["lesion_slice_dice"] == pytest.approx((1 / 3 + 0) / 2)


def test_slice_scores_of_half_found_lesions_by_hand():
    values = _values([ISCHEMIA, BOTH, BOTH], [ISCHEMIA_SHIFTED, BOTH_PARTLY, EMPTY])
    # ischaemia: TP 2 FP 2 FN 2, TP 1 FN 1, FN 2; haemorrhage: none, TP 2 FP 1, FN 2
    assert values["ischemia_slice_dice"] == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)
    assert values["ischemia_slice_iou"] == pytest.approx((1 / 3 + 1 / 2 + 0) / 3)
    assert values["hemorrhage_slice_dice"] == pytest.approx((4 / 5 + 0) / 2)
    assert values["hemorrhage_slice_iou"] == pytest.approx((2 / 3 + 0) / 2)
    assert values["lesion_slice_iou"] == pytest.approx((5 / 18 + 1 / 3) / 2)
    alone = _values([ISCHEMIA, EMPTY], [ISCHEMIA_SHIFTED, BOTH])
    assert alone["lesion_slice_iou"] == alone["ischemia_slice_iou"] == pytest.approx(1 / 6)
    assert alone["hemorrhage_slice_iou"] == 0


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, (2, 4, 17, 13))
    values = _values(truth, predicted)
    flat = truth.ravel(), predicted.ravel()
    dice, iou = (score(*flat, labels=[1, 2], average=None) for score in (f1_score, jaccard_score))
    assert [values["ischemia_dice"], values["hemorrhage_dice"]] == pytest.approx(dice)
    assert [values["ischemia_iou"], values["hemorrhage_iou"]] == pytest.approx(iou)
    assert values["lesion_dice"] == pytest.approx(dice.mean())
    assert values["any_lesion_dice"] == pytest.approx(f1_score(flat[0] > 0, flat[1] > 0))


@pytest.mark.slow  # its import takes most of a minute
@pytest.mark.parametrize(("class_id", "name"), [(1, "ischemia"), (2, "hemorrhage")])
def test_dice_agrees_with_medicai(class_id, name):
    metrics = pytest.importorskip("medicai").metrics
    rng = np.random.default_rng(class_id)
    truth, predicted = rng.integers(0, 3, (2, 4, 9, 11))
    dice = metrics.CategoricalDiceMetric(
        from_logits=False, num_classes=3, target_class_ids=class_id, ignore_empty=False
    )
    dice.update_state(*(np.eye(3, dtype=np.float32)[masks] for masks in (truth, predicted)))
    found = _values(truth, predicted)[f"{name}_dice"]
    assert found == pytest.approx(float(dice.result()), abs=1e-6)


def test_batches_add_up_to_the_counts_of_all_slices():
    truth, predicted = np.random.default_rng(0).integers(0, 3, (2, 5, 4, 6, 1))
    parts = count_masks(truth[:2], predicted[:2]) + count_masks(truth[2:], predicted[2:])
    whole = count_masks(truth[..., 0], predicted[..., 0])
    assert len(parts) == 5
    np.testing.assert_array_equal(parts.per_slice, whole.per_slice)
    assert (whole.per_slice.sum(axis=2) == 24).all()


def test_frame_has_one_row_of_counts_for_each_slice():
    frame = count_masks([ISCHEMIA, BOTH], [ISCHEMIA_SHIFTED, BOTH]).to_frame(["a", "b"])
    assert frame.columns[:5].tolist() == [
        "id", "ischemia_tp", "ischemia_fp", "ischemia_fn", "ischemia_tn",
    ]  # fmt: skip
    assert frame.loc[0, "ischemia_tp":"ischemia_tn"].tolist() == [2, 2, 2, 3]
    assert frame.loc[1, ["id", "hemorrhage_tp", "any_lesion_tp"]].tolist() == ["b", 2, 4]


def test_intervals_come_from_whole_groups_and_hold_their_values():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, (12, 8, 8))
    predicted = np.where(rng.random(truth.shape) < rng.random((12, 1, 1)), truth, 0)
    counts = count_masks(truth.repeat(5, axis=0), predicted.repeat(5, axis=0))
    alone = segmentation_metrics(counts, resamples=200)
    grouped = segmentation_metrics(counts, np.arange(12).repeat(5), resamples=200)
    for name in SEGMENTATION_METRICS:
        value, low, high = grouped[name]
        assert low < value < high
        assert high - low > 1.5 * (alone[name].high - alone[name].low)


def test_no_slices_give_nan_throughout():
    found = segmentation_metrics(count_masks(np.zeros((0, 3, 3)), np.zeros((0, 3, 3))))
    assert tuple(found) == SEGMENTATION_METRICS
    assert all(math.isnan(metric.value) for metric in found.values())


@pytest.mark.parametrize(
    ("truth", "predicted", "message"),
    [
        ([EMPTY], [EMPTY, EMPTY], "same shape. Received: \\(1, 3, 3\\) and \\(2, 3, 3\\)"),
        (EMPTY, EMPTY, "`truth` must have shape \\(B, H, W\\).*Received: \\(3, 3\\)"),
        ([EMPTY], [[[0, 3, 0]] * 3], "`predicted` must hold the class ids .*Received: \\[0, 3\\]"),
        ([[[0.0, 0.4, 0]] * 3], [EMPTY], "`truth` must hold the class ids"),
    ],
)
def test_count_masks_rejects(truth, predicted, message):
    with pytest.raises(ValueError, match=message):
        count_masks(truth, predicted)


def test_wrong_numbers_of_ids_and_groups_are_rejected():
    counts = count_masks([EMPTY], [EMPTY])
    with pytest.raises(ValueError, match="`ids` must name 1 slices. Received: 2"):
        counts.to_frame(["a", "b"])
    with pytest.raises(ValueError, match="`groups` must have shape \\(1,\\). Received: \\(2,\\)"):
        segmentation_metrics(counts, ["a", "b"])
