from collections import Counter

import numpy as np
import pytest

from data_tools.folds import assign_folds, group_slices


def groups_of(source_ids, patients, hashes):
    return group_slices(source_ids, patients=patients, hashes=hashes)


def test_slices_of_one_patient_are_one_group_named_by_its_smallest_id():
    groups = groups_of(["b", "a", "c"], ["Jane Doe", "Jane Doe", "John Roe"], [None] * 3)
    assert groups == ["a", "a", "c"]


def test_near_duplicates_are_one_group_where_patients_are_unknown():
    zero, near, far = bytes(32), bytes(31) + b"\x03", b"\xff" * 32
    assert groups_of(["1", "2", "3"], [None] * 3, [zero, far, near]) == ["1", "2", "1"]


def test_a_near_duplicate_joins_the_patients_of_both_slices():
    zero, far = bytes(32), b"\xff" * 32
    groups = groups_of(["1", "2", "3"], ["p", "q", "p"], [zero, zero, far])
    assert groups == ["1", "1", "1"]


def test_slices_without_patient_or_hash_stay_alone():
    assert groups_of(["1", "2"], [None, None], [None, None]) == ["1", "2"]


def test_copies_by_name_and_turned_copies_are_of_one_group():
    first, other = b"\x0f" * 32, b"\xff" * 32
    turned = [first * 8, other * 7 + first, other * 8]
    ids, nobody = ["1", "2", "2_flip"], [None] * 3
    assert group_slices(ids, patients=nobody, hashes=nobody) == ["1", "2", "2"]
    assert group_slices(["1", "2", "3"], patients=nobody, hashes=nobody, turned=turned) == ["1"] * 3


def test_clean_folds_keep_groups_together_and_classes_balanced():
    random = np.random.default_rng(0)
    groups = [f"p{index}" for index in random.integers(0, 80, 600)]
    classes = [int(group[1:]) % 3 for group in groups]
    folds = assign_folds(classes, groups, protocol="clean", seed=0)
    assert set(folds) == set(range(10))
    folds_of = {group: set() for group in groups}
    for fold, group in zip(folds, groups, strict=True):
        folds_of[group].add(fold)
    assert all(len(found) == 1 for found in folds_of.values())
    shares = [np.mean(np.array(classes)[folds == fold] == 0) for fold in range(10)]
    assert max(shares) - min(shares) < 0.25


def test_as_published_folds_split_groups():
    groups = ["one patient"] * 50
    folds = assign_folds([0, 1] * 25, groups, protocol="as-published", seed=0)
    assert Counter(folds.tolist()) == {fold: 5 for fold in range(10)}


def test_a_seed_gives_the_same_folds_and_another_seed_others():
    classes, groups = [0, 1] * 60, [str(index // 2) for index in range(120)]
    first, again, other = (
        assign_folds(classes, groups, protocol="clean", seed=seed) for seed in (1, 1, 2)
    )
    assert (first == again).all()
    assert (first != other).any()


@pytest.mark.parametrize(
    ("protocol", "message"),
    [("clean", "10 groups. Received: 3"), ("as-published", "10 records. Received: 9")],
)
def test_too_few_for_ten_folds_is_refused(protocol, message):
    with pytest.raises(ValueError, match=message):
        assign_folds([0] * 9, [str(index % 3) for index in range(9)], protocol=protocol, seed=0)


def test_fewer_folds_are_dealt_of_fewer_groups():
    groups = [str(index % 3) for index in range(9)]
    folds = assign_folds([0] * 9, groups, protocol="clean", seed=0, count=3)
    assert sorted(set(folds)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("classes", "patients", "why"),
    [
        ([0] * 12, ["p"] * 12, "3: all 12 slices have the same patient"),
        ([0] * 12, [None] * 12, "3, of 12 slices and 0 patients, the largest with 4 slices"),
    ],
)
def test_the_message_says_why_groups_are_few(classes, patients, why):
    groups = [str(index % 3) for index in range(12)]
    with pytest.raises(ValueError, match=f"{why}.*--folds N deals fewer"):
        assign_folds(classes, groups, protocol="clean", seed=0, patients=patients)


def test_classes_that_are_all_small_are_refused():
    with pytest.raises(ValueError, match="10 records of one class. Received: 5. --folds N"):
        assign_folds([0, 1] * 5, list("abcdefghij"), protocol="clean", seed=0)


def test_a_rare_class_is_allowed():
    folds = assign_folds([0] * 40 + [1] * 2, [str(i) for i in range(42)], protocol="clean", seed=0)
    assert len(folds) == 42
