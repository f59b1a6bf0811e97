"""The masks that a segmentation network drew on some slices, and their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.lesions import LesionCounts, lesion_metrics
from stroke_tf.evaluation.mask_rule import MaskRule
from stroke_tf.evaluation.operating_point import OperatingPoint, detection_metrics
from stroke_tf.evaluation.segmentation import (
    SegmentationCounts,
    any_lesion_slice_dice,
    segmentation_metrics,
)
from stroke_tf.evaluation.slice_answers import slice_metrics
from stroke_tf.evaluation.sm_scores import sm_scores


@dataclass(frozen=True)
class Segmented:
    """The masks that a U-Net drew on some slices, with their truth and counts.

    Attributes:
        ids: Source id of each slice.
        groups: Group id of each slice.
        counts: Pixel counts of each slice.
        lesions: Lesions of each slice.
        sums: Sums of probabilities of each slice, see `soft_sums`.
        images: uint8, shape (N, S, S): the first channel of each slice.
        truth: uint8 class ids, shape (N, S, S).
        predicted: uint8 class ids, shape (N, S, S).
        slices: Of a joint network: see `slice_frame`.
        rule: Which pixels were lesion; None where each took its likeliest class.
        detected: Of masks that detect: `truth`, 0 or 1, and `score` of each slice.
        point: Of masks that detect: threshold and temperature of the scores.
    """

    ids: Sequence[str]
    groups: Sequence[str]
    counts: SegmentationCounts
    lesions: LesionCounts
    sums: np.ndarray
    images: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    slices: pd.DataFrame | None = None
    rule: MaskRule | None = None
    detected: pd.DataFrame | None = None
    point: OperatingPoint | None = None

    def to_frame(self) -> pd.DataFrame:
        """Returns one row a slice: its id, pixel counts, lesions and distances of outlines.

        A joint network adds its answers for the slice, see `slice_frame`; masks that detect add
        `truth` and `score`.
        """
        frame = self.counts.to_frame(self.ids).join(self.lesions.to_frame())
        for more in (self.slices, self.detected):
            frame = frame if more is None else frame.join(more)
        return frame

    def metrics(self, *, seed: int = 0) -> dict[str, Metric]:
        """Returns all scores, with intervals of a bootstrap over groups.

        Those of segmentation_models, which average batches and not patients, have none. Those of
        a joint network's second head are there if it has one, and those of `detection_metrics`
        where masks detect.
        """
        nan = float("nan")
        of_scores: dict[str, Metric] = {}
        if self.detected is not None and self.point is not None:
            truth, scores = self.detected["truth"], self.detected["score"]
            of_scores = detection_metrics(truth, scores, self.point, groups=self.groups, seed=seed)
        of_slices = (
            {} if self.slices is None else slice_metrics(self.slices, self.groups, seed=seed)
        )
        return {
            **segmentation_metrics(self.counts, self.groups, seed=seed),
            **lesion_metrics(self.counts, self.lesions, self.groups, seed=seed),
            **{name: Metric(value, nan, nan) for name, value in sm_scores(self.sums).items()},
            **of_slices,
            **of_scores,
        }

    def panels(self, most: int = 6) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
        """Returns slices to draw: images, true and predicted masks, titles.

        Those with a lesion, the worst Dice first; where none has one, the most painted first.
        """
        dice, drawn = any_lesion_slice_dice(self.counts), (self.predicted > 0).sum(axis=(1, 2))
        lesions = np.flatnonzero((self.truth > 0).any(axis=(1, 2)))
        if len(lesions):
            ranked = lesions[np.argsort(dice[lesions], kind="stable")]
            said = {index: f"Dice {dice[index]:.2f}" for index in ranked}
        else:
            ranked = np.argsort(-drawn, kind="stable")
            said = {index: f"no lesion, {drawn[index]} pixels drawn" for index in ranked}
        shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, most).round().astype(int))]
        titles = [f"{self.ids[index]}: {said[index]}" for index in shown]
        return self.images[shown], self.truth[shown], self.predicted[shown], titles
