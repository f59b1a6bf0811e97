import re
import shutil

import pytest

from data_tools.inspect import main
from data_tools.inspection import inspect_folder, tables
from data_tools.options import Inspection


def test_a_folder_is_described_without_converting_it(tree):
    found = tables(inspect_folder(Inspection(data=tree, jobs=1)))
    assert ("training", "HEMORRHAGE", "10", "10") in found["Slices"]
    assert ("training", "NONE", "20", "0") in found["Slices"]
    assert found["Files"][1:] == [("PNG", "40"), ("mask", "20"), ("overlay", "20")]
    assert found["Sizes"][1:] == [("80 x 80", "40")]
    assert found["Faults"] == [("file", "rule")]


def test_near_duplicates_and_faults_are_counted(tree):
    pictures = tree / "TRAINING/INMEYOK/PNG"
    shutil.copy(pictures / "10000.png", pictures / "20000.png")
    (pictures / "10001.png").write_bytes(b"")
    found = tables(inspect_folder(Inspection(data=tree, jobs=1)))
    groups = dict(found["Groups"][1:])
    assert groups["near-duplicate groups of two or more slices"] == "1"
    assert groups["slices in them"] == "2"
    assert groups["slices in the largest of these"] == "2"
    assert [file for file, _ in found["Faults"][1:]] == ["TRAINING/INMEYOK/PNG/10001.png"]


def test_the_page_holds_tables_and_contact_sheets(tree, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(Inspection(data=tree, out=page, jobs=1)) == 0
    text = page.read_text()
    assert text.count('src="data:image/png;base64,') == 3  # one sheet for each class
    assert not re.search(r'(src|href)="(?!data:)', text)
    assert "0 faults" in capsys.readouterr().out


def test_faults_are_printed_and_make_the_exit_code_one(tree, tmp_path, capsys):
    (tree / "TRAINING/KANAMA/PNG/10031.png").write_bytes(b"no picture")
    assert main(Inspection(data=tree, out=tmp_path / "page.html", jobs=1)) == 1
    assert "10031.png" in capsys.readouterr().out
    assert "10031.png" in (tmp_path / "page.html").read_text()


def test_an_unknown_layout_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"Received: folders \[\], files \[\]"):
        main(Inspection(data=tmp_path, out=tmp_path / "page.html"))


@pytest.mark.parametrize(
    ("folder", "row"),
    [
        ("open_stroke_ct", ("training", "ISCHEMIA", "24", "24")),
        ("dicom_ge_head", ("training", "unlabelled", "28", "0")),
    ],
)
def test_real_folders_are_described(open_data, folder, row):
    found = tables(inspect_folder(Inspection(data=open_data / folder, jobs=2)))
    assert row in found["Slices"]
    if folder == "dicom_ge_head":
        windows = found["DICOM windows (centre, width)"]
        assert windows[1:] == [("35, 100", "14"), ("35, 85", "14")]
