import dataclasses

import numpy as np

from stroke_tf.audits.slices import backbone_features, of_patients, read_slices
from stroke_tf.labels import Task
from stroke_tf.models.classifier import build_classifier
from stroke_tf.models.heads import split_head
from stroke_tf.training.features import extract_features


def test_features_are_those_of_the_frozen_phase(clean_records, subject_of):
    subject = subject_of(clean_records)
    slices = read_slices(clean_records, image_size=64)
    model = build_classifier("mobilenet025", image_size=64, head="linear")
    folds = tuple(range(10))
    expected = extract_features(
        *(split_head(model)[0], clean_records, folds),
        task=Task.DETECT,
        image_size=64,
        key_of_network="mobilenet025 avg",
    )
    assert tuple(slices.ids) == expected.ids
    assert slices.truth(Task.DETECT).tolist() == (expected.labels[:, 0] > 0).tolist()
    features = backbone_features(slices.images, subject)
    np.testing.assert_allclose(features, expected.features[0], rtol=1e-3, atol=1e-5)


def test_some_slices_keep_what_is_known_of_them(clean_records):
    slices = read_slices(clean_records, image_size=32)
    some = slices.take(np.array([5, 2]))
    assert some.ids.tolist() == [slices.ids[5], slices.ids[2]]
    assert (some.images == slices.images[[5, 2]]).all()
    assert some.groups.tolist() == [slices.groups[5], slices.groups[2]]


def test_slices_are_grouped_by_the_patients_of_a_table(clean_records, tmp_path):
    slices = read_slices(clean_records, image_size=32)
    table = tmp_path / "patients.csv"
    table.write_text(f"id,patient\n{slices.ids[0]},one\n{slices.ids[7]},one\n{slices.ids[1]},\n")
    named, found = of_patients(slices, table)
    of_one = np.isin(slices.groups, slices.groups[[0, 7]])  # the rest of their groups goes along
    assert named.groups.tolist() == np.where(of_one, "one", slices.groups).tolist()
    assert [finding.level for finding in found] == ["warning"]
    table.write_text(f"id,hospital\n{slices.ids[0]},one\n")
    assert of_patients(slices, table) == (slices, [])


def test_the_place_of_a_slice_is_not_that_of_its_copies(clean_records):
    slices = read_slices(clean_records, image_size=32)
    first = slices.rows[0]
    rows = [dataclasses.replace(first, copy=number) for number in (2, 0, 1)]
    several = dataclasses.replace(slices.take(np.zeros(3, int)), rows=tuple(rows))
    assert several.places([first.source_id]).tolist() == [1]


def test_test_sessions_are_read_when_asked_for(phantom_records):
    folds = [
        {row.fold for row in read_slices(phantom_records[0], image_size=32, stages=stages).rows}
        for stages in (False, True)
    ]
    assert folds[1] - folds[0] == {"stage1", "stage2"}
