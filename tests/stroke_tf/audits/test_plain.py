import numpy as np
import pytest

from stroke_tf.audits.plain import (
    deal,
    held_out,
    is_told,
    nearest_neighbour,
    parts_by_group,
    small_pixels,
)


def test_a_nearest_neighbour_scores_by_the_distances_to_either_class():
    features, truth = np.array([[0.0], [1.0], [4.0]]), np.array([False, False, True])
    scores = nearest_neighbour(features, truth, np.array([[3.0], [4.0], [0.0]]))
    assert scores.tolist() == [2 / 3, 1.0, 0.0]


def test_small_pixels_are_means_of_squares():
    image = np.kron(np.array([[0, 100], [200, 40]], np.uint8), np.ones((4, 4), np.uint8))
    assert small_pixels(image[None], side=2).tolist() == [[0, 100, 200, 40]]


def test_slices_dealt_by_group_stay_together_and_others_do_not():
    groups, truth = np.repeat(np.arange(10), 4), np.tile([0, 1], 20)
    by_group = deal(truth, groups, seed=0).reshape(10, 4)
    assert (by_group == by_group[:, :1]).all()
    by_slice = deal(truth, None, seed=0).reshape(10, 4)
    assert (by_slice != by_slice[:, :1]).any()
    assert set(by_slice.ravel()) == set("01234")


def test_few_slices_of_a_class_or_few_groups_give_few_folds():
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    assert set(deal(truth, None, seed=0)) == set("012")
    assert set(deal(truth, [1, 1, 2, 2, 1, 1, 2, 2], seed=0)) == set("01")


def test_a_slice_is_scored_by_a_model_of_the_folds_it_is_tested_against():
    seen = []

    def classifier(features, truth, new):
        seen.append(sorted(features[:, 0].tolist()))
        return np.ones(len(new))

    features, truth = np.arange(4.0)[:, None], np.array([1, 0, 1, 0], bool)
    folds = np.array(["train", "train", "test", ""])
    assert held_out(features, truth, folds, classifier).tolist() == [0.5, 0.5, 1.0, 0.5]
    assert seen == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("positives", "folds", "told"),
    [
        (5, list("0123401234"), True),
        (4, list("0123401234"), False),
        (5, ["train"] * 5 + ["test"] * 5, False),
        (5, list("0123456789"), False),
    ],
    ids=["five groups of each class", "four", "one class in training", "one class in each fold"],
)
def test_classes_of_few_groups_or_of_one_side_are_not_told(positives, folds, told):
    truth = np.arange(10) < positives
    assert is_told(truth, np.arange(10), np.array(folds)) == told


def test_dealt_parts_are_kept_only_where_they_part_no_group():
    truth, dealt = np.arange(20) % 2 > 0, np.arange(20) // 4
    kept = parts_by_group(dealt, truth, np.arange(20) // 2, seed=0)
    assert kept.tolist() == dealt.astype(str).tolist()
    groups = np.arange(20) % 7
    parts = parts_by_group(dealt, truth, groups, seed=0)
    assert all(len(set(parts[groups == group])) == 1 for group in range(7))
