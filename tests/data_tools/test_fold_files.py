"""Tests of folds that others have dealt: read as they are."""

import json
from pathlib import Path

import pytest

from data_tools.fold_files import with_folds
from data_tools.scan import SliceFiles
from data_tools.sources import Source
from stroke_tf.fold_file import read_fold_file
from stroke_tf.labels import StrokeType


def source(*ids: str) -> Source:
    slices = (
        SliceFiles(
            source_id, StrokeType.NONE, f"{source_id}.png", None, None, None, "any", None, None
        )
        for source_id in ids
    )
    return Source(Path(), "table", tuple(slices), ())


def folds_of(path: Path, *ids: str) -> dict[str, int]:
    found = with_folds(source(*ids), read_fold_file(path), name=path.name)
    assert found.faults == ()
    return dict(found.folds)


@pytest.mark.parametrize(
    "text",
    [
        "id,fold\n1,0\n2,3\n3,9\n",
        "id;fold\n1;0.0\n2;fold_3\n3;test\n",
        "source_id\tgroup_id\tfold\n1\ta\t0\n2\tb\t3\n3\tc\t9\n",
        "image,fold\nx/1.png,train\n2.png,3\n3.png,Test\n",
    ],
)
def test_a_table_of_folds_is_taken_as_it_is(tmp_path, text):
    path = tmp_path / "folds.csv"
    path.write_text(text)
    assert folds_of(path, "1", "2", "3") == {"1": 0, "2": 3, "3": 9}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([{"train": ["2", "3"], "val": ["1"]}, {"train": ["1"], "val": ["2", "3"]}], (0, 1, 1)),
        ([{"train": ["1", "2"], "val": ["3"]}], (0, 0, 8)),
        ([["1"], ["2.png"], ["3"]], (0, 1, 2)),
        ({"train": ["1"], "val": ["2"], "test": ["3"]}, (0, 8, 9)),
        ({"0": ["1"], "4": [2, 3]}, (0, 4, 4)),
        ({"0": {"train": ["3"], "val": ["1"]}, "4": {"val": ["2", "3"]}}, (0, 4, 4)),
    ],
)
def test_json_lists_and_nnu_nets_splits_are_taken_as_they_are(tmp_path, values, expected):
    path = tmp_path / "splits_final.json"
    path.write_text(json.dumps(values))
    assert folds_of(path, "1", "2", "3") == dict(zip("123", expected, strict=True))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.csv", "id,group\n1,0\n", "Missing: ['fold']"),
        ("f.csv", "id,fold\n1,\n", "a row must have id and fold. Received on line 2"),
        ("f.csv", "id,fold\n1,0\n1,1\n", "an id must have one fold. Received: '1' has two"),
        ("f.json", '{"a": 1}', "must hold nnU-Net's splits"),
        ("f.json", "[]", "must hold nnU-Net's splits"),
        ("f.json", "{", "must be JSON"),
    ],
)
def test_what_are_no_folds_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as caught:
        read_fold_file(tmp_path / name)
    assert message in str(caught.value)
    assert name in str(caught.value)


def test_folds_that_fit_in_part_are_faults_and_such_slices_left_out():
    found = with_folds(source("1", "2", "3"), {"1": "0", "2": "10", "4": "1"}, name="f.csv")
    assert [(fault.file, fault.reason) for fault in found.faults] == [
        ("f.csv", "a fold must be 0 to 9, train, val or test. Received: 10 for id 2"),
        ("f.csv", "an id must be a slice's. Received: 4"),
        ("3.png", "must have a fold in f.csv. Received: none for id 3"),
    ]
    assert [slice_.source_id for slice_ in found.slices] == ["1"]
    assert found.folds == {"1": 0}
