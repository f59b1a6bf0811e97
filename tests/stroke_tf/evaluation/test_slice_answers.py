import numpy as np
import pytest

from stroke_tf.evaluation.slice_answers import slice_frame, slice_metrics, type_answers

NONE, ISCHEMIA, HEMORRHAGE = 0, 1, 2
PROBS = np.array(
    [
        [0.8, 0.1, 0.1],
        [0.2, 0.6, 0.2],  # rightly ischaemia
        [0.2, 0.2, 0.6],  # rightly haemorrhage
        [0.6, 0.1, 0.3],  # called none, but rather haemorrhage than ischaemia
        [1.0, 0.0, 0.0],  # sure of none
    ],
    np.float32,
)
TYPES = [NONE, ISCHEMIA, HEMORRHAGE, HEMORRHAGE, ISCHEMIA]


def test_types_are_answered_on_lesion_slices_by_the_likelier_lesion():
    answers = type_answers(slice_frame(TYPES, PROBS))
    assert answers.index.tolist() == [1, 2, 3, 4]
    assert answers["truth"].tolist() == [0, 1, 1, 0]
    np.testing.assert_allclose(answers["score"], [0.25, 0.75, 0.75, 0.5], rtol=1e-6)
    assert answers["called"].tolist() == [False, True, True, True]


def test_slices_types_and_strokes_are_scored_apart():
    metrics = slice_metrics(slice_frame(TYPES, PROBS), ["a", "a", "b", "b", "c"])
    assert metrics["slice_accuracy"].value == pytest.approx(3 / 5)
    assert metrics["type_accuracy"].value == pytest.approx(3 / 4)
    assert metrics["type_roc_auc"].value == 1.0
    # of the strokes 0.8, 0.8, 0.4 and 0 against 0.2 for none
    assert metrics["stroke_roc_auc"].value == pytest.approx(3 / 4)
    assert metrics["stroke_sensitivity"].value == pytest.approx(2 / 4)
    assert metrics["stroke_specificity"].value == 1.0
    assert metrics["slice_accuracy"].low < 3 / 5 < metrics["slice_accuracy"].high


def test_without_lesion_slices_there_are_no_types_to_score():
    metrics = slice_metrics(slice_frame([NONE, NONE], PROBS[:2]), ["a", "b"])
    assert np.isnan(metrics["type_accuracy"].value)
    assert metrics["slice_accuracy"].value == 0.5
