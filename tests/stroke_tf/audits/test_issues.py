import numpy as np
import pytest
from scipy.special import expit, logit

from stroke_tf.audits.issues import rank_labels
from stroke_tf.audits.quick import out_of_fold

SLICES, PLANTED = 400, 20


@pytest.fixture(scope="module")
def planted():
    """Labels of which 5 % are wrong, and what classifiers fitted to them say out of fold."""
    rng = np.random.default_rng(0)
    truth = rng.random(SLICES) < 0.3
    features = rng.normal(size=(SLICES, 4)) + 2.5 * truth[:, None]
    groups = np.arange(SLICES) // 8
    wrong = np.zeros(SLICES, bool)
    wrong[rng.choice(SLICES, PLANTED, replace=False)] = True
    return truth ^ wrong, out_of_fold(features, truth ^ wrong, groups % 5), groups, wrong


def test_planted_labels_are_found_and_others_are_not(planted):
    labels, scores, groups, wrong = planted
    ranked = rank_labels(labels, scores, groups)
    doubted = ranked["place"][ranked["doubted"]]
    assert wrong[doubted].sum() >= 0.9 * PLANTED  # by chance 5 % of them
    assert wrong[doubted].mean() >= 0.8


def test_the_first_ones_are_the_planted_ones(planted):
    labels, scores, groups, wrong = planted
    first = rank_labels(labels, scores, groups)["place"][:PLANTED]
    assert wrong[first].mean() >= 0.9


@pytest.mark.parametrize("shift", [-4, 4])
def test_scores_that_are_shifted_as_a_whole_do_not_doubt_a_whole_class(planted, shift):
    labels, scores, groups, wrong = planted
    moved = expit(logit(scores.clip(1e-6, 1 - 1e-6)) + shift)
    ranked = rank_labels(labels, moved, groups)
    assert wrong[ranked["place"][ranked["doubted"]]].mean() >= 0.8


def test_every_slice_is_ranked_once_and_quality_is_a_probability(planted):
    labels, scores, groups, _ = planted
    ranked = rank_labels(labels, scores, groups)
    assert sorted(ranked["place"]) == list(range(SLICES))
    assert ranked["quality"].between(0, 1).all()


@pytest.mark.parametrize("patients", [2, 3])
def test_lesions_of_few_patients_are_ranked(patients):
    groups = np.repeat(np.arange(10), 4)
    labels = groups < patients
    scores = np.random.default_rng(0).random(len(groups))
    assert rank_labels(labels, scores, groups)["quality"].between(0, 1).all()


def test_a_class_of_one_patient_is_refused():
    groups = np.repeat(np.arange(5), 4)
    with pytest.raises(ValueError, match="two groups at least. Received: 1"):
        rank_labels(groups == 0, np.linspace(0, 1, len(groups)), groups)
