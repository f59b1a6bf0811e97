"""What a segmentation network draws on slices: counts, lesions and scores of what it drew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from stroke_tf.data import named_batches
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.lesions import LesionCounts, count_lesions, lesion_metrics
from stroke_tf.evaluation.mask_rule import MaskRule, apply_mask_rule, choose_mask_rule
from stroke_tf.evaluation.segmentation import (
    SegmentationCounts,
    count_masks,
    segmentation_metrics,
)
from stroke_tf.evaluation.slice_answers import slice_frame, slice_metrics
from stroke_tf.evaluation.sm_scores import sm_scores, soft_sums
from stroke_tf.inference.predict import Predictor
from stroke_tf.labels import MASK, SLICE


@dataclass(frozen=True)
class Segmented:
    """What a U-Net drew on some slices.

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

    def to_frame(self) -> pd.DataFrame:
        """Returns one row a slice: its id, pixel counts, lesions and distances of outlines.

        Of a joint network also what it says of the slice, see `slice_frame`.
        """
        frame = self.counts.to_frame(self.ids).join(self.lesions.to_frame())
        return frame if self.slices is None else frame.join(self.slices)

    def metrics(self, *, seed: int = 0) -> dict[str, Metric]:
        """Returns all scores, with intervals of a bootstrap over groups.

        Those of segmentation_models, which average batches and not patients, have none. Those of
        a joint network's second head are there if it has one.
        """
        nan = float("nan")
        of_slices = (
            {} if self.slices is None else slice_metrics(self.slices, self.groups, seed=seed)
        )
        return {
            **segmentation_metrics(self.counts, self.groups, seed=seed),
            **lesion_metrics(self.counts, self.lesions, self.groups, seed=seed),
            **{name: Metric(value, nan, nan) for name, value in sm_scores(self.sums).items()},
            **of_slices,
        }


def segment_slices(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    rule: MaskRule | None = None,
    tune_on: tf.data.Dataset | None = None,
    mirror: bool = False,
) -> Segmented:
    """Segments every slice of a data set made `with_ids`.

    Args:
        model: Takes images and gives the probabilities of background, ischaemia, haemorrhage; a
            joint network those of the slice too.
        dataset: Batches of (images, masks, ids).
        rule: Which pixels are lesion; with None each pixel takes its likeliest class.
        tune_on: Batches of validation (images, masks), which the rule is chosen on, if any.
        mirror: Whether each slice is seen mirrored too.

    Raises:
        ValueError: If a rule is to be chosen and no slice of validation has a lesion.
    """
    predictor = Predictor(model, mirror=mirror)
    if tune_on is not None:
        rule = choose_mask_rule((it.numpy(), predictor.probs(batch)) for batch, it in tune_on)
    ids: list[str] = []
    groups: list[str] = []
    images, truth, predicted, sums, slices = [], [], [], [], []
    for batch in named_batches(dataset):
        outputs = predictor.outputs(batch.images)
        probs = outputs[MASK]
        images.append(batch.shown[..., 0])
        truth.append(batch.labels[..., 0])
        predicted.append(apply_mask_rule(probs, rule))
        sums.append(soft_sums(truth[-1], probs))
        ids += batch.ids
        groups += batch.groups
        if SLICE in outputs:
            slices.append(slice_frame(batch.stroke_types, outputs[SLICE]))
    true_masks, drawn = np.concatenate(truth), np.concatenate(predicted)
    return Segmented(
        ids=ids,
        groups=groups,
        counts=count_masks(true_masks, drawn),
        lesions=count_lesions(true_masks, drawn),
        sums=np.concatenate(sums),
        images=np.concatenate(images),
        truth=true_masks,
        predicted=drawn,
        slices=pd.concat(slices, ignore_index=True) if slices else None,
        rule=rule,
    )
