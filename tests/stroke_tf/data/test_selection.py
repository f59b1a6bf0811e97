import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from stroke_tf.data.selection import (
    Hardness,
    check_lesions,
    class_weights,
    count_samples,
    drawn_negatives,
    epoch_drawer,
    is_used,
    label_of,
)
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldRow

LESION = FoldRow("a", "a", "ISCHEMIA", "0", 0, 8, 8, "a.png", 0)


@pytest.mark.parametrize(
    ("task", "lesions_only", "expected"),
    [
        (Task.DETECT, False, 5),
        (Task.DETECT, True, 3),
        (Task.TYPE, False, 3),
        (Task.SEGMENT, False, 4),
        (Task.SEGMENT, True, 2),
    ],
)
def test_count_samples_counts_what_a_task_uses(gray_records, task, lesions_only, expected):
    assert count_samples(gray_records, (1,), task, lesions_only=lesions_only) == expected


def test_count_samples_adds_folds_up(gray_records):
    assert count_samples(gray_records, (0, 3, "stage1"), Task.DETECT) == 5 + 3 + 1


def test_a_lesion_of_unknown_place_is_no_background():
    assert not is_used(LESION, task=Task.SEGMENT)
    assert is_used(dataclasses.replace(LESION, has_mask=1), task=Task.SEGMENT)


def test_a_stroke_of_unspecified_type_is_a_stroke_without_type():
    row = dataclasses.replace(LESION, stroke_type="UNSPECIFIED")
    assert label_of(row, task=Task.DETECT) == 1
    assert not is_used(row, task=Task.TYPE)


def test_labels_of_types_are_those_of_the_paper():
    assert label_of(LESION, task=Task.TYPE) == 0
    assert label_of(dataclasses.replace(LESION, stroke_type="HEMORRHAGE"), task=Task.TYPE) == 1


@pytest.mark.parametrize(
    ("task", "labels"), [(Task.DETECT, [0, 1, 1, 1, 0] + [0] * 3), (Task.TYPE, [0, 1, 1])]
)
def test_class_weights_are_those_of_scikit_learn(gray_records, task, labels):
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=labels)
    assert class_weights(gray_records, (0, 3), task) == pytest.approx(dict(enumerate(expected)))


@pytest.mark.parametrize(
    ("positives", "negatives", "ratio", "expected"),
    [(10, 100, 1.5, 15), (3, 100, 0.5, 2), (10, 5, 1, 5), (0, 5, 2, 0), (10, 0, 1, 0)],
)
def test_negatives_are_so_many_for_each_positive_as_far_as_there_are(
    positives, negatives, ratio, expected
):
    assert drawn_negatives(positives, negatives, ratio=ratio) == expected


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.5, {0: 5 / 4, 1: 5 / 6}), (1, {0: 1, 1: 1}), (9, {0: 0.8, 1: 4 / 3})]
)
def test_class_weights_count_the_negatives_of_an_epoch(gray_records, ratio, expected):
    # 3 with label 1 and 5 with label 0, of which an epoch has 2, 3 or all
    weights = class_weights(gray_records, (0, 3), Task.DETECT, negatives_per_positive=ratio)
    assert weights == pytest.approx(expected)


def test_class_weights_refuses_folds_that_lack_a_class(gray_records):
    with pytest.raises(ValueError, match=r"folds \[3\] must hold both labels.*\[1\]"):
        class_weights(gray_records, (3,), Task.DETECT)


def test_class_weights_refuses_masks(gray_records):
    with pytest.raises(ValueError, match="Received: segment"):
        class_weights(gray_records, (0,), Task.SEGMENT)


def test_a_folds_csv_of_other_records_is_refused(gray_records: Path, tmp_path: Path):
    folder = Path(shutil.copytree(gray_records, tmp_path / "records"))
    lines = (folder / "folds.csv").read_text().splitlines(keepends=True)
    (folder / "folds.csv").write_text("".join(lines[:1] + lines[2:]))
    with pytest.raises(ValueError, match=r"5 records of fold 0.*Received: 4"):
        count_samples(folder, (0,), Task.DETECT)


def test_folds_without_a_lesion_and_its_mask_are_refused(gray_records):
    check_lesions(gray_records, (0, 3))
    with pytest.raises(ValueError, match=r"folds \[3\] must hold a lesion with its mask.* none in"):
        check_lesions(gray_records, (3,))


def drawer(hardness=None, **options):
    """Draws epochs of 2 slices with a lesion, at 0 and 1, and 4 of the 10 without."""
    places, ids = np.arange(12), [f"s{place}" for place in range(12)]
    labels = [1, 1] + [0] * 10
    settings = {"shuffle": True, "ratio": 2, "ids": ids, "hardness": hardness}
    return epoch_drawer(places, labels, **settings | options)


def negatives_of(draw, epochs=200):
    """How often each slice without a lesion is drawn; an epoch has none twice."""
    counts = np.zeros(12, int)
    for epoch in range(epochs):
        order = draw(np.random.default_rng(epoch))
        assert sorted(order)[:2] == [0, 1]
        assert len(set(order)) == len(order) == 6
        counts[order] += 1
    return counts[2:]


def test_a_share_of_the_negatives_is_drawn_by_how_much_lesion_was_drawn_on_them():
    hardness = Hardness(0.5)
    hardness.drawn = {f"s{place}": 0.0 for place in range(2, 12)} | {"s5": 0.3, "s9": 0.1}
    counts = negatives_of(drawer(hardness))
    # Two of four are the hard ones, which alone have lesion; two are any of the eight others.
    assert counts[[3, 7]].tolist() == [200, 200]
    assert counts[[0, 1, 2, 4, 5, 6, 8, 9]] == pytest.approx(np.full(8, 50), abs=25)
    one = negatives_of(drawer(Hardness(0.25, hardness.drawn)))
    assert 200 > one[3] > one[7] > one[0]


def test_negatives_are_drawn_alike_as_long_as_nothing_is_known_of_them():
    random, known = np.random.default_rng, Hardness(1.0)
    assert drawer(known)(random(3)).tolist() == drawer()(random(3)).tolist()
    known.drawn = {f"s{place}": 0.1 * place for place in range(2, 12)}
    assert drawer(known)(random(3)).tolist() == drawer(known)(random(3)).tolist()
    assert drawer(known)(random(3)).tolist() != drawer()(random(3)).tolist()


@pytest.mark.parametrize("ratio", [None, 5])
def test_hard_negatives_need_a_choice(ratio):
    with pytest.raises(ValueError, match=f"leave some slices out.* Received: {ratio}, .* all 10"):
        drawer(Hardness(0.5), ratio=ratio)


@pytest.mark.parametrize("share", [-0.1, 0, 1.1])
def test_a_share_of_hard_negatives_is_a_share(share):
    with pytest.raises(ValueError, match=f"`hard_negatives` must be in .* Received: {share}"):
        Hardness(share)


def test_lesions_come_as_often_as_their_weights_say():
    weights = np.array([3.0, 1.0] + [1.0] * 10)
    draw = drawer(weights=weights, ratio=None)
    counts = np.zeros(12, int)
    for epoch in range(200):
        order = draw(np.random.default_rng(epoch))
        assert len(order) == 12 and set(range(2, 12)) <= set(order)
        counts[:2] += [(order == 0).sum(), (order == 1).sum()]
    assert counts.sum() == 400
    assert counts[0] == pytest.approx(300, abs=30)  # 1.5 of 2: once, and again every other time
    assert counts[0] >= 200
