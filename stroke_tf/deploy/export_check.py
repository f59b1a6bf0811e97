"""Exported files beside Keras: differences, time, and what whole numbers cost in scores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stroke_tf.data import decode_slices
from stroke_tf.data.selection import label_of
from stroke_tf.deploy.description import ModelDescription
from stroke_tf.deploy.raw_pixels import RawModel, raw_and_seen
from stroke_tf.evaluation.mask_rule import apply_mask_rule
from stroke_tf.evaluation.metrics import roc_auc
from stroke_tf.evaluation.segmentation import count_masks, segmentation_metrics
from stroke_tf.labels import MASK, SLICE, StrokeType, Task
from stroke_tf.manifest import FoldName
from stroke_tf.records import HU_OFFSET

_BATCH = 8
Answer = Callable[[NDArray[Any]], Mapping[str, NDArray[np.float32]]]


@dataclass(frozen=True)
class Known:
    """Slices and, if they are of records, their truth.

    Attributes:
        images: uint8 grey or int16 HU, each of shape (H, W).
        masks: uint8 class ids, shape (N, S, S); None where unknown.
        labels: Shape (N,), 0 or 1; empty where unknown.
    """

    images: list[np.ndarray]
    masks: NDArray[np.uint8] | None = None
    labels: Sequence[int] = ()


def known_slices(
    records: Path, folds: tuple[FoldName, ...], model: ModelDescription, *, count: int
) -> Known:
    """Returns some slices of records, spread evenly over those that the task uses.

    Raises:
        ValueError: If there are none, or a shard is damaged.
    """
    task = Task.SEGMENT if model.draws_masks else Task(model.task)
    slices = decode_slices(records, folds, task=task, image_size=model.image_size)
    places = np.unique(np.linspace(0, len(slices.rows) - 1, count).round().astype(int))
    images = [slices.images[place, ..., 0] for place in places]
    shown = [
        (image.astype(np.int32) - HU_OFFSET).astype(np.int16) if is_hu else image.astype(np.uint8)
        for image, is_hu in zip(images, slices.is_hu[places], strict=True)
    ]
    if slices.masks is not None:
        masks = slices.masks[places, ..., 0]
        return Known(shown, masks, [int(mask.any()) for mask in masks])
    return Known(shown, None, [label_of(slices.rows[place], task=task) for place in places])


def keras_answer(raw: RawModel) -> Answer:
    """Returns a function that computes the networks from RGB by `keras.Model.predict`."""

    def answer(rgb: NDArray[Any]) -> Mapping[str, NDArray[np.float32]]:
        said = [
            raw.named(network.predict(rgb, batch_size=_BATCH, verbose=0))
            for network in raw.networks
        ]
        return {name: np.mean([outputs[name] for outputs in said], axis=0) for name in said[0]}

    return answer


def compare(
    raw: RawModel,
    answers: Mapping[str, Answer],
    images: Sequence[np.ndarray],
    model: ModelDescription,
    *,
    rounds: int,
) -> dict[str, dict[str, float]]:
    """Returns, for Keras and each other way, how far it is from Keras and its ms a slice.

    Args:
        raw: The networks.
        answers: Ways by name; they take raw pixels.
        images: The slices.
        model: The networks' description.
        rounds: Turns of each way, a batch each, forwards and backwards; medians count.
    """
    taken, seen = raw_and_seen(images, model)
    keras = keras_answer(raw)
    expected = keras(seen)
    found = {
        name: _difference(_in_batches(answer, taken), expected, model)
        for name, answer in answers.items()
    }
    turns: dict[str, Callable[[], object]] = {"keras": lambda: keras(seen[:_BATCH])}
    turns |= {name: _turn(answer, taken[:_BATCH]) for name, answer in answers.items()}
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds):
        for name in list(turns)[:: 1 if number % 2 else -1]:
            started = time.perf_counter()
            turns[name]()
            seconds[name].append(time.perf_counter() - started)
    count = len(taken[:_BATCH])
    return {
        name: {**found.get(name, {}), "ms_a_slice": round(1000 * median(seconds[name]) / count, 2)}
        for name in turns
    }


def scores_of(
    answer: Answer, inputs: NDArray[Any], known: Known, model: ModelDescription
) -> dict[str, float | None]:
    """Returns the scores of one way on slices whose truth is known: lesion Dice, ROC AUC.

    None stands for a score that the slices do not define.
    """
    said, scores = _in_batches(answer, inputs), {}
    if known.masks is not None:
        predicted = apply_mask_rule(said[MASK], model.mask_rule)
        counts = count_masks(known.masks, predicted)
        scores["lesion_dice"] = segmentation_metrics(counts, resamples=0)["lesion_dice"].value
    if SLICE in said:
        score = said[SLICE][:, -1] if model.task != "joint" else 1 - said[SLICE][:, 0]
        both = 0 < sum(known.labels) < len(known.labels)
        scores["roc_auc"] = roc_auc(known.labels, score) if both else math.nan
    return {name: None if math.isnan(value) else round(value, 5) for name, value in scores.items()}


def _difference(
    said: Mapping[str, NDArray[np.float32]],
    expected: Mapping[str, NDArray[np.float32]],
    model: ModelDescription,
) -> dict[str, float]:
    found = {
        f"{name}_difference": float(np.abs(said[name] - expected[name]).max()) for name in expected
    }
    if MASK in expected:
        classes = [apply_mask_rule(outputs[MASK], model.mask_rule) for outputs in (said, expected)]
        found["pixels_of_another_class"] = float(np.mean(classes[0] != classes[1]))
        found["lesion_pixels"] = float(np.mean(classes[1] != StrokeType.NONE))
    return found


def _in_batches(answer: Answer, inputs: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    parts = [answer(inputs[start : start + _BATCH]) for start in range(0, len(inputs), _BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _turn(answer: Answer, inputs: NDArray[Any]) -> Callable[[], object]:
    return lambda: answer(inputs)
