import numpy as np
import pandas as pd

from stroke_tf.audits.patients import detect_patients
from stroke_tf.evaluation.intervals import wilson

BY = "a patient is positive by"


def detected(**columns):
    frame = pd.DataFrame(
        {
            # Patient a: two of three slices called; b: one false alarm; c: nothing; d: missed.
            "group": list("aaabbbcccddd"),
            "truth": [True, True, False, *[False] * 6, True, False, False],
            "called": [True, True, False, False, True, *[False] * 7],
            **columns,
        }
    )
    return detect_patients(frame, seed=0, resamples=50).set_index(BY)


def test_patients_are_called_by_the_number_of_their_called_slices():
    table = detected()
    assert table.loc["at least 1 slice called", "sensitivity"] == wilson(1, 2)
    assert table.loc["at least 1 slice called", "specificity"] == wilson(1, 2)
    assert table.loc["at least 2 slices called", "specificity"] == wilson(2, 2)
    assert table.loc["at least 3 slices called", "sensitivity"] == wilson(0, 2)


def test_n_is_of_patients():
    table = detected()
    assert set(table["patients"]) == {4}
    assert set(table["with a lesion"]) == {2}


def test_scores_of_slices_rank_patients():
    scores = [0.9, 0.1, 0.1, 0.5, 0.4, 0.4, 0.2, 0.2, 0.2, 0.45, 0.1, 0.1]
    table = detected(score=scores)
    # Highest: a .9, b .5, d .45, c .2; mean of three: b .433, a .367, d .217, c .2.
    assert table.loc["highest score", "ROC AUC"].value == 0.75
    assert table.loc["mean of the 3 highest scores", "ROC AUC"].value == 0.5


def test_drawn_pixels_rank_patients():
    drawn = np.zeros(12)
    drawn[[0, 9]] = 7, 3
    table = detected(tp=drawn, fp=np.zeros(12), drawn=drawn > 0)
    assert table.loc["pixels drawn", "ROC AUC"].value == 1
