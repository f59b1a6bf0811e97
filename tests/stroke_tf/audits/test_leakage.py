from collections import Counter

import numpy as np
import pytest
from audit_slices import PATIENTS, SLICES, drawn_head, drawn_slices, warnings_of

from stroke_tf.audits.leakage import audit
from stroke_tf.manifest import read_folds

LEAKY = 60  # patients: with fewer, eight comparisons cannot tell a leak from chance

pytestmark = pytest.mark.usefixtures("pixels_for_features")


@pytest.fixture(scope="module")
def clean(pixels_for_features, clean_records, subject_of):
    return audit(subject_of(clean_records))


def test_clean_folds_give_no_warning(clean):
    assert warnings_of(clean) == []
    assert clean.findings[0].text.startswith("No patient and no copy")
    assert f"{PATIENTS * SLICES} slices in {PATIENTS} groups" in clean.about
    table = clean.tables["Relatives in several folds"]
    assert table["in several folds"].tolist() == [0, 0, 0, 0, 0]


def test_clean_folds_are_scored_beside_folds_by_slice(clean):
    (table,) = (frame for title, frame in clean.tables.items() if title.startswith("ROC AUC"))
    assert list(table.columns) == [
        *("classifier", "folds as dealt", "folds by slice", "folds by slice add"),
        "p of what folds by slice add (Holm)",
    ]
    assert len(table) == 4


def leaky_slices():
    """Returns slices of patients whose own picture, not a lesion, tells their class."""
    random = np.random.default_rng(3)
    rows = []
    for patient in range(LEAKY):
        image, label = drawn_head(random, lesion=False), int(random.integers(2))
        for number in range(2):
            noise = random.normal(0, 8, image.shape)
            picture = (image + noise).clip(0, 255).astype(np.uint8)
            rows.append((f"{patient}-{number}", f"p{patient}", label, picture))
    return rows


def test_a_planted_leak_is_found_and_worth_what_a_patient_tells(convert_slices, subject_of):
    records = convert_slices(leaky_slices(), protocol="as-published")
    warnings = warnings_of(audit(subject_of(records, resamples=500)))
    dealt = {(row.group_id, row.fold) for row in read_folds(records)}
    parted = sum(count > 1 for count in Counter(patient for patient, _ in dealt).values())
    assert any(text.startswith(f"patients: {parted} lie in several folds") for text in warnings)
    (text,) = (text for text in warnings if text.startswith("folds as dealt add +0."))
    assert "nearest neighbour" in text


def test_mirrored_and_identical_copies_across_folds_of_others_are_found(
    convert_slices, subject_of, tmp_path
):
    rows = drawn_slices(seed=5)
    rows[2] = (*rows[2][:3], rows[0][3])
    rows[8] = (*rows[8][:3], np.ascontiguousarray(rows[4][3][:, ::-1]))
    records = convert_slices(rows)
    split = tmp_path / "split.csv"
    names = [row[0] for row in rows]
    lines = [
        f"{name}.png,{'test' if index in (2, 8) else 'train'}" for index, name in enumerate(names)
    ]
    split.write_text("\n".join(["id,fold", *lines]))
    found = audit(subject_of(records, split=split))
    table = found.tables["Relatives in several folds"].set_index("what")
    seen = table["tested with one in training"]
    assert seen["identical pictures"] == 1
    assert seen["flipped or turned copies"] >= 1
    assert "in the 2 folds of split.csv" in found.about


def test_a_class_of_one_patient_is_not_scored(convert_slices, subject_of):
    rows = [(name, at, int(at == "p0"), image) for name, at, _, image in drawn_slices()[:40]]
    found = audit(subject_of(convert_slices(rows)))
    assert not any(title.startswith("ROC AUC") for title in found.tables)
    told = "No classifier is scored for task detect: each class must be in 5 groups or more"
    assert any(
        finding.level == "note" and finding.text.startswith(told) for finding in found.findings
    )


def test_test_sessions_are_looked_at_and_not_scored(phantom_records, subject_of):
    found = audit(subject_of(phantom_records[0]))
    assert "in the 12 folds of the records" in found.about
    (table,) = (frame for title, frame in found.tables.items() if title.startswith("Test slices"))
    in_folds = [row for row in read_folds(phantom_records[0]) if row.fold.isdigit()]
    assert (table["with"] + table["without"]).tolist() == [len(in_folds)] * 2


def test_patients_that_a_table_does_not_name_stay_those_of_the_records(
    clean_records, subject_of, tmp_path
):
    by_fold = {row.fold: row.source_id for row in read_folds(clean_records)}
    first, second, *_ = by_fold.values()
    table = tmp_path / "patients.csv"
    table.write_text(f"id,patient\n{first},same\n{second},same\n")
    found = audit(subject_of(clean_records, table=table))
    counted = found.tables["Relatives in several folds"].set_index("what")
    assert counted.loc["patients", "in several folds"] == 1
    assert not any("is not known" in finding.text for finding in found.findings)
    (scored,) = (frame for title, frame in found.tables.items() if title.startswith("ROC AUC"))
    assert "folds by group" in scored  # the records call their folds clean; they part a patient
    told = f"patients.csv names 2 of {PATIENTS * SLICES} slices"
    assert any(text.startswith(told) for text in warnings_of(found))
