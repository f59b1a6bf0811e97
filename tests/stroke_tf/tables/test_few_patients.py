import csv
from dataclasses import replace

import keras
import numpy as np
import pytest

from experiments.few_patients import RUN, FewPatients, main
from stroke_tf.manifest import read_folds
from stroke_tf.models.backbones import build_backbone
from stroke_tf.tables.few_patients import FewScores, score_few, write_few


@pytest.fixture(scope="module")
def base(phantom_records, tmp_path_factory):
    return replace(
        RUN,
        records=phantom_records[0],
        out=tmp_path_factory.mktemp("few"),
        backbone="mobilenet025",
        image_size=32,
    )


@pytest.fixture(scope="module")
def found(base):
    """The scores of one weight file under two names; untrained norms would let nothing through."""
    network = build_backbone(base.backbone, image_size=32, weights=None)
    norms = [
        layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    for norm in norms:
        norm.momentum = 0.0
    network(np.random.default_rng(0).normal(0, 1, (64, 32, 32, 3)), training=True)
    file = base.out / "start.weights.h5"
    network.save_weights(file)
    starts = {"one": str(file), "again": str(file)}
    return score_few(base, starts, patients=(6, 10), seeds=(0, 1))


def test_all_slices_of_the_test_folds_are_scored_in_each_draw(found, base):
    tested = [row for row in read_folds(base.records) if row.fold in set("56789")]
    assert sorted(found.groups) == sorted(row.group_id for row in tested)
    assert found.truth.sum() == sum(row.stroke_type != "NONE" for row in tested)
    assert list(found.scores) == [("one", 6), ("one", 10), ("again", 6), ("again", 10)]
    for scores in found.scores.values():
        assert scores.shape == (2, len(tested))
        assert not np.array_equal(scores[0], scores[1])


def test_equal_weights_learn_from_equal_patients(found):
    for count in (6, 10):
        np.testing.assert_allclose(
            found.scores["one", count], found.scores["again", count], atol=1e-5
        )


def test_there_must_be_so_many_patients(base):
    with pytest.raises(ValueError, match=r"`patients` must be <= \d+, as there are. Received: 90"):
        score_few(base, {"random": None}, patients=(90,), seeds=(0,))


def test_the_patients_drawn_must_show_both_classes(base):
    with pytest.raises(ValueError, match="must show both classes. Received: 1 patients of seed"):
        score_few(base, {"random": None}, patients=(1,), seeds=tuple(range(12)))


def test_the_table_has_means_over_draws_and_gains_over_the_first_weights(tmp_path):
    truth, groups = np.array([0, 1] * 6, bool), np.repeat([*"abcdef"], 2)
    right, wrong = truth * 0.8 + 0.1, 0.9 - truth * 0.8
    scores = {("x", 5): np.stack([right, wrong]), ("y", 5): np.stack([right, right])}
    text = write_few(FewScores(scores, truth, groups, "clean"), tmp_path, seeds=(3, 4))
    assert "| patients | x | y | y - x (p, Holm) |" in text
    assert "| 5 | 0.500 [0.500, 0.500] | 1.000 [1.000, 1.000] | +0.500 [+0.500, +0.500] (" in text
    assert "2 draws" in text and "12 slices of 6 others" in text and "protocol clean" in text
    assert (tmp_path / "TABLE.md").read_text() == text
    with (tmp_path / "aucs.csv").open(newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [
        *(("x", "5", "3", "1.0"), ("x", "5", "4", "0.0")),
        *(("y", "5", "3", "1.0"), ("y", "5", "4", "1.0")),
    ]
    assert (tmp_path / "few_patients.png").stat().st_size > 1000


def test_p_values_of_a_table_are_corrected_together(tmp_path):
    truth, groups = np.array([0, 1] * 6, bool), np.repeat([*"abcdef"], 2)
    right, wrong = truth * 0.8 + 0.1, 0.9 - truth * 0.8
    scores = {("x", count): np.stack([wrong, wrong]) for count in (5, 9)}
    scores |= {(name, count): np.stack([right, right]) for name in "yz" for count in (5, 9)}
    text = write_few(FewScores(scores, truth, groups, "clean"), tmp_path, seeds=(3, 4))
    # all of 1000 resamples are above 0: 2 / 1001 of each of four
    assert text.count(f"({4 * 2 / 1001:.3g})") == 4
    assert "corrected by Holm for the comparisons of this table (4)." in text


def test_the_experiment_runs_small(phantom_records, tmp_path, capsys):
    assert main(FewPatients(phantom_records[0], tmp_path, weights=("imagenet",), smoke=True)) == 0
    assert "| patients | imagenet |" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "few-patients-smoke").iterdir()}
    assert names == {"TABLE.md", "aucs.csv", "few_patients.png"}
