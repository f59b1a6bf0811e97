"""A model with the steps before and after its networks: slices in, scores and masks out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from stroke_tf.data.upright import turn_back
from stroke_tf.deploy.description import ModelDescription
from stroke_tf.deploy.views import Seen, ViewMaker
from stroke_tf.evaluation.calibration import apply_temperature
from stroke_tf.evaluation.mask_rule import apply_mask_rule
from stroke_tf.evaluation.series import smooth_along
from stroke_tf.inference.predict import Compute, answers, scaled
from stroke_tf.labels import MASK, SLICE
from stroke_tf.records import Pixels
from stroke_tf.square import undo_square

_NO_STROKE = "no stroke"
SCORES = {
    "detect": ("stroke",),
    "type": ("haemorrhage",),
    "joint": (_NO_STROKE, "ischaemia", "haemorrhage"),
    "segment": (),
}
"""The scores of each task: the last outputs of a network for the slice, in their order."""
OF_MASK = "stroke"
"""The score that masks give, where they detect: before those of a network's own."""


def score_names(description: ModelDescription) -> tuple[str, ...]:
    """Returns the names of a model's scores, the one that calls a slice positive first."""
    own = SCORES[description.task]
    return (OF_MASK, *own) if description.mask_scores else own


@dataclass(frozen=True)
class SlicePrediction:
    """The answer of a model for one slice.

    Attributes:
        scores: Probabilities in [0, 1] by name, of several networks the mean: "stroke" (detect, and
            of masks that detect), "haemorrhage" (type), "no stroke", "ischaemia" and "haemorrhage"
            (joint), none (segment). Where a temperature was fitted, also "stroke_calibrated", of
            "stroke" or of 1 - "no stroke", or "haemorrhage_calibrated" (type).
        spread: Standard deviation of each score over the networks; "mask": that of the probability
            of a lesion, mean over the pixels of the mask's lesions, if it has any. Empty for one
            network.
        positive: Whether the score reaches the threshold; None where there is none.
        mask: uint8 class ids, shape (H, W); None of classifiers.
        lesion_prob: uint8, shape (H, W): 255 times the probability of a lesion; None likewise.
    """

    scores: dict[str, float]
    spread: dict[str, float]
    positive: bool | None
    mask: NDArray[np.uint8] | None
    lesion_prob: NDArray[np.uint8] | None


def class_one_score(scores: Mapping[str, float]) -> float:
    """Returns the score that thresholds are for: of class one; of a joint network, of any stroke.

    Args:
        scores: Those of a slice, see `SlicePrediction`; at least one.
    """
    name, score = next(iter(scores.items()))
    return 1 - score if name == _NO_STROKE else score


@dataclass(frozen=True)
class _Answer:
    """The outputs of K networks for a slice.

    Attributes:
        shape: Its height and width.
        scores: Shape (K, scores).
        probs: Shape (K, S, S, classes); None of classifiers.
        numbers: The numbers that mask scores are made from, shape (K, numbers); empty without such.
    """

    shape: tuple[int, int]
    scores: NDArray[np.float64]
    probs: NDArray[np.float32] | None
    numbers: NDArray[np.float64]


class StrokeModel:
    """One network or several, with the steps before and after them.

    Args:
        description: What is done.
        computes: A function for each network, as `fast.runtimes.inference` gives it: of a batch,
            uint8, shape (B, S, S, 3), it makes an array or a dict of arrays.
        mirror: Whether to take the mean with the mirror image.
        networks: The Keras models themselves, for those who look into them; may be empty.
    """

    def __init__(
        self,
        description: ModelDescription,
        computes: Sequence[Compute],
        *,
        mirror: bool = False,
        networks: Sequence[keras.Model] = (),
    ) -> None:
        self.description, self.networks = description, tuple(networks)
        self._computes, self.mirror = tuple(computes), mirror

    def predict(
        self, images: Iterable[np.ndarray], *, series: bool = False, batch_size: int = 8
    ) -> Iterator[SlicePrediction]:
        """Yields what the model says of each slice, in their order.

        A slice is padded with air to a square about its centre and resized to the networks' input,
        as in a conversion to records; masks go the way back. Two batches are held at a time. Of a
        smoothed series, all slices that reach into one are held; a series seen upright, whole.

        Args:
            images: Slices, each of any shape (H, W): uint8 grey or int16 HU. HU become grey for a
                model trained on grey, see `notes_for`.
            series: Whether they are one series in order: the view "neighbours", the turn of
                "upright" and smoothed scores need it. Else each stands alone.
            batch_size: Slices in a batch.

        Raises:
            ValueError: If a slice is of another kind, or grey for a model trained on HU.
        """
        seen = ViewMaker(self.description, series=series)(images)
        answered = self._answered(seen, batch_size)
        if series and self.description.smooth_slices:
            answered = self._smoothed(answered)
        if self.description.mask_scores:
            answered = self._detected(answered, series=series)
        return (self._finished(answer) for answer in answered)

    def notes_for(self, pixels: Pixels, *, series: bool = True) -> tuple[str, ...]:
        """Returns notes for the user on how slices of a kind are answered."""
        model, notes = self.description, []
        windows = ", ".join(f"{centre:g}/{width:g}" for centre, width in model.windows)
        if pixels == "hu16" and model.pixels == "gray8":
            notes.append(f"HU were made 8-bit grey by the window {windows}: it was trained on grey")
        if model.pixels == "unknown":
            notes.append("what the model was trained on is not known, HU or 8-bit grey")
            if pixels == "hu16":
                notes.append(f"HU were seen through {windows}")
        if model.mirror and not self.mirror:
            notes.append(
                "without mirror averaging, which its scores were measured with: "
                "predict --mirror adds it"
            )
        if not series and model.needs_order:
            notes.append(
                "it was trained on series: single slices are answered less well; "
                "predict --as-series takes the pictures of a folder for one"
            )
        return tuple(notes)

    def _answered(self, seen: Iterable[Seen], batch_size: int) -> Iterator[_Answer]:
        """Yields the answers, while the networks are at the next batch."""
        slices, before = iter(seen), None
        with ThreadPoolExecutor(1) as beside:
            while batch := tuple(itertools.islice(slices, batch_size)):
                asked = beside.submit(self._asked, batch)
                if before:
                    yield from before.result()
                before = asked
            if before:
                yield from before.result()

    def _asked(self, batch: Sequence[Seen]) -> list[_Answer]:
        images = np.stack([one.rgb for one in batch])
        said = [answers(compute, images, mirror=self.mirror) for compute in self._computes]
        count, answered = len(SCORES[self.description.task]), []
        for place, seen in enumerate(batch):
            scores = [one[SLICE][place][-count:] if count else [] for one in said]
            probs, numbers = None, np.empty((0, 0))
            if self.description.draws_masks:
                probs = np.stack([_lying(one[MASK][place], seen) for one in said])
                numbers = self._numbers(probs)
            answered.append(_Answer(seen.shape, np.array(scores, np.float64), probs, numbers))
        return answered

    def _numbers(self, probs: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns the numbers that each network's mask score is made from; empty without such."""
        rules = self.description.mask_scores
        return np.array(
            [rule.numbers(one[None])[0] for rule, one in zip(rules, probs, strict=False)]
        )

    def _detected(self, answered: Iterable[_Answer], *, series: bool) -> Iterator[_Answer]:
        """Yields the answers with the score of the mask first; of a series one is held back."""
        if not (series and self.description.needs_order):
            for own in answered:
                yield self._with_score(own, own, own)
            return
        around: list[_Answer] = []
        for own in answered:
            around = [*around, own] if around else [own, own]
            if len(around) == 3:
                yield self._with_score(*around)
                around = around[1:]
        if around:
            yield self._with_score(*around, around[-1])

    def _with_score(self, *around: _Answer) -> _Answer:
        """Returns the middle one of three answers with the score of its mask."""
        numbers = np.stack([one.numbers for one in around], axis=1)
        found = [
            score.combined(of_network[None])
            for score, of_network in zip(self.description.mask_scores, numbers, strict=True)
        ]
        own = around[1]
        return dataclasses.replace(own, scores=np.hstack([np.array(found), own.scores]))

    def _smoothed(self, answered: Iterator[_Answer]) -> Iterator[_Answer]:
        sigma = self.description.smooth_slices
        several, of_scores, of_probs = itertools.tee(answered, 3)
        scores = smooth_along((one.scores for one in of_scores), sigma=sigma)
        probs = smooth_along((one.probs for one in of_probs if one.probs is not None), sigma=sigma)
        for answer in several:
            drawn, numbers = None, answer.numbers
            if answer.probs is not None:
                drawn = next(probs)
                numbers = self._numbers(drawn)
            yield dataclasses.replace(answer, scores=next(scores), probs=drawn, numbers=numbers)

    def _finished(self, answer: _Answer) -> SlicePrediction:
        columns = self._named(answer.scores)
        scores = {name: float(column.mean()) for name, column in columns.items()}
        several = len(self._computes) > 1
        spread = {name: float(column.std()) for name, column in columns.items()} if several else {}
        mask, lesion_prob = None, None
        if answer.probs is not None:
            mask, lesion_prob, differ = self._drawn(answer.probs, *answer.shape)
            if several and differ is not None:
                spread["mask"] = differ
        return SlicePrediction(scores, spread, self._positive(scores), mask, lesion_prob)

    def _named(self, scores: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Returns the scores of each network, shape (K,), by name, calibrated ones beside."""
        columns = dict(zip(score_names(self.description), scores.T, strict=True))
        if columns and (temperatures := self.description.temperatures):
            name, column = next(iter(columns.items()))  # the one that calls a slice positive
            name, column = (OF_MASK, 1 - column) if name == _NO_STROKE else (name, column)
            columns[f"{name}_calibrated"] = np.array(
                [
                    float(apply_temperature(score, temperature))
                    for score, temperature in zip(column, temperatures, strict=True)
                ]
            )
        return columns

    def _positive(self, scores: dict[str, float]) -> bool | None:
        if self.description.threshold is None or not scores:
            return None
        return class_one_score(scores) >= self.description.threshold

    def _drawn(
        self, probs: NDArray[np.float32], height: int, width: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], float | None]:
        """Returns mask and probability of a lesion at the slice's size, and how networks differ."""
        mean = probs.mean(axis=0)
        whole = undo_square(mean, height=height, width=width)
        rule = self.description.mask_rule
        fitting = rule and scaled(rule, max(height, width) / self.description.image_size)
        mask = apply_mask_rule(whole[None], fitting)[0]
        lesion_prob = np.rint(255 * (1 - whole[..., 0]).clip(0, 1)).astype(np.uint8)
        if len(probs) == 1 or not mask.any():
            return mask, lesion_prob, None
        differ = probs[..., 0].std(axis=0)[..., None]
        there = undo_square(np.repeat(differ, 3, axis=-1), height=height, width=width)[..., 0]
        return mask, lesion_prob, float(there[mask > 0].mean())


def _lying(probs: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
    """Returns a network's probabilities turned back to how the slice lies, shape (S, S, 3)."""
    return probs if seen.move is None else turn_back(probs, seen.move)
