"""Tests of `stroke_tf.reading.inputs` and `.series`."""

import os
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from dicom_files import head, to_bytes
from series_files import (
    MADE_UP,
    ct_image,
    enhanced,
    of_made_up_person,
    tilted,
    upright,
    write_series,
)

from stroke_tf.reading.inputs import Found, find_inputs
from stroke_tf.reading.series import thickness_of

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)


def write_picture(path: Path, pixels: np.ndarray = GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


def names(found: Found) -> list[list[str]]:
    return [[slice_.name for slice_ in series.slices] for series in found.series]


def test_pictures_of_a_folder_are_together_in_the_order_of_their_numbers(tmp_path):
    for name in ("10.png", "9.png", "deep/er/1.jpg"):
        write_picture(tmp_path / "scan" / name)
    found = find_inputs([tmp_path / "scan"])
    assert names(found) == [["scan/9.png", "scan/10.png"], ["scan/deep/er/1.jpg"]]
    series = found.series[0]
    assert (series.name, series.is_series, series.geometry) == ("series-001", False, None)
    read = series.slices[0].read()
    np.testing.assert_array_equal(read.pixels, GREY)
    assert (read.spacing_mm, read.repair, series.slices[0].position_mm) == ((), "", None)


def test_files_are_told_by_their_content_not_by_their_names(tmp_path):
    write_picture(tmp_path / "a" / "p.png").rename(tmp_path / "a" / "picture.dcm")
    (tmp_path / "a" / "q").write_bytes(to_bytes(ct_image(0, (0, 0, 5))))
    old = to_bytes(ct_image(1, (0, 0, 10)))[132:]  # without preamble
    (tmp_path / "a" / "r.png").write_bytes(old)
    found = find_inputs([tmp_path / "a"])
    assert names(found) == [["a/picture.dcm"], ["a/q", "a/r.png"]]
    np.testing.assert_array_equal(found.series[1].slices[1].read().pixels, head())


def test_a_single_dicom_file_is_a_series_with_its_nominal_thickness(tmp_path):
    (path,) = write_series(tmp_path, upright([12.5]), PixelSpacing=[2.0, 3.0])
    (series,) = find_inputs([path]).series
    assert series.is_series
    assert series.slices[0].name == "000.dcm"
    assert series.slices[0].position_mm == 12.5
    assert series.geometry.thickness_mm == (5.0,)
    read = series.slices[0].read()
    np.testing.assert_array_equal(read.pixels, head())
    assert read.pixels.dtype == np.int16
    assert read.spacing_mm == (2.0, 3.0)


def test_pixels_have_their_size_without_a_distance_of_slices(tmp_path):
    (path,) = write_series(tmp_path, upright([0]), SliceThickness=None)
    (series,) = find_inputs([path]).series
    assert series.slices[0].read().spacing_mm == (2.0, 2.0)
    assert series.geometry is None


def test_reversed_files_give_the_same_series(tmp_path):
    corners = upright([0, 5, 10, 15])
    write_series(tmp_path / "a", corners)
    write_series(tmp_path / "b", corners, names=["d", "c", "b", "a"])
    forward, backward = (find_inputs([tmp_path / name]).series[0] for name in "ab")
    assert forward.geometry == backward.geometry
    assert [slice_.path.name for slice_ in backward.slices] == ["d", "c", "b", "a"]
    assert [slice_.position_mm for slice_ in forward.slices] == [0, 5, 10, 15]
    for one, other in zip(forward.slices, backward.slices, strict=True):
        assert one.path.read_bytes() == other.path.read_bytes()


def test_a_zip_is_read_as_a_folder_and_not_unpacked(tmp_path):
    write_series(tmp_path / "scan", upright([0, 5]))
    archive = Path(shutil.make_archive(str(tmp_path / "scan"), "zip", tmp_path, "scan"))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("scan/inner.zip", archive.read_bytes())
    found = find_inputs([archive])
    assert names(found) == [["scan.zip/scan/000.dcm", "scan.zip/scan/001.dcm"]]
    assert found.left_out == (("scan.zip/scan/inner.zip", "a zip in a zip is not read"),)
    np.testing.assert_array_equal(found.series[0].slices[1].read().pixels, head())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scan", "scan.zip"]


def test_a_bomb_in_a_folder_is_named_and_the_rest_is_read(tmp_path):
    write_picture(tmp_path / "a" / "1.png")
    with zipfile.ZipFile(tmp_path / "a" / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("2.dcm", bytes(4_000_000))
    found = find_inputs([tmp_path / "a"])
    assert names(found) == [["a/1.png"]]
    ((name, reason),) = found.faults
    assert name == "a/bomb.zip"
    assert "must not unpack to more than 100 times" in reason


def test_two_patients_and_two_series_are_never_mixed(tmp_path):
    write_series(tmp_path / "a", upright([0, 5]), PatientID="P-1")
    write_series(tmp_path / "a", upright([2, 7]), names=["x", "y"], PatientID="P-2")
    write_series(tmp_path / "a", upright([3]), names=["z"], PatientID="P-2", series="b")
    found = find_inputs([tmp_path / "a"])
    assert names(found) == [["a/000.dcm", "a/001.dcm"], ["a/x", "a/y"], ["a/z"]]
    assert [series.name for series in found.series] == ["series-001", "series-002", "series-003"]
    assert "patient 1 of 2: series are never mixed" in found.series[0].notes
    assert "patient 2 of 2: series are never mixed" in found.series[2].notes


def test_stacks_of_other_planes_or_sizes_under_one_uid_are_taken_apart(tmp_path):
    write_series(tmp_path, upright([0, 5, 2]), each={2: {"ImageOrientationPatient": tilted(20)}})
    found = find_inputs([tmp_path])
    assert [len(series.slices) for series in found.series] == [2, 1]
    assert all("one of 2 stacks" in series.notes[0] for series in found.series)


def test_a_tilted_gantry_takes_distances_along_the_normal(tmp_path):
    write_series(tmp_path, upright([0, 5, 10]), ImageOrientationPatient=tilted(18))
    (series,) = find_inputs([tmp_path]).series
    geometry = series.geometry
    np.testing.assert_allclose(np.diff(geometry.positions_mm), 5 * np.cos(np.radians(18)))
    np.testing.assert_allclose(geometry.thickness_mm, 5 * np.cos(np.radians(18)))
    assert geometry.tilt_deg == pytest.approx(18)
    assert geometry.shear_deg == pytest.approx(18)
    assert series.notes == (
        "tilted by 18.0 degrees: distances are taken along the normal",
        "sheared by 18.0 degrees: each slice lies shifted against the next",
    )


def test_a_tilt_that_the_planes_do_not_show_is_told(tmp_path):
    write_series(tmp_path, upright([0, 5]), GantryDetectorTilt=18)
    (note,) = find_inputs([tmp_path]).series[0].notes
    assert note.startswith("GantryDetectorTilt says 18.0 degrees, the planes are upright")
    assert note.endswith("volumes may be too large by 5 %")  # 1 / cos(18 degrees) = 1.051


def test_uneven_spacing_and_missing_slices_are_told(tmp_path):
    write_series(tmp_path / "a", upright([0, 5, 10, 25, 30]))
    write_series(tmp_path / "b", upright([0, 5, 10, 17.5, 25]))
    missing, uneven = (find_inputs([tmp_path / name]).series[0] for name in "ab")
    assert "2 slices are missing between slices 3 and 4" in missing.notes
    assert missing.geometry.thickness_mm == (5, 5, 10, 10, 5)
    assert uneven.notes == ("spacing is uneven: 5.00 to 7.50 mm",)
    assert uneven.geometry.is_uneven
    assert uneven.geometry.thickness_mm == (5, 5, 6.25, 7.5, 7.5)


def test_thick_slices_above_thin_ones_are_not_missing_ones(tmp_path):
    thick = {place: {"SliceThickness": 10} for place in (3, 4)}
    write_series(tmp_path, upright([0, 5, 10, 17.5, 27.5]), each=thick)
    notes = find_inputs([tmp_path]).series[0].notes
    assert notes == ("spacing is uneven: 5.00 to 10.00 mm",)


def test_slices_at_one_position_are_told_and_count_once(tmp_path):
    write_series(tmp_path, upright([0, 5, 5, 10]))
    (series,) = find_inputs([tmp_path]).series
    root = tmp_path.name
    assert f"{root}/001.dcm and {root}/002.dcm lie at one position" in series.notes
    assert series.geometry.thickness_mm == (5, 2.5, 2.5, 5)


def test_phases_under_one_uid_are_taken_apart_by_their_numbers(tmp_path):
    order = [0, 2, 1, 3]  # the second phase lies between the files of the first
    each = {place: {"InstanceNumber": number} for place, number in enumerate(order)}
    write_series(tmp_path / "a", upright([0, 0, 5, 5]), each=each)
    found = find_inputs([tmp_path / "a"])
    assert names(found) == [["a/000.dcm", "a/002.dcm"], ["a/001.dcm", "a/003.dcm"]]
    assert all("one of 2 stacks" in series.notes[0] for series in found.series)


def test_planes_seen_from_the_head_are_told(tmp_path):
    write_series(tmp_path, upright([0, 5]), ImageOrientationPatient=[-1, 0, 0, 0, 1, 0])
    (series,) = find_inputs([tmp_path]).series
    assert series.notes == ("mirrored: seen from the head, not from the feet",)
    assert series.geometry.positions_mm == (0, 5)


def test_a_copy_of_an_image_is_left_out_by_name(tmp_path):
    write_series(tmp_path / "a", upright([0, 5]))
    shutil.copy(tmp_path / "a" / "001.dcm", tmp_path / "a" / "copy.dcm")
    found = find_inputs([tmp_path / "a"])
    assert names(found) == [["a/000.dcm", "a/001.dcm"]]
    assert found.left_out == (("a/copy.dcm", "the same image as a/001.dcm"),)


def test_localizers_and_other_modalities_are_left_out_by_name(tmp_path):
    write_series(
        tmp_path / "a",
        upright([0, 5, 0, 0, 0]),
        each={
            2: {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
            3: {"Modality": "MR", "SOPClassUID": pydicom.uid.MRImageStorage},
            4: {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]},
        },
    )
    (tmp_path / "a" / "notes.txt").write_text("x")
    found = find_inputs([tmp_path / "a"])
    assert names(found) == [["a/000.dcm", "a/001.dcm"]]
    assert not found.faults
    reasons = dict(found.left_out)
    assert "LOCALIZER" in reasons["a/002.dcm"]
    assert "MR Image Storage" in reasons["a/003.dcm"]
    assert "a coronal one" in reasons["a/004.dcm"]
    assert reasons["a/notes.txt"] == "neither a picture nor a DICOM file"


def test_without_positions_numbers_and_then_names_give_the_order(tmp_path):
    each = {place: {"InstanceNumber": 3 - place} for place in range(3)}
    write_series(tmp_path / "a", [None] * 3, each=each)
    (series,) = find_inputs([tmp_path / "a"]).series
    assert [slice_.name for slice_ in series.slices] == ["a/002.dcm", "a/001.dcm", "a/000.dcm"]
    assert series.notes[0].startswith("no ImagePositionPatient: in the order of InstanceNumber")
    assert series.geometry.is_assumed
    assert series.geometry.thickness_mm == (5, 5, 5)
    assert {slice_.position_mm for slice_ in series.slices} == {None}


def test_without_spacing_there_is_no_geometry(tmp_path):
    write_series(tmp_path, upright([0, 5]), PixelSpacing=None)
    (series,) = find_inputs([tmp_path]).series
    assert series.geometry is None
    assert series.notes[-1].startswith("no volumes: PixelSpacing")


def test_frames_of_an_enhanced_file_are_sorted_by_position(tmp_path):
    path = tmp_path / "frames.dcm"
    path.write_bytes(to_bytes(enhanced(upright([10, 0, 5]))))
    (series,) = find_inputs([path]).series
    assert [slice_.name for slice_ in series.slices] == [
        f"frames.dcm#{frame}" for frame in (2, 3, 1)
    ]
    assert series.geometry.positions_mm == (0, 5, 10)
    assert (series.geometry.row_mm, series.notes) == (2.0, ())
    np.testing.assert_array_equal(series.slices[0].read().pixels, head())


def test_masks_and_overlays_beside_pictures_are_no_inputs(tmp_path):
    root = tmp_path / "ISKEMI"
    for name in ("PNG/1.png", "MASK/1.png", "OVERLAY/1.png", "PNG/1_HGE_Seg.png"):
        write_picture(root / name)
    found = find_inputs([root])
    assert names(found) == [["ISKEMI/PNG/1.png"]]
    assert [name for name, _ in found.left_out] == [
        "ISKEMI/MASK",
        "ISKEMI/OVERLAY",
        "ISKEMI/PNG/1_HGE_Seg.png",
    ]
    assert names(find_inputs([root / "MASK"])) == [["MASK/1.png"]]


def test_what_cannot_be_read_is_a_fault_with_its_name(tmp_path):
    root = tmp_path / "a"
    (path,) = write_series(root, upright([0]))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    (root / "empty.png").write_bytes(b"")
    (root / "text.dcm").write_text("no picture at all")
    (root / "broken.zip").write_bytes(b"PK nothing")
    faults = dict(find_inputs([root, tmp_path / "none.png", tmp_path / "notes.txt"]).faults)
    assert set(faults) == {
        *("a/000.dcm", "a/empty.png", "a/text.dcm", "a/broken.zip", "none.png", "notes.txt")
    }
    assert "pixel data must be" in faults["a/000.dcm"]
    assert faults["none.png"] == "must be readable. Received: No such file or directory"
    (tmp_path / "nothing").mkdir()
    (tmp_path / "notes.txt").write_text("x")
    faults = dict(find_inputs([tmp_path / "nothing", tmp_path / "notes.txt"]).faults)
    assert faults["nothing"] == "must hold pictures or DICOM files. Received: none"
    assert faults["notes.txt"] == "must be a picture or a DICOM file. Received: neither"


def test_a_file_that_is_gone_or_damaged_later_is_named(tmp_path):
    gone, damaged = (write_picture(tmp_path / "a" / f"{name}.png") for name in "gd")
    slices = find_inputs([tmp_path / "a"]).series[0].slices
    gone.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-20])
    for one in slices:
        with pytest.raises(ValueError, match=rf"^{one.name}: "):
            one.read()


def test_names_are_relative_to_the_folder_that_all_paths_share(tmp_path):
    one, other = (write_picture(tmp_path / name / "1.png") for name in "ab")
    assert names(find_inputs([one, other, one])) == [["a/1.png"], ["b/1.png"]]
    assert find_inputs([]) == Found((), (), ())


def test_a_series_in_two_folders_is_one_however_the_folders_are_given(tmp_path):
    write_series(tmp_path / "a", upright([0, 5, 10]))
    (tmp_path / "a" / "b").mkdir()
    (tmp_path / "a" / "001.dcm").rename(tmp_path / "a" / "b" / "001.dcm")
    both = [[f"{name}.dcm" for name in ("a/000", "a/b/001", "a/002")]]
    for given in (["a"], ["a", "a/b"], ["a/b", "a"], ["a", "a/b/001.dcm"]):
        found = find_inputs([tmp_path / name for name in given])
        assert (names(found), found.faults) == (both, ())


def test_names_that_are_no_utf8_are_read_as_turkish(tmp_path):
    folder = tmp_path / "a"
    picture = write_picture(folder / "1.png")
    picture.rename(os.fsdecode(os.fsencode(folder) + b"/\xddnme.png"))  # cp1254 of I with a dot
    (series,) = find_inputs([folder]).series
    assert series.slices[0].name == "a/İnme.png"
    np.testing.assert_array_equal(series.slices[0].read().pixels, GREY)


def test_no_pixel_is_decoded_before_it_is_asked_for(tmp_path, monkeypatch):
    write_series(tmp_path / "a", upright([0, 5]))
    write_picture(tmp_path / "a" / "1.png")
    for decoder in ("dicom.decode_words", "pictures.decode_grey", "input_slice.decode_grey"):
        monkeypatch.setattr(f"stroke_tf.reading.{decoder}", None)
    found = find_inputs([tmp_path / "a"])
    assert [len(series.slices) for series in found.series] == [2, 1]
    with pytest.raises(TypeError):
        found.series[0].slices[0].read()


def test_links_in_a_circle_end(tmp_path):
    write_picture(tmp_path / "a" / "1.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert names(find_inputs([tmp_path / "a"])) == [["a/1.png"]]


def test_no_text_of_a_header_leaves(tmp_path):
    spied = of_made_up_person(ct_image(0, (0, 0, 0), GantryDetectorTilt=10))
    whole = to_bytes(spied)
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "1.dcm").write_bytes(whole)
    (folder / "cut.dcm").write_bytes(whole[:-500])
    spied.Modality, spied.SOPClassUID = "MR", pydicom.uid.MRImageStorage
    (folder / "odd.dcm").write_bytes(to_bytes(spied))
    found = find_inputs([folder])
    assert (len(found.series), len(found.faults), len(found.left_out)) == (1, 1, 1)
    said = repr(found) + repr(found.series[0].slices[0].read())
    uids = (spied.StudyInstanceUID, spied.SeriesInstanceUID, spied.SOPInstanceUID)
    assert not [word for word in (*MADE_UP, *uids) if word in said]


def test_thickness_is_half_the_way_to_each_neighbour():
    np.testing.assert_allclose(thickness_of(np.array([0.0, 2, 8]), 0.0), [2, 4, 6])
    np.testing.assert_allclose(thickness_of(np.array([0.0, 5, 10, 210]), 0.0), [5, 5, 12.5, 20])
    np.testing.assert_allclose(thickness_of(np.array([3.0]), 7.0), [7])
    np.testing.assert_allclose(thickness_of(np.array([3.0, 3.0]), 7.0), [3.5, 3.5])
