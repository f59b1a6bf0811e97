import numpy as np
import pandas as pd
import pytest

from stroke_tf.audits.breakdown import breakdown, kinds_of, p_of, ratio, share, worse_kinds
from stroke_tf.evaluation.intervals import Metric, wilson

DRAWN = {"seed": 0, "resamples": 200}


def frame(**columns):
    values = {"truth": [1, 1, 1, 0], "called": [1, 0, 1, 1], "group": ["a", "a", "b", "c"]}
    return pd.DataFrame(values | columns).astype({"truth": bool, "called": bool})


def test_scores_of_a_kind_are_counted_on_its_slices_alone():
    kinds = [("first two", np.array([1, 1, 0, 0], bool)), ("last", np.array([0, 0, 0, 1], bool))]
    first, last = breakdown(frame(), kinds, **DRAWN).to_dict("records")
    assert (first["slices"], first["lesions"], first["patients"]) == (2, 2, 1)
    assert first["sensitivity"].value == 0.5
    assert first["specificity"].value != first["specificity"].value
    assert last["specificity"].value == 0
    assert (last["lesions"], last["patients"]) == (0, 0)


def test_masks_are_scored_by_all_pixels_and_lesions_of_a_kind():
    masks = {"tp": [10, 0, 5, 0], "fp": [0, 0, 5, 7], "fn": [0, 10, 5, 0]}
    masks |= {"lesions": [1, 2, 1, 0], "found": [1, 0, 1, 0], "drawn": [True, False, True, True]}
    (row,) = breakdown(frame(**masks), [("all", np.ones(4, bool))], **DRAWN).to_dict("records")
    assert row["dice"].value == 30 / (30 + 5 + 15)  # the false alarm's 7 pixels are no lesion's
    assert row["lesion-wise recall"].value == 0.5
    assert row["drawn"].value == pytest.approx(2 / 3)


def test_a_column_without_a_number_is_left_out():
    table = breakdown(frame(), [("lesions", np.array([1, 1, 1, 0], bool))], **DRAWN)
    assert "specificity" not in table
    assert "dice" not in table


def test_the_interval_of_a_share_is_never_empty():
    found = share([True] * 10, list("aaaaabbbbb"), **DRAWN)
    assert found == wilson(10, 10)


def test_the_interval_of_slices_of_few_patients_is_wider_than_that_of_slices():
    hits = [True] * 40 + [False] * 40
    found, alone = share(hits, np.repeat(list("abcd"), 20), **DRAWN), wilson(40, 80)
    assert (found.low, found.high) == (0, 1)
    assert alone.low > 0.3


def test_a_ratio_of_nothing_is_not_defined():
    assert np.isnan(ratio([], [], [], **DRAWN).value)
    assert np.isnan(ratio([0.0], [0.0], ["a"], **DRAWN).value)


def test_values_are_kinds_and_a_missing_one_is_of_none():
    kinds = dict(kinds_of(pd.Series(["b", "a", None, "b"])))
    assert list(kinds) == ["a", "b"]
    assert kinds["b"].tolist() == [True, False, False, True]


def test_kinds_keep_the_order_of_a_category():
    column = pd.Series(pd.Categorical(["small", "large"], categories=["small", "large", "none"]))
    assert [name for name, _ in kinds_of(column)] == ["small", "large", "none"]


def test_a_kind_is_worse_when_it_lies_below_the_whole_by_its_p_value():
    low, high = Metric(0.2, 0.1, 0.4), Metric(0.6, 0.5, 0.7)
    table = pd.DataFrame({"kind": ["epidural", "by chance", "better"], "lesions": [12, 12, 9]})
    table = table.assign(slices=30, sensitivity=[low, low, high], specificity=[high, low, low])
    table[p_of("sensitivity")] = table[p_of("specificity")] = [0.049, 0.051, 0.001]
    whole = pd.Series({"sensitivity": Metric(0.5, 0.4, 0.6), "specificity": Metric(0.35, 0.3, 0.4)})
    labels = ("no lesion", "lesion")
    (found,) = worse_kinds(table, whole, score="sensitivity", labels=labels)
    assert found.level == "warning"
    assert found.text == (
        "epidural: sensitivity 0.200 [0.100, 0.400] on 12 slices labelled lesion, 0.500 on all "
        "(p 0.049)."
    )
    labels = ("ischaemia", "haemorrhage")
    (found,) = worse_kinds(table, whole, score="specificity", labels=labels)
    assert found.text.startswith("better: specificity 0.200 [0.100, 0.400] on 21 slices labelled i")
    assert worse_kinds(table[["kind", "slices", "lesions"]], whole, score="x", labels=labels) == []


def two_kinds(missed, *, patients=20):
    """Returns lesion slices of patients of two; the first of each, of one kind, is missed."""
    columns = {"truth": True, "called": [number >= missed for number in range(2 * patients)]}
    first = np.arange(2 * patients) < patients
    named = pd.DataFrame(columns).assign(group=np.arange(2 * patients) % patients)
    return breakdown(named, [("first", first), ("second", ~first)], seed=0, resamples=400)


def test_p_values_of_a_table_are_corrected_for_all_its_comparisons():
    table = two_kinds(missed=15)
    assert table[p_of("sensitivity")].tolist() == pytest.approx([2 * 2 / 401] * 2)
    assert p_of("specificity") not in table


def test_a_kind_that_is_like_the_whole_has_a_large_p_value():
    assert two_kinds(missed=0)[p_of("sensitivity")].min() > 0.5


def test_few_slices_are_not_compared():
    assert p_of("sensitivity") not in two_kinds(missed=5, patients=9)


@pytest.mark.parametrize(("patients", "is_compared"), [(1, False), (4, False), (5, True)])
def test_slices_of_few_patients_are_not_compared(patients, is_compared):
    of = np.arange(60) < 20
    groups = np.where(of, np.arange(60) % patients, np.arange(60))
    scored = pd.DataFrame({"truth": True, "called": ~of, "group": groups})
    table = breakdown(scored, [("one", of)], **DRAWN)
    assert (p_of("sensitivity") in table) == is_compared


def test_missed_slices_of_few_patients_are_judged_by_the_exact_test_too():
    # A bootstrap finds no width in 10 of 10; binomially 10 misses of a half are 2 in 1024.
    scored = pd.DataFrame({"truth": True, "called": np.arange(20) >= 10, "group": np.arange(20)})
    table = breakdown(scored, [("first", np.arange(20) < 10)], seed=0, resamples=4000)
    assert table[p_of("sensitivity")].tolist() == [pytest.approx(2 / 1024)]


def test_a_kind_without_slices_is_left_out():
    kinds = [("all", np.ones(4, bool)), ("none", np.zeros(4, bool))]
    assert breakdown(frame(), kinds, **DRAWN)["kind"].tolist() == ["all"]
    assert breakdown(frame(), kinds[1:], **DRAWN).empty
