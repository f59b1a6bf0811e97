import numpy as np
from audit_slices import drawn_head

from stroke_tf.audits.slices import SliceSet
from stroke_tf.audits.views import (
    HEAD,
    OUTSIDE,
    PICTURES,
    equalised,
    head_masks,
    size_numbers,
    window_numbers,
)
from stroke_tf.manifest import FoldRow


def heads():
    images = np.stack([drawn_head(np.random.default_rng(seed), lesion=False) for seed in range(2)])
    return images, head_masks(images)


def test_head_and_outside_part_a_slice():
    images, masks = heads()
    images[:, 2, 2] = 90
    head, outside = (PICTURES[view](images, masks) for view in (HEAD, OUTSIDE))
    assert (head + outside == images).all()
    assert outside[:, 2, 2].tolist() == [90, 90]
    assert (outside > 0).sum() == 2


def test_windows_of_the_same_head_are_equalised():
    image = heads()[0][0]
    dark = (image * 0.7).astype(np.uint8)
    pair = np.stack([image, dark])
    shown = equalised(pair, np.repeat(head_masks(image[None]), 2, axis=0)).astype(int)
    assert np.abs(pair[0].astype(int) - pair[1]).mean() > 15
    assert np.abs(shown[0] - shown[1]).mean() < 1
    assert not shown[:, 0, 0].any()


def row(file, spacing=""):
    return FoldRow("1", "1", "NONE", "0", 0, 20, 30, file, 0, spacing)


def test_size_and_format_are_numbers_without_the_picture():
    images = np.zeros((2, 4, 4), np.uint8)
    rows = row("a.png"), row("b.dcm", "0.5x0.25x5")
    found = size_numbers(SliceSet(images, rows, np.array([False, True])))
    assert found.tolist() == [
        [20, 30, 0, 0, 1, 0, 0, 0],
        [20, 30, 1, 1, 0, 0.5, 0.25, 5],
    ]


def test_window_numbers_end_with_the_mean_and_the_shares_of_black_and_white():
    image = np.array([[[0, 0], [255, 100]]], np.uint8)
    found = window_numbers(SliceSet(image, (row("a.png"),), np.array([False])))
    assert found[0, [0, 8, 9, 10, 11]].tolist() == [0, 255, 88.75, 0.5, 0.25]
