import json

import numpy as np
import pytest

from stroke_tf.evaluation.mask_score import (
    MASK_SCORES,
    TOP_SHARE,
    MaskScore,
    area_score,
    fit_mask_score,
    lesion_score,
    mask_numbers,
    mask_score_of_json,
    top_score,
)
from stroke_tf.evaluation.metrics import roc_auc
from stroke_tf.files import to_json


def probs_of(lesion):
    """Returns softmax probabilities, half of a lesion's in each of its classes."""
    lesion = np.asarray(lesion, np.float32)
    return np.stack([1 - lesion, lesion / 2, lesion / 2], axis=-1)


def test_top_is_the_mean_of_the_highest_pixels():
    lesion = np.zeros((2, 3, 3), np.float32)
    lesion[0] = [[0.1, 0.9, 0.2], [0.5, 0.0, 0.7], [0.3, 0.0, 0.0]]
    assert top_score(lesion, share=3 / 9) == pytest.approx([(0.9 + 0.7 + 0.5) / 3, 0])
    assert top_score(lesion, share=1e-9) == pytest.approx([0.9, 0])  # one pixel at least


@pytest.mark.parametrize(("side", "count"), [(192, 40), (96, 10), (384, 160), (3, 1)])
def test_top_takes_40_pixels_of_192_x_192_and_as_large_a_share_of_others(side, count):
    lesion = np.zeros((1, side, side), np.float32)
    lesion.flat[:count] = 1
    lesion.flat[count : 2 * count] = 0.5
    assert top_score(lesion) == 1
    lesion.flat[0] = 0.5
    assert top_score(lesion) == pytest.approx(1 - 0.5 / count)


def test_area_is_the_share_of_called_pixels_squashed():
    lesion = np.zeros((3, 4, 4), np.float32)
    lesion[0, 0, :2] = 0.5
    lesion[1, 0, :2], lesion[1, 1, 0] = 0.9, 0.49
    lesion[2] = 1
    assert area_score(lesion, half=2 / 16) == pytest.approx([0.5, 0.5, 16 / 18])
    assert area_score(np.zeros((1, 4, 4)))[0] == 0
    whole = np.zeros((1, 192, 192))
    whole[0, :5, :8] = 1
    assert area_score(whole)[0] == pytest.approx(0.5)


def test_the_score_of_a_lesion_is_its_mean_times_its_size():
    lesion = np.zeros((3, 8, 8), np.float32)
    lesion[0, 0, 0], lesion[0, 1, 1] = 0.9, 0.3  # joined at a corner
    lesion[0, 5:7, 5:7] = 0.8
    lesion[0, 3, 3] = 0.05  # below what counts
    lesion[2, 4, 4] = 1
    pair, square, pixel = 0.6 * 2 / (2 + 2), 0.8 * 4 / (4 + 2), 1 / (1 + 2)
    assert square > pair
    assert lesion_score(lesion, half=2 / 64) == pytest.approx([square, 0, pixel])


def test_lesions_of_neighbouring_slices_of_a_batch_are_apart():
    lesion = np.full((2, 3, 3), 0.9, np.float32)
    both = lesion_score(lesion, half=9 / 9)
    assert both == pytest.approx([0.45, 0.45])
    assert lesion_score(lesion[:1], half=9 / 9) == pytest.approx(both[:1])


@pytest.mark.parametrize("rule", MASK_SCORES)
def test_numbers_rise_with_the_lesion_and_stay_within_0_and_1(rule):
    random = np.random.default_rng(0)
    noise = random.random((8, 8)).astype(np.float32) * 0.04
    slices = [noise, *(noise.copy() for _ in range(3))]
    for place, (size, prob) in enumerate([(1, 0.4), (2, 0.7), (4, 1.0)], 1):
        slices[place][2 : 2 + size, 2 : 2 + size] = prob
    numbers = mask_numbers(rule, probs_of(slices))
    assert numbers.shape == (4, len(MASK_SCORES[rule]))
    assert (0 <= numbers).all() and (numbers <= 1).all()
    assert (np.diff(numbers, axis=0) >= 0).all()
    assert (numbers[3] > numbers[0]).all()
    np.testing.assert_allclose(mask_numbers(rule, probs_of(slices[2:3])), numbers[2:3])


def test_probabilities_beyond_0_by_rounding_are_none():
    probs = np.zeros((1, 3, 3, 3), np.float32)
    probs[..., 0] = 1 + 1e-6
    for rule in MASK_SCORES:
        assert not mask_numbers(rule, probs).any()


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must have shape \(B, H, W, 3\). Received: \(4, 4, 3\)"):
        mask_numbers("top", np.zeros((4, 4, 3)))


def test_a_rule_of_one_number_needs_no_neighbours():
    numbers = np.array([[0.2], [0.7], [0.1]])
    score, scores = fit_mask_score("top", numbers, [0, 1, 0], ["a"] * 3, ids=["1", "2", "3"])
    assert score == MaskScore("top")
    assert not score.of_series
    assert scores.tolist() == [0.2, 0.7, 0.1]


def test_a_regression_weighs_logits_of_the_slices_beside_as_patients_have_them():
    score = MaskScore("regression", (0, 0, 0, 1, 0, 0, 2, 0, 0), intercept=0.5)
    assert score.of_series
    logits = {"p-9": 1.0, "p-10": -1.0, "q-1": 3.0, "p-11": 0.0}  # not in their order
    numbers = np.full((4, 3), 0.5)
    numbers[:, 0] = 1 / (1 + np.exp([-value for value in logits.values()]))
    found = score.scores(numbers, ["p", "p", "q", "p"], ids=list(logits))
    # its own and twice the one after; the last slice of a patient stands in for what it lacks
    sums = [1 - 2, -1 + 0, 3 + 6, 0 + 0]
    assert found == pytest.approx(1 / (1 + np.exp(-0.5 - np.array(sums))))
    alone = MaskScore("regression", (1, 0, 0), intercept=0.5)
    assert not alone.of_series
    own = alone.scores(numbers, ["p", "p", "q", "p"], ids=list(logits))
    assert own == pytest.approx(1 / (1 + np.exp(-0.5 - np.array([*logits.values()]))))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("best",), r"`rule` must be one of \['top', 'area', 'lesion', 'regression'\]"),
        (("top", (1.0,)), r"`coefficients` of top must be as many as one of \(0,\). Received: 1"),
        (("regression",), r"of regression must be as many as one of \(3, 9\). Received: 0"),
    ],
)
def test_rules_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        MaskScore(*arguments)


def patients(count, *, each=6, seed=0):
    """Returns numbers, truth, groups and ids of series whose middle slices have lesions."""
    random = np.random.default_rng(seed)
    truth = np.array([(place % each) in (2, 3) for place in range(count * each)])
    numbers = (0.25 + 0.5 * truth[:, None] + random.normal(0, 0.2, (len(truth), 3))).clip(0, 1)
    groups = [f"p{place // each}" for place in range(len(truth))]
    ids = [f"{group}-{place % each}" for place, group in enumerate(groups)]
    return numbers, truth, groups, ids


def test_a_fitted_regression_finds_lesions_and_comes_back_from_json():
    numbers, truth, groups, ids = patients(12)
    score, unseen = fit_mask_score("regression", numbers, truth, groups, ids=ids, of_series=True)
    assert len(score.coefficients) == 9
    again = mask_score_of_json(json.loads(to_json(score)))
    assert again == score
    fresh, known, of, names = patients(8, seed=1)
    found = again.scores(fresh, of, ids=names)
    assert roc_auc(known, found) > 0.95
    assert roc_auc(truth, unseen) > 0.95
    own, _ = fit_mask_score("regression", numbers, truth, groups, ids=ids)
    assert len(own.coefficients) == 3


def test_the_scores_of_a_patient_do_not_know_its_truth():
    numbers, truth, groups, ids = patients(4)
    _, before = fit_mask_score("regression", numbers, truth, groups, ids=ids)
    swapped = truth.copy()
    swapped[:6] = ~truth[:6]
    score, after = fit_mask_score("regression", numbers, swapped, groups, ids=ids)
    np.testing.assert_allclose(after[:6], before[:6])
    assert np.abs(after[6:] - before[6:]).max() > 1e-3
    assert np.abs(score.scores(numbers, groups, ids=ids) - after).max() > 1e-3


def test_one_patient_with_lesions_is_scored_by_the_regression_itself():
    numbers, truth, groups, ids = patients(3)
    truth[6:] = False
    score, scores = fit_mask_score("regression", numbers, truth, groups, ids=ids)
    np.testing.assert_allclose(scores, score.scores(numbers, groups, ids=ids))


def test_a_regression_needs_both_classes():
    numbers, truth, groups, ids = patients(2)
    with pytest.raises(ValueError, match="some with a lesion and some without. Received: 0 with"):
        fit_mask_score("regression", numbers, truth & False, groups, ids=ids)


def test_the_share_is_that_of_40_pixels():
    assert TOP_SHARE * 192 * 192 == 40
