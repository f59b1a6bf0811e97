"""Tests of data_tools.patients: whose each slice is."""

from pathlib import Path

import pytest

from data_tools.patients import read_groups, with_patients
from data_tools.scan import SliceFiles
from data_tools.sources import Source
from stroke_tf.labels import StrokeType


def source(*patients: str | None) -> Source:
    """Slices 1, 2 and so on, each of its patient."""
    slices = (
        SliceFiles(
            *(str(number), StrokeType.NONE, f"{number}.png", None, None, None, "any"),
            patient=patient,
            stage=None,
        )
        for number, patient in enumerate(patients, start=1)
    )
    return Source(Path(), "table", tuple(slices), ())


def test_read_groups_reads_id_and_patient_among_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "groups.csv"
    path.write_text("\ufeffnote,id,patient\nx,1,a\ny,2,a\nz,1,a\n", encoding="utf-8")
    assert read_groups(path) == {"1": "a", "2": "a"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("id,person\n1,a\n", r"Missing: \['patient'\]"),
        ("", r"Missing: \['id', 'patient'\]"),
        ("id,patient\n1,a\n1,b\n", "line 3: id '1', patient 'b'"),
        ("id,patient\n1, \n", "line 2: id '1', patient ''"),
        ("id,patient\n1\n", "line 2: id '1', patient ''"),
        ("id,patient\n,a\n", "line 2: id '', patient 'a'"),
    ],
)
def test_read_groups_refuses_what_is_not_one_patient_an_id(
    tmp_path: Path, text: str, part: str
) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=part):
        read_groups(path)


def test_groups_that_name_no_slice_are_refused() -> None:
    with pytest.raises(ValueError, match=r"such as '1'\. Received: \['12\.png'\], of which no"):
        with_patients(source(None), {"12.png": "p"})


def test_with_patients_overrides_by_id_and_keeps_the_others() -> None:
    found = with_patients(source("a", "a"), {"2": "b"})
    assert [item.patient for item in found.slices] == ["a", "b"]
    assert found.faults == ()


def test_ids_without_a_slice_and_slices_without_a_patient_are_faults() -> None:
    found = with_patients(source(None, None), {"1": "a", "2.png": "b"}, name="groups.csv")
    assert [item.source_id for item in found.slices] == ["1"]
    assert {fault.file: fault.reason for fault in found.faults} == {
        "groups.csv": "an id must be a slice's. Received: 2.png",
        "2.png": "must have a patient in groups.csv, as other slices have. Received: none for id 2",
    }


@pytest.mark.parametrize("name", ["P1", "p1 ", "\u0130", "I\u0307"])
def test_patients_that_differ_in_spelling_are_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / "groups.csv"
    path.write_text(f"id,patient\n1,{name}\n2,0\n3,0.0\n4,0.00\n", encoding="utf-8")
    groups = read_groups(path)
    assert groups["1"] in ("p1", "i\u0307")
    assert groups["2"] == groups["3"] == groups["4"]
