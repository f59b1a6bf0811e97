import cv2
import numpy as np
import pytest
from audit_slices import PATIENTS, drawn_slices, warnings_of

from stroke_tf.audits.shortcuts import audit

RESAMPLES = 600  # fewer cannot tell 14 comparisons from chance

pytestmark = pytest.mark.usefixtures("pixels_for_features")


@pytest.fixture(scope="module")
def clean(pixels_for_features, clean_records, subject_of):
    return audit(subject_of(clean_records))


def table_of(audited):
    (table,) = (frame for title, frame in audited.tables.items() if title.startswith("ROC AUC"))
    return table.set_index("view")["ROC AUC"]


def test_heads_that_only_a_lesion_tells_apart_give_no_warning(clean):
    assert warnings_of(clean) == []
    aucs = table_of(clean)
    assert aucs["full picture"].value > 0.8
    assert aucs["head alone"].value > 0.8
    assert aucs["size and format alone"] == (0.5, 0.5, 0.5)
    assert set(clean.figures) == {"views"}


def test_a_mark_beside_the_head_is_found(convert_slices, subject_of):
    rows = drawn_slices(seed=1)
    for _, _, label, image in rows:
        if label:
            cv2.rectangle(image, (2, 2), (6, 6), 140, -1)
    warnings = warnings_of(audit(subject_of(convert_slices(rows), resamples=RESAMPLES)))
    (text,) = (warning for warning in warnings if warning.startswith("outside of the head alone"))
    assert "the class can be told without the brain" in text
    assert f"n {len(rows)}, {PATIENTS} groups" in text


def test_a_window_of_its_own_for_each_class_is_found(convert_slices, subject_of):
    random = np.random.default_rng(2)
    rows = []
    for name, patient, _, _ in drawn_slices(seed=2):
        label = int(random.integers(2))
        image = drawn_slices(seed=int(random.integers(1000)))[0][3]
        darker = (image * 0.8).astype(np.uint8) if label else image
        rows.append((name, patient, label, darker))
    warnings = warnings_of(audit(subject_of(convert_slices(rows), resamples=RESAMPLES)))
    assert any(warning.startswith("windows equalised") for warning in warnings)


def test_a_size_of_its_own_for_each_class_is_found(convert_slices, subject_of):
    rows = [
        (name, patient, label, cv2.resize(image, (80, 80)) if label else image)
        for name, patient, label, image in drawn_slices(seed=4)
    ]
    warnings = warnings_of(audit(subject_of(convert_slices(rows), resamples=RESAMPLES)))
    assert any("told without the picture" in warning for warning in warnings)


def test_a_source_that_is_one_with_the_class_is_said_with_a_number(
    convert_slices, subject_of, tmp_path
):
    rows = drawn_slices(seed=6)
    table = tmp_path / "sources.csv"
    lines = [f"{name},{('here', 'there')[label]}" for name, _, label, _ in rows[:-8]]
    table.write_text("\n".join(["id,source", *lines]))
    found = audit(subject_of(convert_slices(rows), table=table))
    warnings = warnings_of(found)
    assert any("Cramér's V 1.000 [1.000, 1.000]" in warning for warning in warnings)
    assert any("Inside a source there is one class" in warning for warning in warnings)
    assert any(
        f"n {len(rows) - 8}, 2 sources" in warning for warning in warnings
    )  # 8 are of none known
    assert found.tables["Sources"]["source"].tolist() == ["here", "there"]


def test_records_of_three_classes_are_asked_two_questions(phantom_records, subject_of):
    found = audit(subject_of(phantom_records[1]))
    assert list(found.tables) == [
        "ROC AUC of each view: lesion or none",
        "ROC AUC of each view: ischaemia or haemorrhage",
    ]


def test_the_folder_of_the_weights_is_not_told(clean_records, subject_of, tmp_path):
    found = audit(subject_of(clean_records, weights=str(tmp_path / "network.weights.h5")))
    assert "weights network.weights.h5" in found.about
    assert str(tmp_path) not in found.about
