import cv2
import numpy as np
import pytest

from stroke_tf.reading.other_pictures import as_png, check_hu, hu_of_16_bits, is_16_bit_png
from stroke_tf.reading.pictures import decode_colours, decode_grey


def encoded(suffix, array):
    return cv2.imencode(suffix, array)[1].tobytes()


@pytest.mark.parametrize("suffix", [".bmp", ".tiff"])
def test_other_formats_become_png_of_the_same_pixels(suffix):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    assert (decode_grey(as_png(encoded(suffix, grey), name="x"), name="x") == grey).all()
    colours = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    rgb = decode_colours(as_png(encoded(suffix, colours), name="x"), name="x")
    assert (rgb == colours[..., ::-1]).all()


@pytest.mark.parametrize("data", [b"", b"text", encoded(".png", np.ones((2, 2), np.uint8))])
def test_other_bytes_stay_as_they_are(data):
    assert as_png(data, name="x") == data


def test_several_pictures_in_one_file_are_refused():
    pages = [np.ones((4, 4), np.uint8)] * 2
    data = cv2.imencodemulti(".tiff", pages)[1].tobytes()
    with pytest.raises(ValueError, match=r"x: must be one picture .* Received: 2 of 4x4"):
        as_png(data, name="x")


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_hu(suffix):
    values = np.array([[24, 1064], [1024, 3000]], np.uint16)
    data = as_png(encoded(suffix, values), name="x")
    assert is_16_bit_png(data)
    assert hu_of_16_bits(data, offset=1024, name="x").tolist() == [[-1000, 40], [0, 1976]]


@pytest.mark.parametrize("values", [[0, 255], [24, 1064], [-1000, 40000], [np.nan, -1000]])
def test_what_cannot_be_hu_is_refused(values):
    with pytest.raises(ValueError, match="x: must hold HU, air near -1000. Received: "):
        check_hu(np.array(values, np.float64), name="x")
