"""Models from disk. No code out of a file is run."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import keras
import tensorflow as tf

from stroke_tf.config import BRAIN, THREE_WINDOWS, ModelTask, PointName, Runtime
from stroke_tf.deploy.description import ModelDescription
from stroke_tf.deploy.model import StrokeModel
from stroke_tf.deploy.sources import NETWORK_SUFFIX, file_of, read_source, together
from stroke_tf.evaluation.slice_answers import THRESHOLD
from stroke_tf.fast.runtimes import inference
from stroke_tf.labels import MASK, MASK_CLASSES, SLICE
from stroke_tf.models.weights import first_sentence
from stroke_tf.records import Pixels
from stroke_tf.zoo.shipped import located


def load_model(
    path: Path | str | Sequence[Path | str],
    *,
    runtime: Runtime = "auto",
    mirror: bool | None = None,
    operating_point: PointName = "default",
    **known: Any,
) -> StrokeModel:
    """Returns a trained model with all the steps before and after it.

    Keras loads the networks in its safe mode: a file that holds code is refused.

    Args:
        path: The name of a shipped model, such as "ct-ich-haemorrhage", the folder of a finished
            run, a folder of `save-model`, or a .keras file; several are an ensemble, the mean of
            whose probabilities is taken.
        runtime: What computes the networks, see `fast.runtimes`.
        mirror: Whether to take the mean with the mirror image of each slice, which takes twice the
            time. None: where the runs did it too and there is a GPU.
        operating_point: Which of the model's thresholds calls a slice positive.
        known: Fields of ModelDescription to be set otherwise than the source says; a .keras file
            says nothing but its size and what it gives.

    Raises:
        FileNotFoundError: If there is no such folder or file, or no shipped model of that name.
        ValueError: If a source is not a model, is of another schema or was changed, or several do
            not fit together.

    Example:
        >>> from stroke_tf import load_model
        >>> model = load_model("results/unet/mobilenetv2-s0")
        >>> model.description.task
        'segment'
    """
    description, networks = read_model(path, **known)
    description = description.at(operating_point)
    if mirror is None:
        mirror = description.mirror and bool(tf.config.list_physical_devices("GPU"))
    computes = [inference(network, runtime=runtime) for network in networks]
    return StrokeModel(description, computes, mirror=mirror, networks=networks)


def read_model(
    path: Path | str | Sequence[Path | str], **known: Any
) -> tuple[ModelDescription, list[keras.Model]]:
    """Returns a model's description and its networks, uncompiled; see `load_model`."""
    paths = [located(one) for one in ([path] if isinstance(path, (str, Path)) else path)]
    if not paths:
        raise ValueError("`path` must name a model. Received: none")
    described, networks = [], []
    for one in paths:
        description, loaded = _read(one)
        described.append((str(one), _stated(description, known)))
        networks += loaded
    return together(described), networks


def _stated(description: ModelDescription, known: dict[str, Any]) -> ModelDescription:
    """Returns a description with the known fields set; one window makes HU grey unless given."""
    learned, told = description.pixels, known.get("pixels", description.pixels)
    if learned in get_args(Pixels) and told != learned:
        raise ValueError(f"`pixels` must be {learned}, as the model says itself. Received: {told}")
    if told == "gray8" != learned:
        known = {"windows": (BRAIN,), **known}
    return dataclasses.replace(description, **known)


def load_network(path: Path) -> keras.Model:
    """Returns the network of a .keras file, uncompiled; no code out of the file is run.

    Raises:
        ValueError: If Keras cannot load it so.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its layers do
        told = first_sentence(error) or type(error).__name__
        raise ValueError(
            f"{path} must be a model of Keras' own layers, without code. Received: {told}"
        ) from error


def _read(path: Path) -> tuple[ModelDescription, list[keras.Model]]:
    if path.suffix == NETWORK_SUFFIX and path.is_file():
        network = load_network(path)
        return described(network, name=str(path), networks=(file_of(path),)), [network]
    source = read_source(path)
    networks = [load_network(file) for file in source.files]
    for file, network in zip(source.files, networks, strict=True):
        found, stated = described(network, name=str(file)), source.description
        if (found.image_size, found.draws_masks) != (stated.image_size, stated.draws_masks):
            raise ValueError(
                f"{file} must be a network for task {stated.task} with an input of "
                f"{stated.image_size}. Received: {found.task}, {found.image_size}"
            )
    return source.description, networks


def described(network: keras.Model, *, name: str, **known: Any) -> ModelDescription:
    """Returns the description that can be read from a network alone.

    Args:
        network: The network.
        name: Its name, for the errors.
        known: Fields of the description that are known otherwise.

    Raises:
        ValueError: If it is no network of this package's kinds.
    """
    taken, gives = _shapes(network)
    size = taken[1] if len(taken) == 4 else None
    task = _task_of(gives, size)
    if size is None or taken != (None, size, size, 3) or task is None:
        raise ValueError(
            f"{name} must have a fixed square input of 3 channels and give a score, or 3 classes "
            f"for each pixel. Received: {taken} to {gives}"
        )
    fields: dict[str, Any] = {
        "task": task,
        "image_size": size,
        "pixels": "unknown",
        "windows": THREE_WINDOWS,
        "threshold": None if task == "segment" else THRESHOLD,
    }
    return ModelDescription(**{**fields, **known})


def _shapes(network: keras.Model) -> tuple[tuple[int | None, ...], Any]:
    """Returns the shape of a network's one input, () if there are several, and of its outputs."""
    taken = getattr(network, "input_shape", None)
    one_input = isinstance(taken, tuple) and all(not isinstance(side, tuple) for side in taken)
    return (taken, network.compute_output_shape(taken)) if taken and one_input else ((), None)


def _task_of(gives: Any, size: int | None) -> ModelTask | None:
    mask, classes = (None, size, size, len(MASK_CLASSES)), len(MASK_CLASSES)
    if gives == {MASK: mask, SLICE: (None, classes)}:
        return "joint"
    if gives == mask:
        return "segment"
    return "detect" if gives in ((None, 1), (None, 2)) else None
