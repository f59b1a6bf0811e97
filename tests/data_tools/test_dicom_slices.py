"""DICOM files on their way into records: what is left out by name, frames, the PNG beside."""

import zipfile

import cv2
import numpy as np
import pytest
from dicom_files import item, make_header, phantom_hu, to_bytes
from pydicom import uid

from data_tools.build_tfrecords import main
from data_tools.conversion import BadInputError, build_tfrecords
from data_tools.inspection import inspect_folder, tables, write_page
from data_tools.options import Conversion, Inspection
from data_tools.sources import find_slices
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import read_folds
from stroke_tf.reading.hu_values import grey_view

SIDE = 96
SCOUT = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}


def hu_of(number):
    return phantom_hu(SIDE, seed=number % 4, z_mm=24.0 + 4 * number)


def stored(number):
    return (hu_of(number) + 1024).astype(np.uint16)


def write_dicom(path, number, **values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(make_header(stored(number), PatientID=f"P{number}", **values)))


def write_png(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def write_frames(path, numbers, **values):
    groups = [
        item(
            PixelValueTransformationSequence=[
                item(RescaleIntercept=-1024, RescaleSlope=1, RescaleType="HU")
            ],
            PixelMeasuresSequence=[item(PixelSpacing=[0.4, 0.5], SliceThickness=5)],
        )
    ]
    frames = np.stack([stored(number) for number in numbers])
    values = {
        "SharedFunctionalGroupsSequence": groups,
        "SOPClassUID": uid.EnhancedCTImageStorage,
        "RescaleSlope": None,
        "RescaleIntercept": None,
        **values,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(to_bytes(make_header(frames, **values)))


@pytest.fixture
def tree(tmp_path):
    """Twenty slices as DICOM and PNG, half of them with a lesion."""
    root = tmp_path / "tree"
    for number in range(20):
        folder = root / "TRAINING" / ("INMEYOK" if number % 2 else "KANAMA")
        write_dicom(folder / "DICOM" / f"{number}.dcm", number)
        write_png(folder / "PNG" / f"{number}.png", grey_view(hu_of(number)))
        if number % 2 == 0:
            mask = np.zeros((SIDE, SIDE, 3), np.uint8)
            mask[40:50, 40:50, 1] = 255
            write_png(folder / "MASK" / f"{number}.png", mask)
    return root


def convert(tree, **settings):
    out = tree.parent / "records"
    return build_tfrecords(
        Conversion(data=tree, out=out, size=SIDE, jobs=1, prefer="dicom", **settings)
    )


def faults_of(tree):
    with pytest.raises(BadInputError) as caught:
        convert(tree)
    return {fault.file: fault.reason for fault in caught.value.faults}


def test_dicom_beside_its_png_is_converted(tree):
    manifest = convert(tree)
    assert (manifest.records, manifest.pixels, manifest.rejected) == (20, "hu16", ())


@pytest.mark.parametrize("other", [lambda number: hu_of(number)[:, ::-1], lambda _: hu_of(7)])
def test_a_mirrored_or_another_picture_beside_is_a_fault(tree, other):
    write_png(tree / "TRAINING/KANAMA/PNG/2.png", grey_view(other(2)))
    assert list(faults_of(tree)) == ["TRAINING/KANAMA/PNG/2.png"]


def test_a_damaged_picture_beside_is_a_fault(tree):
    path = tree / "TRAINING/KANAMA/PNG/2.png"
    path.write_bytes(path.read_bytes()[:-40])
    assert list(faults_of(tree)) == ["TRAINING/KANAMA/PNG/2.png"]


def test_scouts_and_reformats_are_left_out_by_name_and_the_rest_converts(tree, capsys):
    folder = tree / "TRAINING/INMEYOK/DICOM"
    write_dicom(folder / "100.dcm", 1, **SCOUT)
    write_dicom(folder / "101.dcm", 1, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    out = tree.parent / "records"
    assert main(Conversion(data=tree, out=out, size=SIDE, jobs=1, prefer="dicom")) == 0
    assert {row.source_id for row in read_folds(out)} == {str(number) for number in range(20)}
    said = capsys.readouterr().err
    assert "Left out: TRAINING/INMEYOK/DICOM/100.dcm: must be an axial slice" in said
    assert "101.dcm: must be an axial slice. Received: a coronal one" in said


def test_a_scout_with_a_picture_or_a_mask_of_its_id_is_a_fault(tree):
    write_dicom(tree / "TRAINING/KANAMA/DICOM/2.dcm", 2, **SCOUT)
    (tree / "TRAINING/KANAMA/PNG/4.png").unlink()
    write_dicom(tree / "TRAINING/KANAMA/DICOM/4.dcm", 4, **SCOUT)
    names = {f"TRAINING/KANAMA/DICOM/{number}.dcm" for number in (2, 4)}
    assert set(faults_of(tree)) == names


def test_frames_become_slices_of_one_patient(tree):
    write_frames(tree / "TRAINING/INMEYOK/DICOM/200.dcm", (1, 5, 9), PatientID="")
    convert(tree)
    rows = [row for row in read_folds(tree.parent / "records") if row.source_id[:3] == "200"]
    assert {row.spacing_mm for row in rows} == {"0.4x0.5x5"}
    assert sorted(row.source_id for row in rows) == ["200#1", "200#2", "200#3"]
    assert len({row.group_id for row in rows}) == 1
    assert len({row.fold for row in rows}) == 1


def test_a_bad_frame_is_named_and_the_others_are_read(tree):
    groups = [
        item(PixelValueTransformationSequence=[item(RescaleIntercept=intercept, RescaleSlope=1)])
        for intercept in (-1024, 0, -1024)
    ]
    write_frames(
        tree / "TRAINING/INMEYOK/DICOM/200.dcm",
        (1, 5, 9),
        SharedFunctionalGroupsSequence=None,
        PerFrameFunctionalGroupsSequence=groups,
    )
    assert list(faults_of(tree)) == ["TRAINING/INMEYOK/DICOM/200.dcm#2"]
    assert convert(tree, max_bad=1).records == 22


def test_frames_beside_a_mask_of_their_id_are_a_fault(tree):
    write_frames(tree / "TRAINING/KANAMA/DICOM/2.dcm", (1, 5))
    assert "one frame" in faults_of(tree)["TRAINING/KANAMA/DICOM/2.dcm"]


def test_inspection_shows_frames_and_names_what_is_left_out(tmp_path):
    for number in range(3):
        write_dicom(tmp_path / f"{number}.dcm", number)
    write_dicom(tmp_path / "scout.dcm", 1, **SCOUT)
    write_frames(tmp_path / "many.dcm", (5, 7))
    findings = inspect_folder(Inspection(data=tmp_path, jobs=1))
    assert [slice_.source_id for slice_ in findings.facts] == ["0", "1", "2", "many#1", "many#2"]
    found = tables(findings)
    assert [row[2] for row in found["Left out"][1:]] == ["scout.dcm"]
    assert found["Faults"][1:] == []
    write_page(findings, tmp_path / "page.html", title="Slices")
    assert "scout.dcm" in (tmp_path / "page.html").read_text(encoding="utf-8")


def pack(archive, folder, prefix=""):
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                file.write(path, prefix + path.relative_to(folder).as_posix())


@pytest.fixture
def series(tmp_path):
    """A series as discs have it: DICOMDIR, folders, files without ending, a scout."""
    folder = tmp_path / "disc"
    for number in range(3):
        write_dicom(folder / "PAT0/SE1" / f"IM00000{number}", number + 30)
    write_dicom(folder / "PAT0/SE0/IM000000", 1, **SCOUT)
    (folder / "DICOMDIR").write_bytes(bytes(128) + b"DICM")
    (folder / "autorun.inf").write_text("[autorun]")
    return folder


IDS = ["PAT0/SE1/IM000000", "PAT0/SE1/IM000001", "PAT0/SE1/IM000002"]


def ids_of(folder):
    findings = inspect_folder(Inspection(data=folder, jobs=1))
    assert [fault.file.rpartition("/")[2] for fault in findings.faults] == ["IM000000"]
    return [slice_.source_id for slice_ in findings.facts]


def test_a_disc_is_read_like_a_folder(series):
    assert ids_of(series) == IDS


def test_a_zip_of_a_series_is_read_like_a_folder_and_stays_as_it_is(series, tmp_path):
    pack(tmp_path / "data/p1.zip", series)
    before = (tmp_path / "data/p1.zip").read_bytes()
    assert ids_of(tmp_path / "data") == [f"p1.zip/{source_id}" for source_id in IDS]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["p1.zip"]
    assert (tmp_path / "data/p1.zip").read_bytes() == before


def test_a_zip_unpacked_beside_itself_or_of_pictures_is_left_alone(series, tmp_path):
    pack(series.with_suffix(".zip"), series)
    pictures = tmp_path / "pictures"
    write_png(pictures / "1.png", grey_view(hu_of(1)))
    write_dicom(pictures / "1.dcm", 1)
    pack(tmp_path / "backup.zip", pictures)
    (pictures / "1.dcm").unlink()
    (pictures / "1.png").unlink()
    assert ids_of(tmp_path) == [f"disc/{source_id}" for source_id in IDS]


def test_a_zip_that_is_not_safe_is_a_fault_and_the_rest_is_read(series):
    pack(series / "bad.zip", series / "PAT0/SE1", prefix="../")
    findings = inspect_folder(Inspection(data=series, jobs=1))
    faults = {fault.file: fault.reason for fault in findings.faults if fault.is_fault}
    assert list(faults) == ["bad.zip"]
    assert "at a path inside it" in faults["bad.zip"]
    assert [slice_.source_id for slice_ in findings.facts] == IDS


@pytest.mark.parametrize("ending", [".ima", ".IMA", ".dicom", ""])
def test_other_endings_and_none_are_read(tmp_path, ending):
    write_dicom(tmp_path / f"CT.1.2.840.5{ending}", 1)
    findings = inspect_folder(Inspection(data=tmp_path, jobs=1))
    assert [slice_.source_id for slice_ in findings.facts] == ["CT.1.2.840.5"]


@pytest.mark.parametrize("zipped", [False, True])
def test_series_below_a_dicom_folder_of_a_class_are_converted(tree, series, zipped):
    target = tree / "TRAINING/INMEYOK/DICOM" / ("p1.zip" if zipped else "p1")
    if zipped:
        pack(target, series)
    else:
        series.rename(target)
    manifest = convert(tree)
    assert manifest.records == 23
    assert [fault.is_fault for fault in manifest.rejected] == [False]
    ids = {row.source_id for row in read_folds(tree.parent / "records")}
    assert {f"{target.name}/{source_id}" for source_id in IDS} <= ids


@pytest.mark.parametrize("zipped", [False, True])
def test_series_right_below_a_class_folder_are_converted(series, tmp_path, zipped):
    write_dicom(tmp_path / "set/Normal/p9/1.dcm", 9)
    target = tmp_path / "set/Kanama" / ("p1.zip" if zipped else "p1")
    if zipped:
        pack(target, series)
    else:
        target.parent.mkdir(parents=True)
        series.rename(target)
    source = find_slices(tmp_path / "set")
    assert source.faults == ()
    ids = {
        slice_.source_id for slice_ in source.slices if slice_.stroke_type == StrokeType.HEMORRHAGE
    }
    assert {f"{target.name}/{source_id}" for source_id in IDS} <= ids
    assert ["p9/1"] == [slice_.source_id for slice_ in source.slices if not slice_.stroke_type]


def test_a_conversion_from_a_changed_zip_is_not_continued(tree, series):
    target = tree / "TRAINING/INMEYOK/DICOM/p1.zip"
    pack(target, series)
    convert(tree)
    write_dicom(series / "PAT0/SE1/IM000000", 9)
    pack(target, series)
    with pytest.raises(ValueError, match="already holds another data set"):
        convert(tree)


def test_a_screen_shot_in_a_series_is_left_out_and_one_by_itself_is_a_fault(tree, series):
    write_dicom(series / "PAT0/SE2/IM000000", 1, SOPClassUID=uid.SecondaryCaptureImageStorage)
    series.rename(tree / "TRAINING/INMEYOK/DICOM/p1")
    write_dicom(tree / "TRAINING/INMEYOK/DICOM/100.dcm", 1, PhotometricInterpretation="RGB")
    assert list(faults_of(tree)) == ["TRAINING/INMEYOK/DICOM/100.dcm"]
    assert len(convert(tree, max_bad=1).rejected) == 3


def test_repairs_are_told(tree, caplog):
    path = tree / "TRAINING/INMEYOK/DICOM/100.dcm"
    header = make_header(hu_of(1).view(np.uint16), RescaleIntercept=0)
    path.write_bytes(to_bytes(header))
    convert(tree)
    told = "1 DICOM files were read as 16 signed bits from bit 0 on, such as TRAINING/INMEYOK"
    assert told in caplog.text
    findings = inspect_folder(Inspection(data=tree, prefer="dicom", jobs=1))
    found = tables(findings)["DICOM read otherwise than the header says"]
    assert found[1:] == [("16 signed bits from bit 0 on", "1")]
