import re
from dataclasses import replace

import pytest
from fold_tables import fold_row, write_folds

from stroke_tf.runs.parts import check_parts, parts_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun

BOTH = ("NONE", "HEMORRHAGE")


def records_of(folder, folds, *, lacking=None, kinds=BOTH):
    """Records with a slice of each kind in each fold, but fold `lacking`, which has the first."""
    rows = [
        fold_row(f"{fold}-{kind}", fold, kind)
        for fold in folds
        for kind in (kinds[:1] if fold == lacking else kinds)
    ]
    return write_folds(folder, [*rows, fold_row("session", "stage1", "NONE")])


@pytest.mark.parametrize(
    ("folds", "parts", "test", "val"),
    [
        (range(10), 5, [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)], [2, 4, 6, 8, 0]),
        (range(10), 2, [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)], [5, 0]),
        (range(10), 10, [(fold,) for fold in range(10)], [*range(1, 10), 0]),
        (range(5), 5, [(fold,) for fold in range(5)], [1, 2, 3, 4, 0]),
        ((0, 8, 9), 3, [(0,), (8,), (9,)], [8, 9, 0]),  # train, val and test of others
    ],
)
def test_folds_are_dealt_to_parts_and_the_next_one_is_for_validation(
    tmp_path, folds, parts, test, val
):
    base = ClassifierRun(records=records_of(tmp_path, folds), row="mine")
    runs = parts_of(base, parts)
    assert [run.test_folds for run in runs] == test
    assert [run.val_folds for run in runs] == [(fold,) for fold in val]
    assert [run.row for run in runs] == [f"mine-part{part}" for part in range(parts)]
    assert check_parts(runs) == []


@pytest.mark.parametrize(
    ("folds", "parts", "possible"),
    [(10, 3, [2, 5, 10]), (10, 1, [2, 5, 10]), (10, 20, [2, 5, 10]), (7, 5, [7]), (2, 2, [])],
)
def test_a_number_of_parts_that_cannot_be_says_which_can(tmp_path, folds, parts, possible):
    base = ClassifierRun(records=records_of(tmp_path, range(folds)))
    told = f"slices in {folds} folds: they make {possible} parts. Received: {parts}. `stroke-tf"
    with pytest.raises(ValueError, match=re.escape(told)):
        parts_of(base, parts)


RUNS = [
    (ClassifierRun(), "both classes of task detect"),
    (UnetRun(tune_mask=True), "a lesion with its mask"),
]


@pytest.mark.parametrize(("base", "wanted"), RUNS)
def test_a_validation_fold_without_a_positive_is_refused_before_training(tmp_path, base, wanted):
    base = replace(base, records=records_of(tmp_path, range(10), lacking=2))
    told = f"validation folds of part 0 must hold {wanted}. Received: 0 positive of 1 slices, "
    with pytest.raises(ValueError, match=re.escape(f"{told}folds [2]. Fewer folds hold more")):
        check_parts(parts_of(base))


@pytest.mark.parametrize(("base", "wanted"), RUNS)
def test_test_folds_without_a_positive_are_a_warning(tmp_path, base, wanted):
    base = replace(base, records=records_of(tmp_path, range(10), lacking=3))
    assert check_parts(parts_of(base)) == []  # fold 2 has one
    runs = [replace(run, val_folds=(8,)) for run in parts_of(base, 10)[3:4]]
    warning = "part 0 tests on 0 positive of 1 slices, folds [3]"
    assert check_parts(runs) == [warning]


def test_a_network_whose_masks_are_not_tuned_needs_no_lesion_to_validate(tmp_path):
    base = UnetRun(records=records_of(tmp_path, range(10), lacking=2))
    assert check_parts(parts_of(base)) == []


def test_scores_of_masks_need_both_classes_to_be_chosen_on_and_tested(tmp_path):
    lesions = records_of(tmp_path, range(10), kinds=BOTH[::-1], lacking=2)
    base = UnetRun(records=lesions, score="mask")
    told = "validation folds of part 0 must hold a lesion with its mask and a slice without one"
    with pytest.raises(ValueError, match=f"{told}. Received: 1 positive of 1 slices"):
        check_parts(parts_of(base))
    runs = [replace(run, val_folds=(8,)) for run in parts_of(base, 10)[2:3]]
    assert check_parts(runs) == ["part 0 tests on 1 positive of 1 slices, folds [2]"]
    assert check_parts([replace(run, score="head") for run in runs]) == []
    assert check_parts(parts_of(replace(base, score="head"))) == []


def test_scores_chosen_on_other_parts_need_both_classes_there(tmp_path):
    lesions = records_of(tmp_path, range(10), kinds=BOTH[-1:])
    base = UnetRun(records=lesions, score="mask", choose_on="other-parts", val_folds=())
    told = "other folds of part 0 must hold a lesion with its mask and a slice without one"
    with pytest.raises(ValueError, match=f"{told}. Received: 8 positive of 8 slices"):
        check_parts(parts_of(base))
    assert len(check_parts(parts_of(replace(base, score="head", tune_mask=True)))) == 0


def test_types_are_counted_on_lesion_slices_alone(tmp_path):
    base = ClassifierRun(task="type", records=records_of(tmp_path, range(5), kinds=BOTH))
    with pytest.raises(ValueError, match="training folds of part 0 must hold both .* 3 positive"):
        check_parts(parts_of(base))
