"""The outputs of networks for batches, and the masks they draw on slices of records, scored."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from stroke_tf.config import MaskScoreName, Runtime
from stroke_tf.data import NamedBatch, named_batches
from stroke_tf.data.upright import turn_back
from stroke_tf.evaluation.lesions import count_lesions
from stroke_tf.evaluation.mask_rule import MaskRule, RuleCounts, apply_mask_rule, best_rule
from stroke_tf.evaluation.mask_score import Detector
from stroke_tf.evaluation.operating_point import choose_operating_point
from stroke_tf.evaluation.segmentation import count_masks
from stroke_tf.evaluation.segmented import Segmented
from stroke_tf.evaluation.series import smooth_along
from stroke_tf.evaluation.slice_answers import slice_frame
from stroke_tf.evaluation.sm_scores import soft_sums
from stroke_tf.fast.runtimes import Outputs, inference
from stroke_tf.inference.slice_numbers import SliceNumbers
from stroke_tf.labels import MASK, SLICE

Compute: TypeAlias = Callable[[Any], Outputs]
"""Computes a network: of a batch, shape (B, S, S, 3), its outputs, see `inference`."""


def answers(compute: Compute, images: Any, *, mirror: bool = False) -> dict[str, NDArray]:
    """Returns a network's outputs for a batch, by name: "mask" of pixels, "slice" of slices.

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
        self._mirror = mirror
        self._compute = inference(model, runtime=runtime)

    def probs(self, images: tf.Tensor) -> NDArray[np.float32]:
        """Returns the probabilities of each pixel of a batch: float32, shape (B, S, S, C)."""
        return self.outputs(images)[MASK]

    def outputs(self, images: tf.Tensor) -> dict[str, NDArray[np.float32]]:
        """Returns all outputs of the network: "mask" and, by a joint network, "slice"."""
        return answers(self._compute, images, mirror=self._mirror)


Said: TypeAlias = tuple[NamedBatch, dict[str, NDArray[np.float32]]]
"""A batch, and a network's outputs for it."""


def drawn_batches(
    predictor: Predictor, dataset: tf.data.Dataset, *, smooth_slices: float = 0.0
) -> Iterator[Said]:
    """Yields the batches of a data set made `with_ids`, and a network's outputs for each.

    The probabilities of pixels lie as the slices do, also where the network sees these upright.

    Args:
        predictor: The network.
        dataset: Batches of (images, masks, ids).
        smooth_slices: Standard deviation, in slices, of the smoothing of all probabilities along a
            patient's slices, which must follow each other (`in_series`); one patient is held at a
            time, and each slice comes alone. 0 for none.
    """
    said = _drawn(predictor, dataset)
    return _smoothed(said, smooth_slices) if smooth_slices else said


def _drawn(predictor: Predictor, dataset: tf.data.Dataset) -> Iterator[Said]:
    for batch in named_batches(dataset):
        outputs = predictor.outputs(batch.images)
        if batch.moves is not None:
            pairs = zip(outputs[MASK], batch.moves, strict=True)
            outputs[MASK] = np.stack([turn_back(probs, move) for probs, move in pairs])
        yield batch, outputs


def _smoothed(said: Iterator[Said], sigma: float) -> Iterator[Said]:
    apart = (
        (one, {name: probs[place : place + 1] for name, probs in outputs.items()})
        for batch, outputs in said
        for place, one in enumerate(batch.apart())
    )
    for _, series in itertools.groupby(apart, key=lambda one: one[0].groups[0]):
        slices, outputs = zip(*series, strict=True)
        smooth = [smooth_along([one[name] for one in outputs], sigma=sigma) for name in outputs[0]]
        for one, *probs in zip(slices, *smooth, strict=True):
            yield one, dict(zip(outputs[0], probs, strict=True))


@dataclasses.dataclass(frozen=True)
class Unseen:
    """What rules are chosen on: the answers of a network for slices that it has not learned from.

    Attributes:
        rules: What each rule of pixels draws; None where they have no rule.
        numbers: The numbers of the slices' scores; None where masks do not detect.
    """

    rules: RuleCounts | None
    numbers: SliceNumbers | None


def unseen_answers(
    predictor: Predictor,
    dataset: tf.data.Dataset,
    *,
    tune_mask: bool = False,
    score: MaskScoreName | None = None,
    smooth_slices: float = 0.0,
) -> Unseen:
    """Returns what `chosen` needs of some slices, gathered in one pass.

    Args:
        predictor: Gives the probabilities of background, ischaemia, haemorrhage.
        dataset: Batches of (images, masks, ids) that the network has not learned from.
        tune_mask: Whether pixels have a rule; without it each takes its likeliest class.
        score: The rule of the slices' scores, a key of MASK_SCORES; None: masks do not detect.
        smooth_slices: As for `drawn_batches`.
    """
    rules = RuleCounts() if tune_mask else None
    numbers = None if score is None else SliceNumbers(score)
    if rules is not None or numbers is not None:
        for batch, outputs in drawn_batches(predictor, dataset, smooth_slices=smooth_slices):
            if rules is not None:
                rules.add(batch.labels, outputs[MASK])
            if numbers is not None:
                numbers.add(batch, outputs[MASK])
    return Unseen(rules, numbers)


def chosen(
    several: Sequence[Unseen], *, of_series: bool = False
) -> tuple[MaskRule | None, Detector | None]:
    """Returns the rule of pixels and how masks detect, chosen on all slices of several answers.

    Args:
        several: Answers gathered alike, each of its own network.
        of_series: Whether groups are patients, whose slices a regression may see beside each other.

    Raises:
        ValueError: If no slice has a lesion, or for a score all have one.
    """
    rules = [one.rules for one in several if one.rules is not None]
    numbers = [one.numbers for one in several if one.numbers is not None]
    rule = best_rule(rules) if rules else None
    if not numbers:
        return rule, None
    seen = SliceNumbers.joined(numbers)
    fitted, scores = seen.fitted(of_series=of_series)
    return rule, Detector(fitted, choose_operating_point(seen.truth, scores))


def segment_slices(
    predictor: Predictor,
    dataset: tf.data.Dataset,
    *,
    rule: MaskRule | None = None,
    detector: Detector | None = None,
    shown: int = 0,
    smooth_slices: float = 0.0,
) -> Segmented:
    """Segments every slice of a data set made `with_ids`.

    Args:
        predictor: Gives the probabilities of background, ischaemia, haemorrhage; that of a joint
            network those of the slice too.
        dataset: Batches of (images, masks, ids).
        rule: Which pixels are lesion; with None each pixel takes its likeliest class.
        detector: How masks detect, if they do.
        shown: The channel that shows the slice itself.
        smooth_slices: As for `drawn_batches`.
    """
    seen = None if detector is None else SliceNumbers(detector.score.rule)
    ids: list[str] = []
    groups: list[str] = []
    images, truth, predicted, sums, types, type_probs = [], [], [], [], [], []
    counts, lesions = [], []
    for batch, outputs in drawn_batches(predictor, dataset, smooth_slices=smooth_slices):
        probs = outputs[MASK]
        images.append(batch.shown[..., shown].copy())  # copied: a view would keep the whole batch
        truth.append(batch.labels[..., 0])
        predicted.append(apply_mask_rule(probs, rule))
        sums.append(soft_sums(truth[-1], probs))
        counts.append(count_masks(truth[-1], predicted[-1]))
        lesions.append(count_lesions(truth[-1], predicted[-1]))
        ids += batch.ids
        groups += batch.groups
        if seen is not None:
            seen.add(batch, probs)
        if SLICE in outputs:
            types.append(batch.stroke_types)
            type_probs.append(outputs[SLICE])
    detected = None
    if seen is not None and detector is not None:
        found = {"truth": seen.truth.astype(int), "score": seen.scores(detector.score)}
        detected = pd.DataFrame(found)
    joint = slice_frame(np.concatenate(types), np.concatenate(type_probs)) if types else None
    return Segmented(
        ids=ids,
        groups=groups,
        counts=functools.reduce(operator.add, counts),
        lesions=functools.reduce(operator.add, lesions),
        sums=np.concatenate(sums),
        images=np.concatenate(images),
        truth=np.concatenate(truth),
        predicted=np.concatenate(predicted),
        slices=joint,
        rule=rule,
        detected=detected,
        point=detector.point if detector is not None else None,
    )
