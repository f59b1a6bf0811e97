import cv2
import numpy as np
import pytest

from stroke_tf.data.head_mask import head_mask, whole_head


def head(size=128):
    """Returns a bright skull around a darker brain with a black ventricle, and where it is."""
    image, truth = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    centre, axes = (size // 2, size // 2 - 4), (size // 4, size // 3)
    cv2.ellipse(truth, centre, axes, 0, 0, 360, 1, -1)
    image[truth > 0] = 120
    cv2.ellipse(image, centre, axes, 0, 0, 360, 255, 3)
    cv2.circle(image, centre, size // 12, 0, -1)
    cv2.ellipse(truth, centre, axes, 0, 0, 360, 1, 3)
    return image, truth


def overlap(found, truth):
    return (found & truth).sum() / (found | truth).sum()


def test_holes_belong_to_the_head_and_a_rest_and_writing_do_not():
    image, truth = head()
    cv2.line(image, (20, 122), (108, 122), 200, 2)  # the table
    cv2.putText(image, "R 12", (4, 14), cv2.FONT_HERSHEY_PLAIN, 0.7, 255)
    found = head_mask(image)
    assert set(np.unique(found)) == {0, 1}
    assert overlap(found, truth) > 0.95
    assert found[118:].sum() == found[:16, :40].sum() == 0


@pytest.mark.parametrize("size", [64, 97, 256])
def test_the_head_is_found_at_any_size(size):
    image, truth = head(size)
    assert overlap(head_mask(image), truth) > 0.93


def test_a_dark_slice_has_no_head():
    assert not head_mask(np.full((64, 64), 30, np.uint8)).any()


def test_a_nose_hangs_on_the_whole_head_and_a_table_does_not():
    image, truth = head()
    cv2.rectangle(image, (62, 4), (65, 24), 110, -1)  # too thin for the head mask
    cv2.line(image, (20, 122), (108, 122), 200, 2)
    whole = whole_head(image)
    assert whole[truth > 0].all()
    assert whole[6:24, 62:66].all() and not head_mask(image)[4:12].any()
    assert not whole[120:].any()


def test_where_no_head_is_found_all_is_head():
    assert whole_head(np.zeros((32, 32), np.uint8)).all()
