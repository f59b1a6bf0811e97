import re
import shutil

import numpy as np
import pytest
from trees import head, write_png

from data_tools.inspect import main
from data_tools.inspection import inspect_folder, tables
from data_tools.options import Inspection


def test_a_folder_is_described_without_converting_it(tree):
    found = tables(inspect_folder(Inspection(data=tree, jobs=1)))
    assert ("training", "HEMORRHAGE", "10", "10") in found["Slices"]
    assert ("training", "NONE", "20", "0") in found["Slices"]
    assert found["Files"][1:] == [("PNG", "40"), ("mask", "20"), ("overlay", "20")]
    assert found["Sizes"][1:] == [("80 x 80", "40")]
    assert found["Faults"] == [("faults", "rule", "files")]


def test_near_duplicates_and_faults_are_counted(tree):
    pictures = tree / "TRAINING/INMEYOK/PNG"
    shutil.copy(pictures / "10000.png", pictures / "20000.png")
    (pictures / "10001.png").write_bytes(b"")
    found = tables(inspect_folder(Inspection(data=tree, jobs=1)))
    groups = dict(found["Groups"][1:])
    assert groups["near-duplicate groups of two or more slices"] == "1"
    assert groups["slices in them"] == "2"
    assert groups["slices in the largest of these"] == "2"
    assert [file for _, _, file in found["Faults"][1:]] == ["TRAINING/INMEYOK/PNG/10001.png"]


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
    assert "10031.png" in (tmp_path / "page.faults.csv").read_text()


def test_a_folder_without_labels_cannot_be_converted(tmp_path, capsys):
    for name in ("1", "2", "2_PHE_Seg"):
        write_png(tmp_path / f"data/{name}.png", head(np.random.default_rng(len(name))))
    (tmp_path / "data/all.csv").write_text("file,Patient ID\n")
    assert main(Inspection(data=tmp_path / "data", out=tmp_path / "page.html", jobs=1)) == 1
    printed = capsys.readouterr().out
    refused = "cannot be converted: no labels; give a table (--table)"
    assert refused in printed
    assert "Received: 2 pictures in ['.']" in printed
    assert refused in (tmp_path / "page.html").read_text()
    assert "all.csv has a column Patient ID" in printed
    assert "1 faults in" in printed  # the mask, which is no slice


def test_single_slices_without_a_label_are_faults_as_in_the_conversion(tmp_path):
    write_png(tmp_path / "1.png", head(np.random.default_rng(0)))
    write_png(tmp_path / "2.png", head(np.random.default_rng(1)))
    (tmp_path / "t.csv").write_text("image,label\n1.png,normal\n2.png,\n")
    found = inspect_folder(Inspection(table=tmp_path / "t.csv", jobs=1))
    assert [(fault.file, fault.reason) for fault in found.faults] == [
        ("2.png", "must have a label or a mask. Received: neither (t.csv:3)")
    ]
    assert "no labels" not in found.refusals[0]


def test_given_folds_are_audited(tree, tmp_path):
    pictures = tree / "TRAINING/INMEYOK/PNG"
    shutil.copy(pictures / "10000.png", pictures / "10040.png")
    lines = [f"{10000 + index},{index % 10}" for index in range(40)]
    (tmp_path / "folds.csv").write_text("\n".join(["id,fold", *lines, "10040,7"]))
    findings = inspect_folder(Inspection(data=tree, folds=tmp_path / "folds.csv", jobs=1))
    leaks = {kind: row for kind, *row in tables(findings)["Leaks between the given folds"][1:]}
    assert leaks["identical pictures"] == ["1", "2", "10000 in 0, 10040 in 7"]
    assert leaks["patients"] == ["0", "0", ""]
    assert "cannot be converted: clean folds must keep groups together" in findings.refusals[0]


def test_too_few_groups_are_said_with_the_reason(tree, tmp_path):
    lines = [f"{10000 + index},{index // 20}" for index in range(40)]
    (tmp_path / "groups.csv").write_text("\n".join(["id,patient", *lines]))
    config = Inspection(data=tree, groups=tmp_path / "groups.csv", jobs=1)
    (reason,) = inspect_folder(config).refusals
    assert "10 groups. Received: 2, of 40 slices and 2 patients" in reason
    assert inspect_folder(Inspection(**{**vars(config), "folds": 2})).refusals == ()


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
