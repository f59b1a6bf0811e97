import cv2
import numpy as np
import pytest
from trees import read_slice

from data_tools.scan import SliceFiles
from data_tools.slices import Reading, Slice
from data_tools.sources import find_slices
from stroke_tf.labels import StrokeType
from stroke_tf.reading.hu_values import grey_view


def files(**changes):
    values = {
        "source_id": "1",
        "stroke_type": StrokeType.NONE,
        "picture": "1.png",
        "dicom": None,
        "mask": None,
        "overlay": None,
        "mask_kind": "class-colours",
        "patient": None,
        "stage": None,
    }
    return SliceFiles(**{**values, **changes})


def colours(shape, value):
    mask = np.zeros((*shape, 3), np.uint8)
    mask[2:4, 2:5] = value[::-1]  # cv2 writes BGR
    return mask


BLUE, GREEN = (0, 0, 255), (0, 255, 0)


@pytest.fixture
def folder(tmp_path):
    grey = np.arange(80, dtype=np.uint8).reshape(8, 10)
    cv2.imwrite(str(tmp_path / "1.png"), grey)
    cv2.imwrite(str(tmp_path / "none.png"), np.zeros((8, 10, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "blue.png"), colours((8, 10), BLUE))
    cv2.imwrite(str(tmp_path / "small.png"), colours((6, 6), GREEN))
    return tmp_path


def read(folder, **changes):
    return read_slice(folder, files(**changes), Reading(patient_key=b"key"))


def test_a_grey_png_is_read_as_it_is(folder):
    found = read(folder)
    assert isinstance(found, Slice)
    assert found.image.tolist() == np.arange(80).reshape(8, 10).tolist()
    assert (found.mask, found.pixels) == (None, "gray8")


def test_mask_colours_become_class_ids(folder):
    found = read(folder, stroke_type=StrokeType.ISCHEMIA, mask="blue.png")
    assert found.mask.sum() == 6
    assert found.mask[2:4, 2:5].tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize("label", [None, StrokeType.UNSPECIFIED])
def test_an_unknown_type_is_read_from_the_mask(folder, label):
    assert read(folder, stroke_type=label, mask="blue.png").stroke_type == StrokeType.ISCHEMIA
    assert read(folder, stroke_type=None, mask="none.png").stroke_type == StrokeType.NONE


@pytest.mark.parametrize(
    ("label", "mask"), [(StrokeType.NONE, "blue.png"), (StrokeType.ISCHEMIA, "none.png")]
)
def test_a_mask_that_contradicts_the_label_is_a_fault(folder, label, mask):
    (fault,) = read(folder, stroke_type=label, mask=mask)
    assert fault.file == mask
    assert "just when its slice is labelled" in fault.reason


def test_a_mask_of_another_size_is_a_fault(folder):
    (fault,) = read(folder, stroke_type=StrokeType.HEMORRHAGE, mask="small.png")
    assert fault.file == "small.png"
    assert "size of its picture, (8, 10). Received: (6, 6)" in fault.reason


def test_a_mask_of_another_class_than_its_slice_is_a_fault(folder):
    (fault,) = read(folder, stroke_type=StrokeType.HEMORRHAGE, mask="blue.png")
    assert fault.file == "blue.png"
    assert "class of its slice, HEMORRHAGE. Received: ISCHEMIA alone, 6 pixels" in fault.reason
    both = colours((8, 10), BLUE)
    both[6, 6] = GREEN
    cv2.imwrite(str(folder / "both.png"), both)
    for label in (StrokeType.HEMORRHAGE, StrokeType.ISCHEMIA, StrokeType.UNSPECIFIED):
        assert isinstance(read(folder, stroke_type=label, mask="both.png"), Slice)


@pytest.mark.parametrize(
    ("overlay", "reason"),
    [
        ("none.png", "must show its picture outside the paint"),
        ("plain.png", "must show the lesions of its mask. Received: 6 of 6 pixels of mask"),
        ("small.png", "size of its picture, (8, 10). Received: (6, 6)"),
        ("text.png", "must be a PNG, JPEG, BMP, TIFF or WebP"),
    ],
)
def test_an_overlay_must_fit_although_the_mask_is_taken(folder, overlay, reason):
    (folder / "text.png").write_text("no picture")
    plain = cv2.cvtColor(cv2.imread(str(folder / "1.png"), 0), cv2.COLOR_GRAY2BGR)
    cv2.imwrite(str(folder / "plain.png"), plain)
    plain[2:4, 2:5] = BLUE[::-1]
    cv2.imwrite(str(folder / "right.png"), plain)
    options = {"stroke_type": StrokeType.ISCHEMIA, "mask": "blue.png"}
    (fault,) = read(folder, overlay=overlay, **options)
    assert fault.file == overlay
    assert reason in fault.reason
    assert read(folder, overlay="right.png", **options).mask.sum() == 6


def test_all_faults_of_a_slice_are_named(folder):
    (folder / "1.png").write_bytes(b"")
    (folder / "blue.png").write_bytes(b"not a picture")
    faults = read(folder, stroke_type=StrokeType.ISCHEMIA, mask="blue.png")
    assert [fault.file for fault in faults] == ["1.png", "blue.png"]


def test_a_broken_link_is_a_fault(folder):
    (folder / "1.png").unlink()
    (folder / "1.png").symlink_to(folder / "gone.png")
    (fault,) = read(folder)
    assert fault.reason == "must be readable. Received: No such file or directory"


def test_a_binary_mask_takes_the_class_of_its_slice(folder):
    white = np.zeros((8, 10), np.uint8)
    white[:2] = 255
    cv2.imwrite(str(folder / "white.png"), white)
    found = read(folder, stroke_type=StrokeType.HEMORRHAGE, mask="white.png", mask_kind="binary")
    assert np.unique(found.mask).tolist() == [0, 2]
    (fault,) = read(folder, stroke_type=StrokeType.NONE, mask="white.png", mask_kind="binary")
    assert "white in a mask must be of the slice's label" in fault.reason


def test_grey_view_windows_hu():
    hu = np.array([[-1000, 0, 40, 80, 3000]], np.int16)
    assert grey_view(hu).tolist() == [[0, 0, 128, 255, 255]]  # brain 40/80
    grey = hu.astype(np.uint8)
    assert grey_view(grey) is grey


def test_real_dicom_reads_to_hu(open_data):
    source = find_slices(open_data / "dicom_ge_head")
    reading = Reading(patient_key=b"key")
    slices = [read_slice(source.root, files, reading) for files in source.slices]
    assert len(slices) == 28
    for found in slices:
        assert found.pixels == "hu16"
        assert found.image.shape == (512, 512)
        assert found.image.min() >= -1024
        assert found.image[0, 0] == -1000  # padding in the corners is air
        assert found.windows[0][0] == 35
    assert len({found.patient for found in slices}) == 1
