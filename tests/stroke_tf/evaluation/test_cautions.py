from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stroke_tf.evaluation.cautions import FEW_PATIENTS, FEW_SLICES, cautions
from stroke_tf.manifest import FoldRow, Manifest

MANIFEST = Manifest(
    protocol="clean",
    seed=0,
    size=64,
    layout="table",
    compression="zlib",
    pixels="gray8",
    grouping="patient",
    augmented="none",
    source_sha256="",
    records=0,
    classes={},
    folds=(),
    rejected=(),
)
MANY = 2 * FEW_SLICES


def rows_of(count, *, patients=FEW_PATIENTS, file="a.png", size=512):
    """Rows of so many slices, dealt to so many patients in turn."""
    return {
        str(i): FoldRow(str(i), f"p{i % patients}", "NONE", "9", 0, size, size, file, 0)
        for i in range(count)
    }


def scored(positives, negatives, scores=None):
    truth = np.array([1] * positives + [0] * negatives)
    scores = np.linspace(0, 1, len(truth)) if scores is None else np.full(len(truth), scores)
    return pd.DataFrame({"id": map(str, range(len(truth))), "truth": truth, "score": scores})


def told(predictions, rows=None, **changes):
    rows = rows_of(len(predictions)) if rows is None else rows
    manifest = replace(MANIFEST, **changes)
    return cautions(predictions, rows, manifest, classes=("no stroke", "stroke"))


def test_nothing_is_said_of_enough_slices_of_enough_known_patients():
    assert told(scored(MANY, MANY)) == []


@pytest.mark.parametrize(
    ("predictions", "said"),
    [
        (scored(2, MANY), f"Only 2 of {MANY + 2} test slices are of the class stroke"),
        (scored(1, MANY), f"Only 1 of {MANY + 1} test slices is of the class stroke"),
        (scored(MANY, FEW_SLICES - 1), f"Only {FEW_SLICES - 1} of .* of the class no stroke"),
        (scored(0, MANY), "No test slice is of the class stroke"),
        (scored(MANY, 0), "No test slice is of the class no stroke"),
        (scored(MANY, MANY, scores=0.49521), "Every score is 0.4952: the network tells no slice"),
    ],
)
def test_classes_that_lack_and_scores_that_are_equal_are_told(predictions, said):
    rows = rows_of(len(predictions), patients=1)  # the number of patients is another matter
    lines = told(predictions, rows, grouping="patient and near-duplicate")
    assert len(lines) == 1
    assert pd.Series(lines).str.contains(said).all()


def test_as_many_slices_as_are_enough_are():
    predictions = scored(FEW_SLICES, FEW_SLICES)
    assert told(predictions) == []


def test_few_patients_are_counted_where_they_are_known():
    predictions, few = scored(MANY, MANY), rows_of(2 * MANY, patients=FEW_PATIENTS - 1)
    both = told(predictions, few)
    assert [f"of {FEW_PATIENTS - 1} patients" in line for line in both] == [True, True]
    (unknown,) = told(predictions, few, grouping="near-duplicate")
    assert unknown.startswith("Patients are not known")
    assert told(predictions, few, grouping="near-duplicate", protocol="as-published") == []
    assert told(predictions, {}) == []


def test_a_class_that_goes_with_the_kind_of_file_is_told():
    predictions = scored(MANY, MANY)
    rows = rows_of(2 * MANY)
    of_one_kind = {name: replace(row, file="a.jpg") for name, row in [*rows.items()][:MANY]}
    (line,) = told(predictions, rows | of_one_kind)
    assert line.startswith("Suffix and size of the file tell the class of 100% of")
    other_size = {name: replace(row, width=400) for name, row in [*rows.items()][:MANY]}
    assert len(told(predictions, rows | other_size)) == 1
    half_of_each = {name: replace(rows[name], file="a.jpg") for name in [*rows][::2]}
    assert told(predictions, rows | half_of_each) == []


def counted(ischemia, hemorrhage, slices=MANY):
    """Counts of slices, given TP, FP and FN of all of them, for each class."""
    cells = {}
    for name, values in (("ischemia", ischemia), ("hemorrhage", hemorrhage)):
        for cell, value in zip(("tp", "fp", "fn"), values, strict=True):
            cells[f"{name}_{cell}"] = np.full(slices, value)
    return pd.DataFrame({"id": map(str, range(slices)), **cells})


def test_a_lesion_that_no_slice_shows_is_told_whatever_is_drawn():
    (line,) = told(counted((3, 0, 1), (0, 5, 0)))
    assert line.startswith("No test slice is of the class haemorrhage")
    assert told(counted((3, 0, 1), (0, 0, 5))) == []


def test_few_slices_with_a_lesion_are_told():
    predictions = counted((3, 0, 1), (3, 0, 1))
    predictions.loc[3:, ["hemorrhage_tp", "hemorrhage_fn"]] = 0
    first, *_ = told(predictions)
    assert first.startswith(f"Only 3 of {MANY} test slices are of the class haemorrhage")


def test_a_network_that_draws_nothing_is_told():
    (line,) = told(counted((0, 0, 4), (0, 0, 4)))
    assert line.startswith("No lesion is drawn on any test slice")
