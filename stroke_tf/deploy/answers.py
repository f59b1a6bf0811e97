"""Scores and masks of arrays or files, one or many, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias, overload

import keras
import numpy as np
from numpy.typing import NDArray

from stroke_tf.config import THREE_WINDOWS, Window
from stroke_tf.deploy.load import described
from stroke_tf.deploy.model import StrokeModel, score_names
from stroke_tf.evaluation.mask_rule import MaskRule
from stroke_tf.fast.runtimes import inference
from stroke_tf.reading.pictures import decode_grey, is_picture_start

Picture: TypeAlias = np.ndarray | Path | str
"""A slice: uint8 grey or int16 HU of shape (H, W), or a PNG, JPEG or DICOM file of one slice."""


@overload
def predict_scores(  # type: ignore[overload-overlap]  # a str is a sequence of str
    model: StrokeModel | keras.Model, images: Picture, *, batch_size: int = ...
) -> dict[str, float]: ...


@overload
def predict_scores(
    model: StrokeModel | keras.Model, images: Sequence[Picture], *, batch_size: int = ...
) -> list[dict[str, float]]: ...


def predict_scores(
    model: StrokeModel | keras.Model,
    images: Picture | Sequence[Picture],
    *,
    batch_size: int = 8,
) -> dict[str, float] | list[dict[str, float]]:
    """Returns the scores of a slice, or of each of several independent slices.

    Args:
        model: What `load_model` gives, or a network that scores slices: one with a single output
            is taken for a detector.
        images: One slice or several, see `Picture`.
        batch_size: Slices in a batch.

    Returns:
        Probabilities in [0, 1] by name, see `SlicePrediction`; a list for several slices.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If the model gives no scores, or a slice is of another kind than it takes.

    Example:
        >>> import numpy as np
        >>> from stroke_tf import load_model, predict_scores
        >>> model = load_model("results/classifier/mobilenetv2-s0")
        >>> scores = predict_scores(model, np.zeros((512, 480), np.uint8))
        >>> 0 <= scores["stroke"] <= 1
        True
    """
    model = _whole(model)
    if not score_names(model.description):
        raise ValueError("`model` must give scores of slices. Received: task segment")
    found = [one.scores for one in model.predict(_arrays(images), batch_size=batch_size)]
    return found[0] if _is_one(images) else found


@overload
def predict_masks(  # type: ignore[overload-overlap]  # as above
    model: StrokeModel | keras.Model,
    images: Picture,
    *,
    rule: MaskRule | None = ...,
    mirror: bool = ...,
    windows: tuple[Window, ...] = ...,
    batch_size: int = ...,
) -> NDArray[np.uint8]: ...


@overload
def predict_masks(
    model: StrokeModel | keras.Model,
    images: Sequence[Picture],
    *,
    rule: MaskRule | None = ...,
    mirror: bool = ...,
    windows: tuple[Window, ...] = ...,
    batch_size: int = ...,
) -> list[NDArray[np.uint8]]: ...


def predict_masks(
    model: StrokeModel | keras.Model,
    images: Picture | Sequence[Picture],
    *,
    rule: MaskRule | None = None,
    mirror: bool = False,
    windows: tuple[Window, ...] = THREE_WINDOWS,
    batch_size: int = 8,
) -> NDArray[np.uint8] | list[NDArray[np.uint8]]:
    """Returns the mask of a slice, or of each of several, at the slice's own size.

    A slice is padded with air to a square about its centre and resized to the model's input, as in
    a conversion to records. The probabilities go the way back before pixels become classes.

    Args:
        model: What `load_model` gives, which has its own rule, windows and mirroring; or a network
            that takes RGB images, shape (B, S, S, 3), in [0, 255] and gives probabilities of
            background, ischaemia and haemorrhage, shape (B, S, S, 3); alone or, as a joint network,
            in a dict under "mask".
        images: One slice or several, see `Picture`.
        rule: For a network: which pixels are lesion, its area in pixels of the model's input; with
            None each pixel takes its likeliest class.
        mirror: For a network: whether each slice is seen mirrored too.
        windows: For a network: HU windows of the channels, (centre, width), for slices in HU.
        batch_size: Slices in a batch.

    Returns:
        Class ids, uint8, of the shape of its slice; a list for several slices.

    Raises:
        OSError: If a file cannot be read.
        ValueError: If the model draws no masks, or a slice is of another kind than it takes.

    Example:
        >>> import numpy as np
        >>> from stroke_tf import load_model, predict_masks
        >>> model = load_model("results/unet/mobilenetv2-s0")
        >>> mask = predict_masks(model, np.zeros((512, 480), np.uint8))
        >>> mask.shape
        (512, 480)
    """
    model = _whole(model, mask_rule=rule, windows=windows, mirror=mirror)
    if not model.description.draws_masks:
        raise ValueError(
            f"`model` must give 3 classes for each pixel. Received: task {model.description.task}"
        )
    found = [one.mask for one in model.predict(_arrays(images), batch_size=batch_size)]
    masks = [mask for mask in found if mask is not None]
    return masks[0] if _is_one(images) else masks


def _whole(model: StrokeModel | keras.Model, **known: object) -> StrokeModel:
    """Returns a model with its description; that of a network is what it says of itself."""
    if isinstance(model, StrokeModel):
        return model
    description = described(model, name="`model`", **known)
    return StrokeModel(description, [inference(model)], mirror=description.mirror, networks=[model])


def _is_one(images: Picture | Sequence[Picture]) -> bool:
    return isinstance(images, (str, Path)) or (isinstance(images, np.ndarray) and images.ndim == 2)


def _arrays(images: Picture | Sequence[Picture]) -> Iterable[np.ndarray]:
    several: Sequence[Picture] = [images] if _is_one(images) else images  # type: ignore
    return (image if isinstance(image, np.ndarray) else _read(Path(image)) for image in several)


def _read(path: Path) -> np.ndarray:
    data = path.read_bytes()
    if is_picture_start(data):
        return decode_grey(data, name=path.name)
    from stroke_tf.reading.dicom import read_dicom  # pictures need not wait for pydicom

    return read_dicom(data, name=path.name, key=b"unused").hu
