import numpy as np
import pandas as pd
import pytest

from stroke_tf.audits.corrected import corrected, note_of

NAN = float("nan")


def test_p_values_of_all_columns_are_corrected_together():
    table = pd.DataFrame({"view": ["a", "b"], "p (Holm)": [0.01, NAN], "q (Holm)": [0.04, 0.02]})
    found = corrected(table)
    # Three comparisons: 3 x 0.01, 2 x 0.02, 0.04.
    assert found["p (Holm)"].tolist() == pytest.approx([0.03, NAN], nan_ok=True)
    assert found["q (Holm)"].tolist() == pytest.approx([0.04, 0.04])
    assert found["view"].tolist() == ["a", "b"]
    assert table["p (Holm)"][0] == 0.01


def test_a_table_without_p_values_stays():
    table = pd.DataFrame({"p": [0.01, 0.02]})
    assert corrected(table).equals(table)
    assert note_of(["p"], [[0.01]], resamples=100) == ""
    assert corrected(pd.DataFrame()).empty


def test_the_note_says_how_many_comparisons_there_are():
    columns, rows = ["p (Holm)", "n", "q (Holm)"], [[0.5, 1, None], [0.1, 2, 0.2]]
    found = note_of(columns, rows, resamples=1000)
    assert found.endswith("corrected by Holm for the 3 comparisons of this table.")
    assert "1 comparison of" in note_of(columns, rows[:1], resamples=1000)
    assert note_of(columns, [[None, 1, None]], resamples=1000) == ""


def test_resamples_that_are_too_few_to_warn_are_told_with_the_number_that_does():
    columns, rows = ["p (Holm)"], [[1.0]] * 4
    least = 2 * 4 / np.array([160, 161])  # of 159 and of 160 resamples
    assert least[0] == 0.05 > least[1]
    assert "take 160 or more" in note_of(columns, rows, resamples=159)
    assert "take" not in note_of(columns, rows, resamples=160)
