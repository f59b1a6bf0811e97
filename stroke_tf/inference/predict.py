"""Masks of slices of any size, by a model of one input size."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from stroke_tf.config import THREE_WINDOWS, Runtime, Window
from stroke_tf.data import gray_to_rgb, window_hu
from stroke_tf.evaluation.mask_rule import MaskRule, apply_mask_rule
from stroke_tf.fast.runtimes import Outputs, inference
from stroke_tf.labels import MASK, MASK_CLASSES, SLICE
from stroke_tf.square import fit_square, undo_square

Compute: TypeAlias = Callable[[Any], Outputs]
"""What computes a network: of a batch, shape (B, S, S, 3), its outputs, see `inference`."""


def answers(compute: Compute, images: Any, *, mirror: bool = False) -> dict[str, NDArray]:
    """Returns what a network says of a batch, by name: "mask" of pixels, "slice" of slices.

    Args:
        compute: The network. An array it gives has one of the two names by its shape.
        images: Shape (B, S, S, 3), of whole numbers or float32 in [0, 255].
        mirror: Whether to take the mean with what it says of the batch mirrored left to right,
            mirrored back.
    """
    said = _named(compute(images))
    if mirror:
        mirrored = _named(compute(images[:, :, ::-1]))
        if MASK in mirrored:
            mirrored[MASK] = mirrored[MASK][:, :, ::-1]
        said = {name: np.mean([said[name], mirrored[name]], axis=0) for name in said}
    return said


def _named(outputs: Outputs) -> dict[str, NDArray]:
    if isinstance(outputs, dict):
        return dict(outputs)
    return {MASK if outputs.ndim == 4 else SLICE: outputs}


def scaled(rule: MaskRule, zoom: float) -> MaskRule:
    """Returns the rule for slices of `zoom` times the size that it was chosen at."""
    return dataclasses.replace(rule, min_area_px=round(rule.min_area_px * zoom**2))


class Predictor:
    """A segmentation network in inference mode, as a graph that is made once.

    Args:
        model: Takes RGB images, shape (B, S, S, 3), in [0, 255] and gives probabilities of the same
            height and width; alone or, as a joint network, in a dict under "mask". Its weights are
            taken as they are now.
        mirror: Whether to take the mean with what the model says of the batch mirrored left to
            right, mirrored back.
        runtime: What computes it, see `fast.runtimes`.
    """

    def __init__(
        self, model: keras.Model, *, mirror: bool = False, runtime: Runtime = "auto"
    ) -> None:
        self._model, self._mirror = model, mirror
        self._compute = inference(model, runtime=runtime)

    @functools.cached_property
    def _size(self) -> int:
        return _input_size(self._model)  # Keras walks the whole network for it

    def probs(self, images: tf.Tensor) -> NDArray[np.float32]:
        """Returns the probabilities of each pixel of a batch: float32, shape (B, S, S, C)."""
        return self.outputs(images)[MASK]

    def outputs(self, images: tf.Tensor) -> dict[str, NDArray[np.float32]]:
        """Returns all that the network says: "mask" and, by a joint network, "slice"."""
        return answers(self._compute, images, mirror=self._mirror)

    def masks(
        self,
        images: Sequence[np.ndarray],
        *,
        rule: MaskRule | None = None,
        windows: tuple[Window, ...] = THREE_WINDOWS,
        batch_size: int = 8,
    ) -> list[NDArray[np.uint8]]:
        """Returns the mask of each slice at the slice's own size, see `predict_masks`."""
        masks = []
        size = self._size
        for start in range(0, len(images), batch_size):
            some = images[start : start + batch_size]
            batch = np.stack([_as_input(image, size, windows) for image in some])
            for image, probs in zip(some, self.probs(batch), strict=True):
                height, width = image.shape
                whole = undo_square(probs, height=height, width=width)
                fitting = rule and scaled(rule, max(height, width) / size)
                masks.append(apply_mask_rule(whole[None], fitting)[0])
        return masks


def predict_masks(
    model: keras.Model,
    images: Sequence[np.ndarray],
    *,
    rule: MaskRule | None = None,
    mirror: bool = False,
    windows: tuple[Window, ...] = THREE_WINDOWS,
    batch_size: int = 8,
) -> list[NDArray[np.uint8]]:
    """Returns the mask of each slice at the slice's own size.

    A slice is padded with air to a square about its centre and resized to the model's input, as in
    a conversion to records. The probabilities go the way back before pixels become classes.

    Args:
        model: Takes RGB images, shape (B, S, S, 3), in [0, 255] and gives probabilities of
            background, ischaemia and haemorrhage, shape (B, S, S, 3); alone or, as a joint network,
            in a dict under "mask".
        images: Slices, each of any shape (H, W): uint8 grey or int16 HU.
        rule: Which pixels are lesion, its area in pixels of the model's input; with None each pixel
            takes its likeliest class.
        mirror: Whether each slice is seen mirrored too, see `Predictor`.
        windows: HU windows of the channels, (centre, width), for slices in HU.
        batch_size: Slices in a batch.

    Returns:
        Class ids, uint8, each of the shape of its slice.

    Raises:
        ValueError: If the model or a slice is of another kind.
    """
    predictor = Predictor(model, mirror=mirror)
    return predictor.masks(images, rule=rule, windows=windows, batch_size=batch_size)


def _input_size(model: keras.Model) -> int:
    size = model.input_shape[1]
    shapes = model.compute_output_shape(model.input_shape)
    shape = shapes[MASK] if isinstance(shapes, dict) else shapes
    if size is None or shape != (None, size, size, len(MASK_CLASSES)):
        raise ValueError(
            "`model` must have a fixed square input and give 3 classes for each pixel. "
            f"Received: {model.input_shape} to {shape}"
        )
    return int(size)


def _as_input(image: np.ndarray, size: int, windows: tuple[Window, ...]) -> NDArray[np.uint8]:
    if image.ndim != 2 or not image.size or image.dtype not in (np.uint8, np.int16):
        raise ValueError(
            "slices must be uint8 grey or int16 HU of shape (H, W). "
            f"Received: {image.dtype} of shape {image.shape}"
        )
    gray = fit_square(image, size=size)[..., None]
    seen = window_hu(gray, windows) if image.dtype == np.int16 else gray
    return gray_to_rgb(seen) if seen.shape[-1] == 1 else seen
