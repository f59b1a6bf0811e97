import cv2
import numpy as np
import pytest
from dicom_files import phantom_hu

from data_tools.same_picture import check_same_picture
from stroke_tf.reading.hu_values import grey_view

HU = phantom_hu(256)
WINDOWS = [(40, 80), (28, 60), (300, 1500), (40, 400)]
TURNS = {
    "mirrored left to right": lambda image: image[:, ::-1],
    "upside down": lambda image: image[::-1],
    "turned by 180 degrees": lambda image: image[::-1, ::-1],
    "turned by 90 degrees": lambda image: np.rot90(image),
    "turned by 270 degrees": lambda image: np.rot90(image, 3),
    "transposed": lambda image: image.T,
    "transposed and turned": lambda image: image.T[::-1, ::-1],
}


def fault(hu, grey):
    with pytest.raises(ValueError, match=r"^1\.png: must show the slice of its DICOM") as caught:
        check_same_picture(hu, grey, name="1.png")
    return str(caught.value)


@pytest.mark.parametrize("window", WINDOWS)
def test_any_window_of_the_slice_is_the_same_picture(window):
    grey = grey_view(HU, window=window)
    check_same_picture(HU, grey, name="1.png")
    check_same_picture(HU, 255 - grey, name="1.png")
    jpeg = cv2.imdecode(cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 0)
    check_same_picture(HU, jpeg, name="1.png")


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("turn", TURNS)
def test_a_mirrored_or_turned_picture_is_a_fault(window, turn):
    assert turn in fault(HU, TURNS[turn](grey_view(HU, window=window)))


@pytest.mark.parametrize("z_mm", [40.0, 70.0])
def test_another_slice_or_head_is_a_fault(z_mm):
    for other in (phantom_hu(256, z_mm=z_mm), phantom_hu(256, seed=1)):
        fault(HU, grey_view(other))


@pytest.mark.parametrize("size", [128, 200, 512])
def test_a_picture_of_another_size_is_compared(size):
    grey = cv2.resize(grey_view(HU), (size, size), interpolation=cv2.INTER_AREA)
    check_same_picture(HU, grey, name="1.png")
    fault(HU, grey[:, ::-1])
    with pytest.raises(ValueError, match=r"1.png: must have the shape of its DICOM file"):
        check_same_picture(HU, grey[: size // 2], name="1.png")


def test_a_picture_of_one_grey_is_air():
    black = np.zeros_like(HU, np.uint8)
    check_same_picture(np.full_like(HU, -1000), black, name="1.png")
    fault(HU, black)


def test_wide_pictures_are_compared():
    check_same_picture(HU[::2], grey_view(HU[::2]), name="1.png")
    fault(HU[::2], grey_view(HU[::2])[:, ::-1])
