"""Networks that take raw pixels: the steps before them are part of their graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from stroke_tf.data.rendering import window_hu
from stroke_tf.deploy.description import ModelDescription
from stroke_tf.deploy.model import SCORES
from stroke_tf.deploy.views import ViewMaker
from stroke_tf.labels import MASK, SLICE
from stroke_tf.square import fit_square


class RawModel(keras.Model):
    """A model's networks as one, from raw pixels to named probabilities; of several the mean.

    Takes float32, shape (B, S, S, C): HU, or grey in [0, 255]. C is 1; for the view "neighbours" it
    is 3, the slice between those before and after it; for "upright" 3 as well, that view itself,
    in grey. HU are rounded to whole ones and looked up, which is exact.

    Gives a dict: "mask", shape (B, S, S, 3), and "slice", shape (B, K), its scores, float32.

    Args:
        description: What it is asked and takes; `pixels` is "gray8" or "hu16".
        networks: Take RGB in [0, 255].

    Raises:
        ValueError: If it is not known whether the model takes HU or grey.
    """

    def __init__(self, description: ModelDescription, networks: Sequence[keras.Model]) -> None:
        super().__init__(name="raw_pixels")
        if description.pixels not in ("gray8", "hu16"):
            raise ValueError(
                "a file takes HU or grey, and the model does not say which: `--pixels` must be "
                f"hu16 or gray8. Received: {description.pixels}"
            )
        self.networks = list(networks)
        self._view, self._size = description.view, description.image_size
        self._scores = len(SCORES[description.task])
        self._takes_hu = description.pixels == "hu16" and self._view != "upright"
        self._windows = description.windows

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of the input."""
        return (None, self._size, self._size, 1 if self._view == "windows" else 3)

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """Returns the probabilities of a batch."""
        rgb = self._seen(images)
        said = [self.named(network(rgb, training=training)) for network in self.networks]
        if len(said) == 1:
            return said[0]
        mean = keras.ops.mean
        return {
            name: mean(keras.ops.stack([outputs[name] for outputs in said]), axis=0)
            for name in said[0]
        }

    def named(self, outputs: Any) -> dict[str, Any]:
        """Returns a network's outputs by name; of the output for the slice, only the scores."""
        if not isinstance(outputs, dict):
            outputs = {MASK if len(outputs.shape) == 4 else SLICE: outputs}
        if SLICE not in outputs:
            return dict(outputs)
        return {**outputs, SLICE: outputs[SLICE][..., -self._scores :]}

    def _seen(self, images: Any) -> Any:
        """Returns the input of the networks."""
        if self._takes_hu:
            images = self._windowed(images)
        return images if images.shape[-1] == 3 else keras.ops.concatenate([images] * 3, axis=-1)

    def _windowed(self, hu: Any) -> Any:
        # Whole numbers look up a table: the conversion to 8 bits, which would lose HU, skips them.
        first = math.floor(min(centre - width / 2 for centre, width in self._windows))
        last = math.ceil(max(centre + width / 2 for centre, width in self._windows))
        table = window_hu(np.arange(first, last + 1)[:, None], self._windows).astype(np.float32)
        place = keras.ops.cast(keras.ops.round(hu), "int32")
        place = keras.ops.clip(place, first, last) - first
        if self._view == "neighbours":
            return keras.ops.take(table[:, 0], place, axis=0)
        return keras.ops.take(table, place[..., 0], axis=0)


def raw_and_seen(
    images: Sequence[np.ndarray], description: ModelDescription
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Returns the input of the model's exported file, and that of its networks.

    Args:
        images: N slices, each alone: uint8 grey or int16 HU, shape (H, W).
        description: The model's.

    Returns:
        float32, shape (N, S, S, 1) or (N, S, S, 3), and uint8, shape (N, S, S, 3).

    Raises:
        ValueError: If a slice is of another kind than the model takes.
    """
    seen = np.stack([one.rgb for one in ViewMaker(description, series=False)(images)])
    if description.view == "upright":
        return seen.astype(np.float32), seen
    raw = np.stack([_square(image, description) for image in images])[..., None]
    return raw if description.view == "windows" else np.repeat(raw, 3, axis=-1), seen


def _square(image: np.ndarray, model: ModelDescription) -> NDArray[np.float32]:
    if image.dtype == np.int16 and model.pixels == "gray8":
        image = window_hu(image[..., None], model.windows[:1])[..., 0]
    return fit_square(image, size=model.image_size).astype(np.float32)
