"""Views that a classifier sees in place of the whole slice: parts of it, or numbers alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath

import cv2
import numpy as np
from numpy.typing import NDArray

from stroke_tf.audits.plain import small_pixels
from stroke_tf.audits.slices import SliceSet
from stroke_tf.data.head_mask import whole_head
from stroke_tf.evaluation.baselines import histogram_features

FULL, HEAD, OUTSIDE = "full picture", "head alone", "outside of the head alone"
OUTLINE, EQUALISED = "outline of the head alone", "windows equalised"
THUMBNAIL, HISTOGRAM = "16 x 16 thumbnail", "grey histogram"
WINDOW, SIZE = "window alone", "size and format alone"
_SIDE = 16
_PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)

Images = NDArray[np.uint8]


def head_masks(images: Images) -> Images:
    """Returns uint8 1 in the head of each slice and a rim around it, see `whole_head`."""
    return np.stack([whole_head(image) for image in images])


def equalised(images: Images, heads: Images) -> Images:
    """Returns slices whose heads all have the same share of each grey; the order of greys stays.

    The greys of each head are matched to the mean histogram of all heads. What is black stays so.
    """
    counts = np.stack(
        [
            np.bincount(image[(head > 0) & (image > 0)], minlength=256)
            for image, head in zip(images, heads, strict=True)
        ]
    )
    reached = np.cumsum(counts / counts.sum(axis=1, keepdims=True).clip(1), axis=1)
    wanted = reached.mean(axis=0)
    tables = np.stack([np.interp(shares, wanted, np.arange(256)) for shares in reached])
    tables[:, 0] = 0
    pairs = zip(images, tables.round().astype(np.uint8), strict=True)
    return np.stack([cv2.LUT(image, table) for image, table in pairs])


PICTURES: dict[str, Callable[[Images, Images], Images]] = {
    FULL: lambda images, heads: images,
    HEAD: lambda images, heads: images * heads,
    OUTSIDE: lambda images, heads: images * (1 - heads),
    OUTLINE: lambda images, heads: heads * np.uint8(255),
    EQUALISED: equalised,
}
"""Views that are pictures, of slices and their heads: each is seen through the frozen network."""


def window_numbers(slices: SliceSet) -> NDArray[np.float32]:
    """Returns percentiles of each slice's greys, their mean, and the shares of black and white."""
    pixels = slices.images.reshape(len(slices.images), -1)
    shares = [(pixels == grey).mean(axis=1) for grey in (0, 255)]
    percentiles = np.percentile(pixels, _PERCENTILES, axis=1)
    return np.stack([*percentiles, pixels.mean(axis=1), *shares], axis=1).astype(np.float32)


def size_numbers(slices: SliceSet) -> NDArray[np.float32]:
    """Returns the size and spacing of each slice before its conversion, and its file's format."""
    rows = slices.rows
    suffixes = np.array([PurePath(row.file).suffix.lower() for row in rows])
    formats = [suffixes == suffix for suffix in sorted(set(suffixes))]
    spacings = [[float(number) for number in row.spacing_mm.split("x") if number] for row in rows]
    columns = [
        [row.width for row in rows],
        [row.height for row in rows],
        slices.is_hu,
        *formats,
        *[[(*spacing, 0.0, 0.0, 0.0)[axis] for spacing in spacings] for axis in range(3)],
    ]
    return np.stack(columns, axis=1).astype(np.float32)


NUMBERS: dict[str, Callable[[SliceSet], NDArray[np.float32]]] = {
    THUMBNAIL: lambda slices: small_pixels(slices.images, side=_SIDE),
    HISTOGRAM: lambda slices: histogram_features(slices.images).astype(np.float32),
    WINDOW: window_numbers,
    SIZE: size_numbers,
}
"""Views that are numbers, which the classifier sees as they are."""
