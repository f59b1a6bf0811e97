"""Trials of a search for a U-Net: values to settings, training, and the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from stroke_tf.config import MaskScoreName
from stroke_tf.data import decode_slices
from stroke_tf.evaluation.intervals import Gain, bootstrap_gain
from stroke_tf.evaluation.mask_rule import apply_mask_rule
from stroke_tf.evaluation.metrics import iou, roc_auc
from stroke_tf.evaluation.segmentation import SegmentationCounts, count_masks, lesion_mean
from stroke_tf.inference.predict import Predictor, drawn_batches
from stroke_tf.inference.slice_numbers import SliceNumbers
from stroke_tf.labels import MASK, Task
from stroke_tf.manifest import read_manifest
from stroke_tf.run_folder import RunFolder
from stroke_tf.runs.keep_or_run import OpenRun
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import dataset_of, run_unet, train
from stroke_tf.search.classifier_trials import (
    OF_FIT,
    auc_gain,
    augmented,
    chosen,
    paired_predictions,
)
from stroke_tf.search.run_search import Kind
from stroke_tf.search.settings import UnetSearch
from stroke_tf.search.spaces import SWITCHES

_DIRECT = ("encoder", "batch_size", "loss", "filters", "depth")


def unet_kind(config: UnetSearch) -> Kind:
    """Returns the parts of a search that are special to a U-Net.

    Raises:
        ValueError: If the search cannot work.
    """
    run, score = config.run, config.run.score_rule
    by_auc = config.objective == "auc"
    if by_auc and score is None:
        raise ValueError(f"--objective auc needs --score mask. Received: {run.score}")
    shown: dict[str, Any] = {
        "image_size": run.image_size,
        "lesions_only": run.lesions_only,
        "view": run.view,
    }
    return Kind(
        space=config.space.of(run.architecture),
        objective=config.objective,
        settings={},
        configure=configure,
        decode=partial(decode_slices, run.records, task=Task.SEGMENT, **shown),
        train=partial(_train_to_detect, score=score) if by_auc and score else _train,
        run=run_unet,
        tested_by="ROC AUC" if by_auc else "lesion IoU",
        gain=auc_gain if by_auc else _gain,
        max_epochs=run.fit.epochs,
    )


def configure(run: UnetRun, values: Mapping[str, Any]) -> UnetRun:
    """Returns a run with the values of a trial in it: those of a `UnetSpace`, and epochs.

    Filters of a U-Net on an encoder are those of its decoder, which has five levels.
    """
    changes = chosen(values, _DIRECT)
    if "filters" in values and run.architecture == "unet":
        finest = changes.pop("filters")
        changes["decoder_filters"] = tuple(finest << level for level in (4, 3, 2, 1, 0))
    run = dataclasses.replace(
        run,
        **changes,
        fit=dataclasses.replace(run.fit, **chosen(values, OF_FIT)),
        improvements=dataclasses.replace(run.improvements, **chosen(values, SWITCHES)),
    )
    return augmented(run, values["augmentation"]) if "augmentation" in values else run


def _train(config: UnetRun, run: OpenRun) -> float:
    model = train(config, run)
    predictor, counted = Predictor(model, mirror=config.mirror_test), []
    slices = dataset_of(config, run.split.val, decoded=run.decoded, with_ids=True)
    for batch, outputs in drawn_batches(predictor, slices, smooth_slices=config.smooth_slices):
        drawn = apply_mask_rule(outputs[MASK], None)
        counted.append(count_masks(batch.labels, drawn).per_slice)
    return lesion_mean(iou, SegmentationCounts(np.concatenate(counted)).total())


def _train_to_detect(config: UnetRun, run: OpenRun, *, score: MaskScoreName) -> float:
    predictor = Predictor(train(config, run), mirror=config.mirror_test)
    seen = SliceNumbers(score)
    val = dataset_of(config, run.split.val, with_ids=True, decoded=run.decoded)
    for batch, outputs in drawn_batches(predictor, val, smooth_slices=config.smooth_slices):
        seen.add(batch, outputs[MASK])
    _, scores = seen.fitted(of_series=read_manifest(config.records).knows_series)
    return roc_auc(seen.truth, scores)


def _gain(best: RunFolder, defaults: RunFolder, groups: Mapping[str, str]) -> Gain:
    first, second = paired_predictions(best, defaults)
    pair = [SegmentationCounts.from_frame(frame).per_slice for frame in (first, second)]

    def difference(weights: np.ndarray) -> float:
        cells = (np.tensordot(weights, counts, axes=1)[None] for counts in pair)
        of_best, of_defaults = (
            lesion_mean(iou, SegmentationCounts(resampled).total()) for resampled in cells
        )
        return of_best - of_defaults

    return bootstrap_gain(difference, first["id"].map(groups))
