import dataclasses
import shutil

import numpy as np
import pandas as pd
import pytest
from audit_slices import drawn_slices

from stroke_tf.audits import labels
from stroke_tf.audits.audit import Subject
from stroke_tf.audits.labels import audit
from stroke_tf.manifest import read_folds


@pytest.fixture(scope="module")
def audited(planted):
    return audit(Subject(planted.records, None, "mobilenetv2", None, 64, resamples=20))


def table(audited, start):
    return next(frame for title, frame in audited.tables.items() if title.startswith(start))


def test_planted_labels_are_doubted(audited, planted):
    doubted = set(table(audited, "Labels doubted")["id"])
    found = doubted & planted.labels
    assert len(found) >= 0.75 * len(planted.labels)
    assert len(found) >= 0.6 * len(doubted)  # by chance 0.05
    assert audited.findings[0].level == "warning"
    assert f"{len(doubted)} of {len(planted.slices)} labels are doubted" in audited.findings[0].text


def test_the_planted_mask_is_named(audited, planted):
    odd = table(audited, "Masks that do not fit").set_index("id")
    assert odd.loc[planted.mask, "rule"] == "apart"
    (named,) = [finding for finding in audited.findings if "overlaps none" in finding.text]
    assert named.level == "warning"
    assert planted.mask in named.text


def test_other_masks_are_named_beside_a_planted_mistake_alone(audited, planted):
    for name in set(table(audited, "Masks that do not fit")["id"]) - {planted.mask}:
        drawn = planted.slices[name]
        around = {dataclasses.replace(drawn, number=drawn.number + step).id for step in (-1, 0, 1)}
        assert around & (planted.labels | {planted.mask})


def test_doubts_and_odd_masks_are_drawn(audited):
    assert list(audited.figures) == ["doubted-no-lesion-or-lesion", "odd-masks"]


def test_a_cross_validation_is_asked_instead_of_the_quick_classifier(planted, tmp_path):
    right = {slice_.id: slice_.disc is not None for slice_ in planted.slices.values()}
    said = pd.DataFrame({"id": list(right), "group": "", "part": 0})
    said["truth"] = [(slice_id in planted.labels) != right[slice_id] for slice_id in right]
    said = said.assign(score=[0.9 if lesion else 0.2 for lesion in right.values()], called=False)
    said = said.assign(row="cnn", protocol="clean")
    said.to_csv(tmp_path / "predictions.csv")
    subject = Subject(planted.records, tmp_path, "mobilenetv2", None, 64, resamples=20)
    assert set(table(audit(subject), "Labels doubted")["id"]) == planted.labels


def test_the_slices_that_a_run_answered_are_counted(planted, tmp_path):
    answered = [slice_ for slice_ in planted.slices.values() if slice_.patient < 12]
    said = pd.DataFrame({"id": [slice_.id for slice_ in answered], "part": 0, "called": False})
    said["truth"] = [slice_.disc is not None for slice_ in answered]
    said = said.assign(score=0.3 + 0.4 * said["truth"], row="cnn", protocol="clean")
    said.to_csv(tmp_path / "predictions.csv")
    found = audit(Subject(planted.records, tmp_path, "mobilenetv2", None, 64, resamples=20))
    assert found.about.startswith(f"{len(answered)} slices in 12 groups (patient)")
    assert f"Masks of all {len(planted.slices)} slices of the records" in found.about


def test_masks_of_unknown_patients_are_not_compared(planted, tmp_path):
    records = shutil.copytree(planted.records, tmp_path / "records")
    manifest = (records / "manifest.json").read_text()
    (records / "manifest.json").write_text(manifest.replace('"patient"', '"near-duplicate"'))
    found = audit(Subject(records, None, "mobilenet025", None, 32, resamples=20))
    assert "No mask is compared" in found.findings[-1].text
    assert not any(title.startswith("Masks") for title in found.tables)


def test_lesions_of_one_patient_are_noted_and_no_label_is_judged(convert_slices, subject_of):
    rows = [
        (name, patient, int(patient == "p0"), image) for name, patient, _, image in drawn_slices()
    ]
    found = audit(subject_of(convert_slices(rows)))
    assert "no label is judged" in found.findings[0].text
    assert not found.tables


def test_folds_that_part_patients_are_not_the_parts_of_the_classifier(
    convert_slices, subject_of, monkeypatch
):
    seen = []

    def scored(features, truth, parts, *, seed):
        seen.append(parts)
        return np.full(len(truth), 0.5)

    monkeypatch.setattr(labels, "out_of_fold", scored)
    records = convert_slices(drawn_slices(), protocol="as-published")
    audit(subject_of(records))
    groups = [row.group_id for row in read_folds(records)]
    assert pd.Series(seen[0]).groupby(groups).nunique().max() == 1
