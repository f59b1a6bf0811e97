import numpy as np
import pytest

from stroke_tf.audits import confounding
from stroke_tf.audits.confounding import (
    are_several,
    cramers_v,
    read_sources,
    source_findings,
    within_sources,
)
from stroke_tf.audits.quick import Auc
from stroke_tf.evaluation.intervals import Metric

DRAWN = {"seed": 0, "resamples": 50}


def test_cramers_v_is_one_for_one_thing_and_zero_for_two():
    groups = np.arange(40)
    classes = np.repeat(["a", "b"], 20)
    assert cramers_v(classes, classes, groups, **DRAWN) == (1, 1, 1)
    assert cramers_v(classes, np.tile(["x", "y"], 20), groups, **DRAWN).value == 0


def test_cramers_v_of_a_table_by_hand():
    # chi2 = 40 (30 * 30 - 10 * 10)^2 / 40^4 / ... = 20 of n 80, so V = sqrt(20 / 80)
    classes = np.repeat(["a", "b"], 40)
    sources = np.array(["x"] * 30 + ["y"] * 10 + ["x"] * 10 + ["y"] * 30)
    assert cramers_v(classes, sources, np.arange(80), **DRAWN).value == pytest.approx(0.5)


def test_sources_are_those_of_the_table(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,source\ns/1,a\ns/2,b\n")
    sources, found = read_sources(table, ["s-002", "s-001", "s-003"])
    assert sources.tolist() == ["b", "a", "unknown"]
    assert [finding.text for finding in found] == [
        "t.csv names 2 of 3 slices: of the others it says nothing."
    ]
    assert read_sources(None, ["1"]) == (None, [])


def test_one_known_source_is_not_several():
    assert are_several(np.array(["a", "b"]))
    assert not are_several(np.array(["a", "unknown"]))


def test_a_table_that_names_none_of_the_slices_is_refused(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("id,source\n1,a\n2,b\n")
    with pytest.raises(ValueError, match=r"t\.csv must name slices .* none of 2 slices"):
        read_sources(table, ["7", "8"])


def test_sources_that_show_but_do_not_go_with_the_class_are_no_warning():
    groups, parts = np.arange(80), np.arange(80) % 5
    sources, classes = np.repeat(["a", "b"], 40), np.tile(["NONE", "ISCHEMIA"], 40)
    views = {"view": (sources == "a").astype(float)[:, None]}
    table, found = source_findings(classes, sources, groups, parts, views, seed=0, resamples=200)
    assert [finding.level for finding in found] == ["fine", "note"]
    assert table["told by view"].tolist() == [(1, 1, 1), (1, 1, 1)]
    assert table["p of AUC 0.6, view (Holm)"].tolist() == [pytest.approx(2 * 2 / 201)] * 2
    assert table["groups"].tolist() == [40, 40]


def test_the_best_told_of_sources_is_a_note_only_beyond_chance():
    groups, parts = np.arange(80), np.arange(80) % 5
    sources, classes = np.repeat(["a", "b"], 40), np.tile(["NONE", "ISCHEMIA"], 40)
    views = {"view": np.random.default_rng(0).random((80, 1))}
    _, found = source_findings(classes, sources, groups, parts, views, seed=0, resamples=200)
    assert [finding.level for finding in found] == ["fine", "fine"]


def test_sources_of_few_slices_are_not_told():
    sources, classes = np.array(["a"] * 4 + ["b"] * 76), np.tile(["NONE", "ISCHEMIA"], 40)
    views = {"view": np.ones((80, 1))}
    groups, parts = np.arange(80), np.arange(80) % 5
    table, found = source_findings(classes, sources, groups, parts, views, **DRAWN)
    assert table["told by view"][0].text() == "n/a"
    assert len(found) == 1


def test_a_difference_inside_sources_that_chance_explains_is_a_note(monkeypatch):
    found = Auc(Metric(0.7, 0.6, 0.8), Metric(0.1, 0.01, 0.2), 0.01, 0.06)
    monkeypatch.setattr(confounding, "aucs", lambda *_, **__: {"all": found, "inside": found})
    truth, parts = np.arange(4) % 2 > 0, np.zeros(4, int)
    sources = np.array(list("aabb"))
    told = within_sources(truth, np.zeros(4), parts, sources, np.arange(4), **DRAWN)
    assert told.level == "note"
    assert told.text.endswith("n 4, p 0.06).")


def test_a_score_that_only_tells_the_source_tells_nothing_inside_it():
    groups, parts = np.arange(100), np.zeros(100, int)
    sources = np.repeat(["a", "b"], 50)
    truth = np.r_[np.arange(50) < 40, np.arange(50) < 10]
    scores = (sources == "a") * 0.8
    found = within_sources(truth, scores, parts, sources, groups, **DRAWN)
    assert found.level == "warning"
    assert "Inside a source the class is told with ROC AUC 0.500 [0.500, 0.500]" in found.text
