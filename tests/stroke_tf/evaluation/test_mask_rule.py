import numpy as np
import pytest

from stroke_tf.evaluation.lesions import count_lesions
from stroke_tf.evaluation.mask_rule import (
    MIN_AREAS_PX,
    THRESHOLDS,
    MaskRule,
    apply_mask_rule,
    choose_mask_rule,
)
from stroke_tf.evaluation.segmentation import count_masks, segmentation_metrics


def softmax(random, *shape):
    logits = random.normal(size=(*shape, 3)).astype(np.float32) * 2
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def certain(mask, lesion_prob):
    """Probabilities that give each pixel's class `lesion_prob`, or background where it is 0."""
    mask, lesion_prob = np.broadcast_arrays(np.array(mask), np.array(lesion_prob, np.float32))
    probs = np.zeros((*mask.shape, 3), np.float32)
    probs[..., 0] = np.where(mask > 0, 1 - lesion_prob, 1)
    for kind in (1, 2):
        probs[..., kind] = np.where(mask == kind, lesion_prob, 0)
    return probs


def test_a_pixel_is_lesion_by_the_sum_and_of_the_likelier_type():
    probs = [[[[0.5, 0.3, 0.2], [0.5, 0.2, 0.3], [0.51, 0.0, 0.49], [0.5, 0.25, 0.25]]]]
    assert apply_mask_rule(probs, MaskRule(0.5)).tolist() == [[[1, 2, 0, 1]]]
    assert apply_mask_rule(probs, None).tolist() == [[[0, 0, 0, 0]]]
    assert apply_mask_rule(probs, MaskRule(0.4)).tolist() == [[[1, 2, 2, 1]]]


def test_small_components_of_each_class_become_background():
    drawn = [
        [1, 0, 0, 0, 2, 2],
        [0, 1, 0, 0, 2, 2],
        [0, 0, 1, 0, 0, 0],
        [2, 2, 0, 0, 1, 1],
    ]
    expected = [
        [1, 0, 0, 0, 2, 2],
        [0, 1, 0, 0, 2, 2],
        [0, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
    ]
    probs = certain([drawn, np.zeros_like(drawn)], 0.9)
    masks = apply_mask_rule(probs, MaskRule(0.5, min_area_px=3))
    assert masks.dtype == np.uint8
    assert masks[0].tolist() == expected
    assert not masks[1].any()
    assert apply_mask_rule(probs, MaskRule(0.5, min_area_px=2))[0].tolist() == drawn


def test_the_threshold_between_lesion_and_false_alarm_is_chosen():
    truth = np.zeros((1, 12, 12), np.uint8)
    truth[0, :6, :6] = 2
    drawn = truth.copy()
    drawn[0, 8:, 8:] = 2  # a false alarm, less sure of itself
    probs = certain(drawn, np.where(truth, 0.85, 0.65))
    assert choose_mask_rule([(truth, probs)]) == MaskRule(0.7)


def test_the_area_between_lesion_and_specks_is_chosen():
    truth = np.zeros((2, 20, 20, 1), np.uint8)
    truth[0, 2:8, 2:8] = 1
    drawn = truth[..., 0].copy()
    drawn[:, ::4, 12::4] = 1  # specks as sure as the lesion
    rule = choose_mask_rule(
        [(truth[:1], certain(drawn[:1], 0.9)), (truth[1:], certain(drawn[1:], 0.9))]
    )
    assert rule == MaskRule(0.5, min_area_px=4)


def test_false_alarms_on_slices_without_lesion_count():
    lesion, normal = np.zeros((2, 1, 10, 10), np.uint8)
    lesion[0, :4, :4] = 1
    drawn = normal.copy()
    drawn[0, :9] = 1
    batches = [(lesion, certain(lesion, 0.9)), (normal, certain(drawn, 0.55))]
    assert choose_mask_rule(batches[:1]).threshold == 0.5
    assert choose_mask_rule(batches).threshold == 0.6


@pytest.mark.parametrize("seed", range(3))
def test_the_chosen_rule_has_the_best_lesions_of_those_with_as_good_a_dice(seed):
    random = np.random.default_rng(seed)
    truth = np.zeros((3, 24, 24), np.uint8)
    truth[0, 3:12, 3:12], truth[1, 10:20, 5:9], truth[1, 2:4, 18:20] = 1, 2, 2
    probs = softmax(random, 3, 24, 24)
    probs[truth > 0] = probs[truth > 0] * 0.4 + 0.6 * np.eye(3)[truth[truth > 0]]

    def scores(rule):
        masks = apply_mask_rule(probs, rule)
        dice = segmentation_metrics(count_masks(truth, masks), resamples=0)["lesion_dice"].value
        lesions, found, false = count_lesions(truth, masks).per_slice[:, :2].sum(axis=0).T
        return dice, np.mean(2 * found / (lesions + found + false))

    every = {(t, a): scores(MaskRule(t, a)) for t in THRESHOLDS for a in MIN_AREAS_PX}
    chosen = choose_mask_rule((truth[i : i + 1], probs[i : i + 1]) for i in range(3))
    best = max(dice for dice, _ in every.values())
    dice, lesions = every[chosen.threshold, chosen.min_area_px]
    assert dice >= best - 0.01
    assert lesions == pytest.approx(max(f1 for dice, f1 in every.values() if dice >= best - 0.01))
    assert best > every[0.5, 0][0]


def test_a_small_lesion_is_kept_where_the_dice_hardly_says():
    truth = np.zeros((1, 64, 64), np.uint8)
    truth[0, :40, :40], truth[0, 50:52, 50:52] = 2, 2
    drawn = truth.copy()
    drawn[0, 60, 56:64] = 2  # a speck, larger and less sure
    probs = certain(drawn, np.where(truth, 0.85, 0.75))
    probs[0, 60, 56:64] = [0.25, 0, 0.75]
    assert choose_mask_rule([(truth, probs)]) == MaskRule(0.8)
    probs[0, 60, 56:64] = probs[0, 50, 50]  # as sure: found and false weigh as much as none
    assert choose_mask_rule([(truth, probs)]).min_area_px == 0


def test_validation_slices_without_lesion_are_refused():
    with pytest.raises(ValueError, match="must hold a lesion"):
        choose_mask_rule([(np.zeros((1, 4, 4)), certain(np.zeros((1, 4, 4)), 0))])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"threshold": 0.0}, r"`threshold` must be in \(0, 1\]. Received: 0.0"),
        ({"threshold": 1.1}, "Received: 1.1"),
        ({"threshold": 0.5, "min_area_px": -1}, "`min_area_px` must be >= 0. Received: -1"),
    ],
)
def test_a_rule_rejects(values, message):
    with pytest.raises(ValueError, match=message):
        MaskRule(**values)


def test_probabilities_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(B, H, W, 3\). Received: \(2, 4, 4, 1\)"):
        apply_mask_rule(np.zeros((2, 4, 4, 1)), None)
