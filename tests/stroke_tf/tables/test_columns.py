import dataclasses
import shutil

import pytest

from stroke_tf.manifest import folds_text, read_folds
from stroke_tf.tables.columns import read_columns, value_of

TABLE = (
    "id;patient;hospital;kv;file;same\n"
    "01.png;Ann;A;100;a.png;x\n2.png;Bob;B;120;b.png;x\n3.png;Bob;A;;c.png;x\n"
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "slices.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture
def records(phantom_records, tmp_path):
    """Records of the slices 01, 2 and 3, 2 with a copy, and of a test session's."""
    first = read_folds(phantom_records[0])[0]
    slices = [("01", "0"), ("2", "0"), ("2", "1"), ("3", "2"), ("s1", "stage1")]
    rows = [dataclasses.replace(first, source_id=name, fold=fold) for name, fold in slices]
    folder = tmp_path / "records"
    folder.mkdir()
    shutil.copy(phantom_records[0] / "manifest.json", folder)
    (folder / "folds.csv").write_text(folds_text(rows))
    return folder


def test_columns_of_some_values_are_taken_and_the_others_named(path, records, monkeypatch, caplog):
    monkeypatch.setattr("stroke_tf.tables.columns.MOST_VALUES", 2)
    caplog.set_level("INFO")
    assert read_columns(path, records) == {"hospital": {"01": "A", "2": "B", "3": "A"}}
    assert "column file has 3 values: not shown apart" in caplog.text
    assert "column same has 1 values" in caplog.text
    assert "says nothing" not in caplog.text


def test_columns_that_are_named_are_taken_whatever_they_hold(path, records):
    columns = read_columns(path, records, ("kv", "same"))
    assert [*columns] == ["kv", "same"]
    assert [value_of(columns["kv"], name) for name in ("01", "3", "unknown")] == ["100", "–", "–"]


def test_patient_and_slice_number_name_slices_and_are_columns_if_they_are_named(path, records):
    path.write_text("PatientNumber,SliceNumber,Epidural\n1,,1\n2,,0\n3,,1\n")
    assert read_columns(path, records) == {"Epidural": {"01": "1", "2": "0", "3": "1"}}
    named = read_columns(path, records, ("PatientNumber",))
    assert named == {"PatientNumber": {"01": "1", "2": "2", "3": "3"}}


def test_slices_that_a_table_does_not_name_are_counted(path, records, caplog):
    caplog.set_level("INFO")
    path.write_text("id,hospital\n2,B\n3,A\n")
    assert read_columns(path, records) == {"hospital": {"2": "B", "3": "A"}}
    assert "slices.csv names 2 of 3 slices: of the others it says nothing." in caplog.text


def test_a_table_without_its_columns_is_refused(path, records, tmp_path):
    with pytest.raises(ValueError, match=r"must have the columns \['ward'\].*Received"):
        read_columns(path, records, ("ward",))
    with pytest.raises(ValueError, match="a column must not be one of .* Received: id"):
        read_columns(path, records, ("id",))
    path.write_text("id,score\n2,2\n3,3\n")
    with pytest.raises(ValueError, match="a column must not be one of .* Received: score"):
        read_columns(path, records)
    with pytest.raises(FileNotFoundError, match="nowhere.csv"):
        read_columns(tmp_path / "nowhere.csv", records)
