"""Small data sets in the organisers' layout, made of real files."""

import cv2
import numpy as np

from data_tools.slices import read_slices

SIDE = 80
LESION = (slice(30, 44), slice(25, 50))
"""Rows and columns of each lesion."""


def write_png(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), array)


def head(random, side=SIDE):
    """A grey disc with its own pattern: no two are near-duplicates."""
    y, x = np.mgrid[:side, :side] - side / 2
    inside = x**2 + y**2 < (side * 0.45) ** 2
    coarse = random.integers(40, 220, (12, 12)).astype(np.uint8)
    return np.where(inside, cv2.resize(coarse, (side, side)), 0).astype(np.uint8)


def write_slice(root, folder, source_id, random, *, side=SIDE, area=LESION):
    """Writes PNG and, for a lesion class, MASK and OVERLAY as the organisers do."""
    grey = head(random, side)
    rgba = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    base = root / "TRAINING" / folder
    write_png(base / "PNG" / f"{source_id}.png", rgba)
    if folder == "INMEYOK":
        return
    colour = (255, 0, 0) if folder == "ISKEMI" else (0, 255, 0)  # BGR
    lesion = np.zeros((side, side), np.uint8)
    lesion[area] = 1
    border = cv2.dilate(lesion, np.ones((3, 3))) - cv2.erode(lesion, np.ones((3, 3)))
    overlay = rgba.copy()
    overlay[lesion > 0, :3] = (overlay[lesion > 0, :3] * 0.5 + np.array([0, 0, 127.5])).round()
    overlay[border > 0, :3] = colour
    write_png(base / "OVERLAY" / f"{source_id}.png", overlay)
    write_png(base / "MASK" / f"{source_id}.png", lesion[..., None] * np.array(colour, np.uint8))


def write_tree(root, *, none=20, ischemia=10, hemorrhage=10, seed=0, **options):
    random = np.random.default_rng(seed)
    source_id = 10000
    for folder, count in (("INMEYOK", none), ("ISKEMI", ischemia), ("KANAMA", hemorrhage)):
        for _ in range(count):
            write_slice(root, folder, str(source_id), random, **options)
            source_id += 1
    return root


def read_slice(root, files, reading):
    """Returns the slice of a file that holds one, or its faults."""
    ((_, read),) = read_slices(root, files, reading)
    return read
