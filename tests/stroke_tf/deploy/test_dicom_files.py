"""Tests of `stroke_tf.deploy.dicom_seg`, `.dicom_sr` and `.dicom_captures`."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import to_bytes
from pydicom.data import get_testdata_file
from series_files import (
    MADE_UP,
    ct_image,
    enhanced,
    of_made_up_person,
    tilted,
    upright,
    write_series,
)

from data_tools.options import PhantomConfig
from data_tools.phantom.data_set import make_phantom
from stroke_tf.deploy.dicom_captures import write_captures
from stroke_tf.deploy.dicom_seg import write_seg
from stroke_tf.deploy.dicom_sr import write_sr
from stroke_tf.deploy.volumes import study_volumes
from stroke_tf.labels import StrokeType
from stroke_tf.reading.inputs import Series, find_inputs

pytest.importorskip("highdicom", reason="DICOM files are written with the extra `dicom`")
import highdicom


def check_valid(path: Path) -> None:
    """Has a file checked by dciodvfy of dicom3tools."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy of dicom3tools is not installed")
    checked = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
    assert not [line for line in checked.stderr.splitlines() if line.startswith("Error")]


def draw_masks(series: Series, size: int = 96) -> list[np.ndarray]:
    """A mask for each slice that is like no other's: both classes, and the first one empty."""
    masks = [np.zeros((size, size), np.uint8) for _ in series.slices]
    for place, mask in enumerate(masks[1:], start=1):
        mask[place, 5:15] = 1
        mask[40:50, 30 : 30 + place] = 2
    return masks


def read_back(path: Path, series: Series) -> np.ndarray:
    """The masks of a SEG in the order of the slices, looked up by the images they refer to."""
    seg = highdicom.seg.segread(path)
    uids = [pydicom.dcmread(slice_.path).SOPInstanceUID for slice_ in series.slices]
    if len(set(uids)) == len(uids):
        return seg.get_pixels_by_source_instance(uids, combine_segments=True)
    frames = [slice_.frame + 1 for slice_ in series.slices]
    return seg.get_pixels_by_source_frame(uids[0], frames, combine_segments=True)


@pytest.fixture(scope="module")
def phantom_series(tmp_path_factory) -> Path:
    """The DICOM files of one phantom patient without a stroke."""
    folder = tmp_path_factory.mktemp("phantom")
    make_phantom(PhantomConfig(out=folder, patients=3, size=96, jobs=1))
    return folder


@pytest.mark.parametrize(
    ("corners", "names", "values"),
    [
        (upright([0, 5, 10, 15]), (), {}),
        (upright([15, 10, 5, 0]), (), {}),
        (upright([0, 5, 10]), ("c", "b", "a"), {}),
        (upright([0, 5, 10]), (), {"ImageOrientationPatient": tilted(18)}),
        (upright([0, 5, 12, 13]), (), {}),
        (upright([3]), (), {}),
        (upright([0, 5]), (), {"SliceThickness": None, "PatientSex": "X", "StudyDate": ""}),
    ],
    ids=["upright", "reversed", "names-reversed", "tilted", "uneven", "one", "poor-header"],
)
def test_a_segmentation_gives_each_source_image_its_mask(tmp_path, corners, names, values):
    write_series(tmp_path / "a", corners, names=names, **values)
    (series,) = find_inputs([tmp_path / "a"]).series
    masks = draw_masks(series)
    path = write_seg(series, masks, out=tmp_path / "seg.dcm", model="abc")
    np.testing.assert_array_equal(read_back(path, series), masks)
    check_valid(path)
    seg = pydicom.dcmread(path)
    assert seg.NumberOfFrames == 2 * len(masks)
    assert_frames_lie_on_their_sources(seg, tmp_path / "a")


def assert_frames_lie_on_their_sources(seg: pydicom.Dataset, folder: Path) -> None:
    images = {dataset.SOPInstanceUID: dataset for dataset in map(pydicom.dcmread, folder.iterdir())}
    shared = seg.SharedFunctionalGroupsSequence[0]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        derivation = frame.DerivationImageSequence[0].SourceImageSequence[0]
        image = images[derivation.ReferencedSOPInstanceUID]
        place = frame.PlanePositionSequence[0].ImagePositionPatient
        assert place == image.ImagePositionPatient
        axes = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        assert axes == image.ImageOrientationPatient
        assert shared.PixelMeasuresSequence[0].PixelSpacing == image.PixelSpacing


def test_segments_have_terms_and_name_the_algorithm(tmp_path):
    write_series(tmp_path / "a", upright([0, 5]))
    (series,) = find_inputs([tmp_path / "a"]).series
    path = write_seg(series, draw_masks(series), out=tmp_path / "seg.dcm", model="abc")
    segments = pydicom.dcmread(path).SegmentSequence
    found = {
        segment.SegmentNumber: (
            segment.SegmentedPropertyTypeCodeSequence[0].CodeValue,
            segment.SegmentLabel,
        )
        for segment in segments
    }
    assert found == {
        StrokeType.ISCHEMIA: ("55641003", "Ischaemia"),
        StrokeType.HEMORRHAGE: ("50960005", "Haemorrhage"),
    }
    for segment in segments:
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator == "SCT"
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        named = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (named.AlgorithmName, named.AlgorithmParameters) == ("stroke_tf", "model=abc")


def test_a_study_without_a_lesion_has_all_frames_empty(tmp_path):
    write_series(tmp_path / "a", upright([0, 5, 10]))
    (series,) = find_inputs([tmp_path / "a"]).series
    empty = [np.zeros((96, 96), np.uint8)] * 3
    seg = write_seg(series, empty, out=tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_back(seg, series), empty)
    assert len(pydicom.dcmread(seg).SegmentSequence) == 2
    report = write_sr(series, study_volumes(series, empty), seg=seg, out=tmp_path / "sr.dcm")
    assert volumes_of(report) == [0, 0]
    for path in (seg, report):
        check_valid(path)


def test_frames_of_an_enhanced_file_get_their_masks(tmp_path):
    (tmp_path / "a.dcm").write_bytes(to_bytes(enhanced(upright([10, 0, 5]))))
    (series,) = find_inputs([tmp_path / "a.dcm"]).series
    masks = draw_masks(series)
    path = write_seg(series, masks, out=tmp_path / "seg.dcm")
    np.testing.assert_array_equal(read_back(path, series), masks)
    check_valid(path)


def volumes_of(path: Path) -> list[float]:
    """The volumes that a report gives, in its order."""
    report = highdicom.sr.srread(path)
    groups = report.content.get_volumetric_roi_measurement_groups()
    found = [group.get_measurements()[0] for group in groups]
    assert {measurement.unit.value for measurement in found} == {"ml"}
    assert {measurement.name.meaning for measurement in found} == {"Volume"}
    return [measurement.value for measurement in found]


def test_a_report_gives_the_volume_of_each_segment(tmp_path):
    write_series(tmp_path / "a", upright([0, 5, 10]))
    (series,) = find_inputs([tmp_path / "a"]).series
    masks = draw_masks(series)
    seg = write_seg(series, masks, out=tmp_path / "seg.dcm")
    report = write_sr(series, study_volumes(series, masks), seg=seg, out=tmp_path / "sr.dcm")
    check_valid(report)
    # 2 rows of 10 pixels, and 10 rows of 1 + 2 pixels, of 2 x 2 x 5 mm
    assert volumes_of(report) == pytest.approx([20 * 0.02, 30 * 0.02])
    groups = highdicom.sr.srread(report).content.get_volumetric_roi_measurement_groups()
    assert report.read_bytes().count(b"volume: Approximate. A pixel counts its area") == 2
    uid = pydicom.dcmread(seg).SOPInstanceUID
    for number, group in enumerate(groups, start=1):
        reference = [item for item in group[0].ContentSequence if item.ValueType == "IMAGE"][0]
        referred = reference.ReferencedSOPSequence[0]
        assert (referred.ReferencedSOPInstanceUID, referred.ReferencedSegmentNumber) == (
            uid,
            number,
        )


def test_captures_show_the_overlays(tmp_path):
    write_series(tmp_path / "a", upright([0, 5]))
    (series,) = find_inputs([tmp_path / "a"]).series
    overlays = [np.full((96, 96, 3), place, np.uint8) for place in (3, 4)]
    written = write_captures(series, iter(overlays), out=tmp_path / "captures")
    assert [path.name for path in written] == ["0001.dcm", "0002.dcm"]
    for path, overlay in zip(written, overlays, strict=True):
        capture = pydicom.dcmread(path)
        np.testing.assert_array_equal(capture.pixel_array, overlay)
        assert capture.StudyInstanceUID == ct_image(0, None).StudyInstanceUID
        check_valid(path)


def test_files_belong_to_the_study_and_hold_no_more_of_a_header_than_that(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    source = of_made_up_person(ct_image(0, (0, 0, 0)))
    (folder / "1.dcm").write_bytes(to_bytes(source))
    (series,) = find_inputs([folder]).series
    masks = [np.zeros((96, 96), np.uint8)]
    seg = write_seg(series, masks, out=tmp_path / "seg.dcm")
    report = write_sr(series, study_volumes(series, masks), seg=seg, out=tmp_path / "sr.dcm")
    (capture,) = write_captures(series, [np.zeros((96, 96, 3), np.uint8)], out=tmp_path / "c")
    kept = {
        *("PatientName", "PatientID", "PatientBirthDate", "StudyDate", "StudyTime", "StudyID"),
        *("AccessionNumber", "ReferringPhysicianName"),
    }
    for path in (seg, report, capture):
        file = pydicom.dcmread(path)
        assert file.StudyInstanceUID == source.StudyInstanceUID
        assert file.SeriesInstanceUID != source.SeriesInstanceUID
        naming = {element.keyword for element in file.iterall() if str(element.value) in MADE_UP}
        assert naming == kept


@pytest.mark.parametrize(
    ("charset", "name"), [("ISO_IR 148", "Çağrı^Şule"), ("ISO_IR 100", "Müller^Zoë")]
)
def test_names_keep_their_letters(tmp_path, charset, name):
    write_series(tmp_path / "a", upright([0]), SpecificCharacterSet=charset, PatientName=name)
    (series,) = find_inputs([tmp_path / "a"]).series
    path = write_seg(series, draw_masks(series), out=tmp_path / "seg.dcm")
    assert str(pydicom.dcmread(path).PatientName) == name
    check_valid(path)


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"FrameOfReferenceUID": None}, r"a/000.dcm: .*source with FrameOfReferenceUID"),
        ({"StudyInstanceUID": None}, r"a/000.dcm: .*source with StudyInstanceUID"),
        ({"PixelSpacing": None}, "series-001: .*ImageOrientationPatient and PixelSpacing"),
    ],
)
def test_a_source_that_lacks_what_it_takes_is_refused(tmp_path, values, rule):
    write_series(tmp_path / "a", upright([0, 5]), **values)
    (series,) = find_inputs([tmp_path / "a"]).series
    with pytest.raises(ValueError, match=rule):
        write_seg(series, draw_masks(series), out=tmp_path / "seg.dcm")
    assert not (tmp_path / "seg.dcm").exists()


def test_two_slices_at_one_position_are_refused_by_name(tmp_path):
    write_series(tmp_path / "a", upright([0, 5, 5]))
    (series,) = find_inputs([tmp_path / "a"]).series
    with pytest.raises(ValueError, match=r"Received: a/001.dcm and a/002.dcm"):
        write_seg(series, draw_masks(series), out=tmp_path / "seg.dcm")


def test_each_slice_must_have_its_mask_and_overlay(tmp_path):
    write_series(tmp_path / "a", upright([0, 5]))
    (series,) = find_inputs([tmp_path / "a"]).series
    with pytest.raises(ValueError, match="one mask for each of 2 slices. Received: 1"):
        write_seg(series, [np.zeros((96, 96), np.uint8)], out=tmp_path / "seg.dcm")
    with pytest.raises(ValueError, match="one overlay for each of 2 slices. Received: 0"):
        write_captures(series, [], out=tmp_path)
    with pytest.raises(ValueError, match=r"size of its slice, \(96, 96\). Received: \(8, 8\)"):
        write_seg(series, [np.zeros((8, 8), np.uint8)] * 2, out=tmp_path / "seg.dcm")


def test_without_highdicom_the_error_says_what_to_install(tmp_path, monkeypatch):
    write_series(tmp_path / "a", upright([0]))
    (series,) = find_inputs([tmp_path / "a"]).series
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'stroke_tf\[dicom\]'"):
        write_seg(series, draw_masks(series), out=tmp_path / "seg.dcm")


def test_files_of_a_phantom_are_valid(phantom_series, tmp_path):
    found = find_inputs([*phantom_series.rglob("*.dcm")])
    for series in found.series[:1]:
        check_all(series, draw_masks(series), tmp_path)


def test_files_of_another_writer_are_valid(tmp_path):
    (series,) = find_inputs([Path(get_testdata_file("CT_small.dcm"))]).series
    masks = [np.eye(128, dtype=np.uint8)]
    check_all(series, masks, tmp_path)


def test_files_of_a_real_tilted_series_are_valid(open_data, tmp_path):
    (series,) = find_inputs([open_data / "dicom_ge_head"]).series
    assert series.geometry.tilt_deg == pytest.approx(18.5, abs=0.01)
    assert series.geometry.is_uneven
    check_all(series, draw_masks(series, 512), tmp_path)


def check_all(series: Series, masks: list[np.ndarray], out: Path) -> None:
    seg = write_seg(series, masks, out=out / "seg.dcm")
    np.testing.assert_array_equal(read_back(seg, series), masks)
    report = write_sr(series, study_volumes(series, masks), seg=seg, out=out / "sr.dcm")
    overlays = (np.repeat(mask[..., None], 3, axis=2) for mask in masks)
    for path in (seg, report, *write_captures(series, overlays, out=out / "captures")[:1]):
        check_valid(path)
