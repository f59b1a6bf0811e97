import cv2
import numpy as np
import pytest

from stroke_tf.reading.hu_values import check_hu, hu_of_16_bits
from stroke_tf.reading.pictures import decode_16_bits


def encoded(suffix, array):
    return cv2.imencode(suffix, array)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_hu(suffix):
    values = np.array([[24, 1064], [1024, 3000]], np.uint16)
    found = decode_16_bits(encoded(suffix, values), name="x")
    assert hu_of_16_bits(found, offset=1024, name="x").tolist() == [[-1000, 40], [0, 1976]]


def test_a_picture_of_8_bits_has_no_values_of_16():
    assert decode_16_bits(encoded(".png", np.ones((2, 2), np.uint8)), name="x") is None


@pytest.mark.parametrize("values", [[0, 255], [24, 1064], [-1000, 40000], [np.nan, -1000]])
def test_what_cannot_be_hu_is_refused(values):
    with pytest.raises(ValueError, match="x: must hold HU, air near -1000. Received: "):
        check_hu(np.array(values, np.float64), name="x")
