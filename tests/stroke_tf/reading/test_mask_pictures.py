import cv2
import numpy as np
import pytest

from stroke_tf.reading.mask_pictures import files_by_id, read_mask, write_mask

MASK = np.array([[0, 1, 2], [2, 0, 0]], np.uint8)


def test_a_mask_is_written_in_the_colours_of_the_organisers_and_read_back(tmp_path):
    path = tmp_path / "masks" / "10001.png"
    write_mask(path, MASK)
    bgr = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert bgr.shape == (2, 3, 3)  # 24 bits, no alpha
    assert bgr[0].tolist() == [[0, 0, 0], [255, 0, 0], [0, 255, 0]]
    np.testing.assert_array_equal(read_mask(path), MASK)
    assert [file.name for file in path.parent.iterdir()] == ["10001.png"]


def test_an_empty_mask_is_a_black_picture(tmp_path):
    write_mask(tmp_path / "1.png", np.zeros((5, 7), np.uint8))
    np.testing.assert_array_equal(read_mask(tmp_path / "1.png"), np.zeros((5, 7)))


@pytest.mark.parametrize("mask", [MASK.astype(np.int64), MASK[None], MASK + np.uint8(1)])
def test_what_is_no_mask_is_not_written(tmp_path, mask):
    with pytest.raises(ValueError, match="1.png: a mask must be uint8 of shape"):
        write_mask(tmp_path / "1.png", mask)
    assert not list(tmp_path.iterdir())


def test_other_colours_are_refused_by_name(tmp_path):
    cv2.imwrite(str(tmp_path / "7.png"), np.full((2, 2, 3), 9, np.uint8))
    with pytest.raises(ValueError, match="7.png: mask colours must be"):
        read_mask(tmp_path / "7.png")


def test_files_are_found_by_id_in_order(tmp_path):
    for name in ("b.PNG", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    assert list(files_by_id(tmp_path)) == ["a", "b"]
    with pytest.raises(FileNotFoundError, match="must be a folder of PNG files"):
        files_by_id(tmp_path / "nowhere")
