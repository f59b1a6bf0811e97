"""Turns decoded slices into what a model sees, one slice at a time, in 8 bits.

One channel stays one as long as the channels would be equal. Knows nothing of data sets.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import cv2
import numpy as np

from stroke_tf.config import BRAIN, View, Window
from stroke_tf.data.augment import OF_MASKS, change_image, change_mask
from stroke_tf.data.buffers import Buffers
from stroke_tf.data.memory import Slices
from stroke_tf.data.paste import NOTHING, paste_lesion
from stroke_tf.data.selection import neighbours_of
from stroke_tf.reading.hu_values import window_hu
from stroke_tf.records import HU_OFFSET


def gray_to_rgb(gray: np.ndarray) -> np.ndarray:
    """Returns grey, shape (..., 1), in three equal channels."""
    return np.repeat(gray, 3, axis=-1)


def gray_images(slices: Slices, window: Window = BRAIN) -> np.ndarray:
    """Returns slices in 8 bits, shape (N, S, S), those in HU through a window."""
    picture_of, shape = (
        _picture_maker(slices, windows=(window,), view="windows"),
        slices.is_hu.shape,
    )
    images = np.empty((*shape, *slices.images.shape[1:3]), np.uint8)
    for place, image in enumerate(images):
        image[...] = picture_of(place).reshape(image.shape)
    return images


def batch_renderer(
    slices: Slices, *, windows: tuple[Window, ...], view: View, batch_size: int
) -> Callable[..., np.ndarray | tuple[np.ndarray, np.ndarray]]:
    """Returns a function that makes a batch from the places of its slices, donors and a `Change`.

    Donors are the places of the slices whose lesions are pasted in, see `paste_lesion`, and the
    change may be left out. It gives images, uint8, shape (B, S, S, 3), and, if the slices have
    masks, these too: uint8, shape (B, S, S, 1). B is at most `batch_size`. Several threads may call
    it.
    """
    picture_of = _picture_maker(slices, windows=windows, view=view)
    paste = functools.partial(paste_lesion, channel=1 if view == "neighbours" else 0)
    stored_masks, side = slices.masks, slices.images.shape[1:3]
    images_of, masks_of = (Buffers((batch_size, *side, channels)) for channels in (3, 1))

    def render_images(places: np.ndarray, _: np.ndarray, *change: np.ndarray) -> np.ndarray:
        images = images_of.take(len(places))
        for image, place, *drawn in zip(images, places, *change, strict=True):
            picture = picture_of(place)
            _put_rgb(change_image(picture, *drawn) if drawn else picture, image)
        return images

    if stored_masks is None:
        return render_images

    def render_both(
        places: np.ndarray, donors: np.ndarray, *change: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        images, masks = images_of.take(len(places)), masks_of.take(len(places))
        for image, mask, place, donor, *drawn in zip(
            images, masks, places, donors, *change, strict=True
        ):
            picture, shown = picture_of(place), stored_masks[place]
            if donor != NOTHING:
                picture, shown = paste(
                    picture, shown, picture_of(donor), stored_masks[donor], (place, donor)
                )
            _put_rgb(change_image(picture, *drawn) if drawn else picture, image)
            mask[...] = change_mask(shown, *drawn[:OF_MASKS]) if drawn else shown
        return images, masks

    return render_both


def _picture_maker(
    slices: Slices, *, windows: tuple[Window, ...], view: View
) -> Callable[[int], np.ndarray]:
    """Returns a function that gives a slice by its place: uint8, (S, S), (S, S, 1) or (S, S, 3)."""
    # A table of all stored values: OpenCV looks up 16 bits in a third of the time of NumPy.
    values = np.arange(2**16)[:, None] - HU_OFFSET
    tables = [np.ascontiguousarray(table) for table in window_hu(values, windows).T]

    def gray_of(place: int) -> np.ndarray:
        image = slices.images[place]
        if not slices.is_hu[place]:
            return image.astype(np.uint8, copy=False)
        return cv2.merge([cv2.LUT(image, table) for table in tables])

    if view != "neighbours":
        return gray_of
    around = neighbours_of(slices.rows)
    return lambda place: cv2.merge([gray_of(near) for near in around[place]])


def _put_rgb(image: np.ndarray, target: np.ndarray) -> None:
    """Writes a picture of one channel or three, uint8, into a contiguous one of three."""
    if image.ndim == 3 and image.shape[2] == 3:
        target[...] = image
    else:
        cv2.cvtColor(image, cv2.COLOR_GRAY2RGB, dst=target)
