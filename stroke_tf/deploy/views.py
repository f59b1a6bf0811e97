"""Turns slices of any size into what a network sees, one after the other, as in training.

Knows nothing of networks or files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stroke_tf.config import BRAIN, Window
from stroke_tf.data.rendering import gray_to_rgb, window_hu
from stroke_tf.data.upright import HEAD_SIZE, upright_heads
from stroke_tf.deploy.description import ModelDescription
from stroke_tf.records import Pixels
from stroke_tf.square import fit_square


class Seen(NamedTuple):
    """A slice as a network sees it.

    Attributes:
        shape: Height and width of the slice.
        rgb: uint8, shape (S, S, 3).
        move: float64, shape (2, 3): how the slice, padded to a square, came to lie upright, see
            `upright_heads`; None where it lies as it did.
    """

    shape: tuple[int, int]
    rgb: NDArray[np.uint8]
    move: NDArray[np.float64] | None = None


def pixels_of(image: np.ndarray) -> Pixels:
    """Returns the kind of pixels that a slice holds.

    Raises:
        ValueError: If it is not uint8 grey or int16 HU of shape (H, W).
    """
    if image.ndim != 2 or not image.size or image.dtype not in (np.uint8, np.int16):
        raise ValueError(
            "slices must be uint8 grey or int16 HU of shape (H, W). "
            f"Received: {image.dtype} of shape {image.shape}"
        )
    return "gray8" if image.dtype == np.uint8 else "hu16"


class ViewMaker:
    """Turns slices into what the networks of a model see.

    Args:
        description: The model's.
        series: Whether slices are those of one series in their order; else each stands alone.
    """

    def __init__(self, description: ModelDescription, *, series: bool) -> None:
        self._model, self._series = description, series
        self._tables = _tables(description.windows)
        self._brain = _tables((BRAIN,))

    def __call__(self, images: Iterable[np.ndarray]) -> Iterator[Seen]:
        """Yields each slice as the networks see it, in order.

        Raises:
            ValueError: If a slice is of another kind than the model takes.
        """
        view = self._model.view
        if view == "upright":
            return self._upright(images)
        if view == "neighbours" and self._series:
            return _between_neighbours(self._seen(image) for image in images)
        return (self._seen(image) for image in images)

    def _seen(self, image: np.ndarray) -> Seen:
        size, kind = self._model.image_size, _checked(image, self._model)
        if kind == "hu16" and self._model.pixels == "gray8":
            image = _windowed(image, self._tables)[..., 0]
        channels = fit_square(image, size=size)[..., None]
        if channels.dtype == np.int16:
            channels = _windowed(channels[..., 0], self._tables)
        rgb = gray_to_rgb(channels) if channels.shape[-1] == 1 else channels
        return Seen((image.shape[0], image.shape[1]), rgb)

    def _upright(self, images: Iterable[np.ndarray]) -> Iterator[Seen]:
        size = self._model.image_size
        for together in [images] if self._series else ([image] for image in images):
            shapes, greys = [], []
            for image in together:
                shapes.append((image.shape[0], image.shape[1]))
                greys.append(self._brain_grey(image))
            if greys:  # else a series without slices
                views, moves = upright_heads(np.stack(greys), [""] * len(greys), size=size)
                yield from map(Seen, shapes, views, moves)

    def _brain_grey(self, image: np.ndarray) -> NDArray[np.uint8]:
        size = round(HEAD_SIZE * self._model.image_size)
        if _checked(image, self._model) == "hu16" and self._model.pixels == "gray8":
            image = _windowed(image, self._brain)[..., 0]
        fitted = fit_square(image, size=size)
        return _windowed(fitted, self._brain)[..., 0] if fitted.dtype == np.int16 else fitted


def _checked(image: np.ndarray, model: ModelDescription) -> Pixels:
    kind = pixels_of(image)
    if kind == "gray8" and model.pixels == "hu16":
        raise ValueError(
            "slices must be int16 HU: the model was trained on HU, which an 8-bit picture does not "
            "hold any more. Received: uint8 grey"
        )
    return kind


def _tables(windows: tuple[Window, ...]) -> list[NDArray[np.uint8]]:
    """Returns the grey of every stored value of 16 bits through each window."""
    values = np.arange(2**16).astype(np.uint16).view(np.int16)[:, None]
    return [np.ascontiguousarray(table) for table in window_hu(values, windows).T]


def _windowed(hu: np.ndarray, tables: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Returns int16 HU, shape (H, W), as grey, shape (H, W, number of tables)."""
    stored = np.ascontiguousarray(hu).view(np.uint16)
    return np.stack([cv2.LUT(stored, table) for table in tables], axis=-1)


def _between_neighbours(seen: Iterable[Seen]) -> Iterator[Seen]:
    """Yields each slice between those before and after it; the ends stand in for what they lack."""
    around: list[Seen] = []
    for one in seen:
        around = [*around, one] if around else [one, one]
        if len(around) == 3:
            yield _merged(around)
            around = around[1:]
    if around:
        yield _merged([*around, around[-1]])


def _merged(around: list[Seen]) -> Seen:
    return Seen(around[1].shape, np.stack([one.rgb[..., 0] for one in around], axis=-1))
