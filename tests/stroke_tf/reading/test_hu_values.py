import cv2
import numpy as np
import pytest

from stroke_tf.reading.hu_values import hu_of_16_bits, hu_of_volume
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


HEAD = np.full((3, 40, 40), -1000)
HEAD[1:, 10:30, 10:30] = 30  # the first slice lies above the head


def test_padding_of_a_volume_becomes_air():
    volume = HEAD.copy()
    volume[:, :, :3] = -3024
    assert np.array_equal(hu_of_volume(volume, name="x"), HEAD)


@pytest.mark.parametrize(("shift", "scale"), [(1024, 1), (-1024, 1), (0, 2.5), (0, -1)], ids=str)
def test_a_volume_that_shows_no_head_in_hu_is_refused(shift, scale):
    with pytest.raises(ValueError, match="x: must show a head in HU.*Received: HU "):
        hu_of_volume(HEAD * scale + shift, name="x")


def test_sixteen_bits_of_another_offset_are_refused():
    noise = np.random.default_rng(0).integers(0, 20, HEAD[1].shape)
    with pytest.raises(ValueError, match="x: must show a head in HU.*Received: HU "):
        hu_of_16_bits((HEAD[1] + noise + 1024).astype(np.uint16), offset=2048, name="x")


@pytest.mark.parametrize("values", [[24, 1064], [-1000, 200]])
def test_a_volume_without_a_head_is_refused(values):
    with pytest.raises(ValueError, match="x: must show a head in HU"):
        hu_of_volume(np.array(values, np.float64).reshape(1, 1, 2), name="x")


@pytest.mark.parametrize("values", [[-1000, 40000], [np.nan, -1000]])
def test_what_cannot_be_hu_is_refused(values):
    with pytest.raises(ValueError, match="x: must hold HU, air near -1000. Received: "):
        hu_of_volume(np.array(values, np.float64).reshape(1, 1, 2), name="x")
