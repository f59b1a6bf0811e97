import numpy as np
import pytest
from audit_slices import drawn_head

from stroke_tf.audits.relatives import (
    OF_PICTURES,
    folds_of_file,
    related_slices,
    rounds_of,
    with_relative,
)


def test_a_fold_is_tested_against_the_others_and_sessions_are_never_trained_on():
    folds = np.array(["0", "1", "1", "stage1", ""])
    found = [(test.tolist(), training.tolist()) for test, training in rounds_of(folds)]
    assert found == [
        ([1, 0, 0, 0, 0], [0, 1, 1, 0, 0]),
        ([0, 1, 1, 0, 0], [1, 0, 0, 0, 0]),
        ([0, 0, 0, 1, 0], [1, 1, 1, 0, 0]),
    ]


def test_where_a_fold_is_called_train_that_alone_is_trained_on():
    folds = np.array(["test", "Train", "val"])
    found = [(test.tolist(), training.tolist()) for test, training in rounds_of(folds)]
    assert found == [([1, 0, 0], [0, 1, 0]), ([0, 0, 1], [0, 1, 0])]


def test_a_relative_counts_in_training_alone():
    folds = np.array(["train", "test", "test", "val", "test"])
    labels = ["a", "a", "b", "b", None]
    assert with_relative(labels, folds).tolist() == [False, True, False, False, False]
    assert with_relative([None] * 5, folds).tolist() == [False] * 5


def test_ids_of_a_split_may_be_file_names():
    names = {"PNG/7.png": "1", "8": "2", "x/9": "0", "6.png": "3"}
    ids = ["8", "7", "9.1", "x/9", "a/6"]
    assert folds_of_file(names, ids).tolist() == ["2", "1", "", "0", "3"]


def test_a_file_name_with_its_folder_names_no_slice_of_another_folder():
    names = {"p1/01.png": "train", "data/p3/01.png": "val"}
    ids = ["p1/01", "p2/01", "p3/01", "01"]
    assert folds_of_file(names, ids).tolist() == ["train", "", "val", ""]


def test_a_file_name_is_of_the_slice_that_has_its_folder():
    assert folds_of_file({"p1/01.png": "train"}, ["01", "p1/01"]).tolist() == ["", "train"]


def test_a_file_name_that_two_slices_could_have_names_neither():
    found = folds_of_file({"01.png": "train", "02": "test"}, ["p1/01", "p2/01", "p2/02"])
    assert found.tolist() == ["", "", "test"]


def test_a_split_of_other_slices_is_refused():
    with pytest.raises(ValueError, match=r"must name slices .* Received: ids such as \['z'\]"):
        folds_of_file({"z": "0"}, ["1", "2"])


def test_empty_slices_are_no_copies_of_each_other_and_heads_are():
    head = drawn_head(np.random.default_rng(0), lesion=False)
    images = np.stack([head, np.zeros_like(head), head, np.zeros_like(head)])
    related = related_slices(["1", "2", "3", "4"], images, [None] * 4)
    for kind in OF_PICTURES:
        first, *others = related[kind]
        assert others == [None, first, None]
