import numpy as np

from stroke_tf.audits.plain import deal, held_out, nearest_neighbour, small_pixels


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
