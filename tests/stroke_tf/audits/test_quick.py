import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from stroke_tf.audits.quick import AucInParts, aucs, out_of_fold, parts_of


def test_pairs_of_folds_are_parts():
    assert parts_of(list("0123456789")).tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_each_of_a_few_folds_is_a_part():
    assert parts_of(["0", "1", "0", "8"]).tolist() == [0, 1, 0, 8]


def test_a_slice_is_scored_by_what_has_not_seen_its_part():
    # In each part the feature means the opposite of what it means in the other.
    features = np.array([[-1.0], [1.0], [-2.0], [2.0]] * 2)
    truth = np.array([0, 1, 0, 1, 1, 0, 1, 0])
    scores = out_of_fold(features, truth, [0] * 4 + [1] * 4)
    assert ((scores > 0.5) != truth).all()


def test_a_part_whose_others_lack_a_class_is_scored_alike():
    scores = out_of_fold(np.arange(4.0)[:, None], [1, 0, 1, 1], [0, 0, 1, 1])
    assert scores[2:].tolist() != [0.5, 0.5]
    assert scores[:2].tolist() == [0.5, 0.5]


def test_the_auc_of_parts_is_the_mean_of_those_with_both_classes():
    rng = np.random.default_rng(0)
    truth, parts = rng.integers(2, size=60).astype(bool), np.repeat([0, 1, 2], 20)
    truth[parts == 2] = True
    scores = rng.integers(5, size=60) / 4  # with ties
    expected = np.mean(
        [roc_auc_score(truth[parts == part], scores[parts == part]) for part in (0, 1)]
    )
    auc = AucInParts(truth, scores, parts)
    assert auc(np.ones(60, np.int64)) == pytest.approx(expected)


def test_weights_count_as_copies_of_a_slice():
    rng = np.random.default_rng(1)
    truth, scores = rng.integers(2, size=30).astype(bool), rng.random(30)
    weights = rng.integers(3, size=30)
    drawn = np.repeat(np.arange(30), weights)
    auc = AucInParts(truth, scores, np.zeros(30))
    assert auc(weights) == pytest.approx(roc_auc_score(truth[drawn], scores[drawn]))


def test_slices_that_do_not_count_are_left_out():
    truth, counted = np.array([0, 1, 0, 1], bool), np.array([1, 1, 0, 1], bool)
    scores = np.array([0.1, 0.2, 0.9, 0.8])
    auc = AucInParts(truth, scores, np.zeros(4), counted)
    assert auc(np.ones(4, np.int64)) == 1


def test_the_auc_is_not_defined_without_both_classes():
    auc = AucInParts(np.ones(3, bool), np.zeros(3), np.zeros(3))
    assert np.isnan(auc(np.ones(3, np.int64)))


def test_differences_are_of_the_first_score_minus_the_others():
    truth, groups = np.tile([0, 1], 20), np.repeat(np.arange(20), 2)
    scores = {"good": truth.astype(float), "bad": 1.0 - truth}
    found = aucs(truth, scores, np.zeros(40), groups, seed=0, resamples=20)
    assert found["good"][:2] == ((1, 1, 1), (0, 0, 0))
    assert found["bad"][:2] == ((0, 0, 0), (1, 1, 1))
    assert (found["bad"].p_auc, found["bad"].p_minus) == (2 / 21, 2 / 21)
    assert found["good"].p_minus == 1


def test_the_p_value_of_an_auc_is_of_its_being_what_is_asked():
    truth, groups = np.tile([0, 1], 20), np.repeat(np.arange(20), 2)
    scores = {"half": np.where(groups < 10, truth, 1 - truth) / 1.0}
    options = {"parts": groups, "groups": groups, "seed": 0, "resamples": 100}
    assert aucs(truth, scores, **options)["half"].p_auc > 0.5  # it is 0.5
    assert aucs(truth, scores, nothing=0.9, **options)["half"].p_auc == 2 / 101
