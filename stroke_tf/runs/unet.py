"""One run of a U-Net, or of a joint network: trained, tested once, its lesions counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from stroke_tf.data import make_dataset
from stroke_tf.data.memory import Slices
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.lesions import LesionCounts, count_lesions, lesion_metrics
from stroke_tf.evaluation.mask_rule import MaskRule, apply_mask_rule, choose_mask_rule
from stroke_tf.evaluation.segmentation import (
    SegmentationCounts,
    any_lesion_slice_dice,
    count_masks,
    segmentation_metrics,
)
from stroke_tf.evaluation.slice_answers import slice_frame, slice_metrics
from stroke_tf.evaluation.sm_scores import sm_scores, soft_sums
from stroke_tf.files import read_json, write_json
from stroke_tf.inference.predict import Predictor
from stroke_tf.labels import MASK, MASK_CLASSES, SLICE, Task
from stroke_tf.manifest import FoldName
from stroke_tf.models.improved_unet import build_improved_unet
from stroke_tf.models.joint import build_joint
from stroke_tf.models.unet import build_unet
from stroke_tf.reporting.augmentation_figure import draw_augmentations
from stroke_tf.reporting.figures import figure_history, figure_segmentation, save_figure
from stroke_tf.run_folder import RunMetrics, write_predictions
from stroke_tf.runs.keep_or_run import OpenRun, Outcome, keep_or_run
from stroke_tf.runs.settings import UnetRun
from stroke_tf.training import LOSSES, fit, pixel_scores, training_scope

MASK_RULE_NAME = "mask_rule.json"
_SHOWN = 6


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


def run_unet(config: UnetRun, *, train_elsewhere: Callable[[], None] | None = None) -> RunMetrics:
    """Trains and tests one U-Net, or returns its result if it is done already.

    Args:
        config: The run's settings.
        train_elsewhere: What trains the U-Net in the run's folder by other processes, if any does.

    Raises:
        FileNotFoundError: If the records or the weight file are missing.
        OSError: If ImageNet weights cannot be downloaded.
        RuntimeError: If another process has the run open.
        ValueError: If a setting is out of range, or the run's folder was started with others.
    """

    def work(run: OpenRun) -> Outcome:
        if train_elsewhere is not None:
            train_elsewhere()
        return _test(config, run, train(config, run))

    return keep_or_run(config, work)


def segment_slices(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    rule: MaskRule | None = None,
    mirror: bool = False,
) -> Segmented:
    """Segments every slice of a data set made `with_ids`.

    Args:
        model: Takes images and gives the probabilities of background, ischaemia, haemorrhage; a
            joint network those of the slice too.
        dataset: Batches of (images, masks, ids).
        rule: Which pixels are lesion; with None each pixel takes its likeliest class.
        mirror: Whether each slice is seen mirrored too.
    """
    ids: list[str] = []
    groups: list[str] = []
    images, truth, predicted, sums, slices = [], [], [], [], []
    predictor = Predictor(model, mirror=mirror)
    for batch, masks, known in dataset:
        outputs = predictor.outputs(batch)
        probs = outputs[MASK]
        images.append(batch.numpy()[..., 0].round().astype(np.uint8))
        truth.append(masks.numpy()[..., 0])
        predicted.append(apply_mask_rule(probs, rule))
        sums.append(soft_sums(truth[-1], probs))
        ids.extend(it.decode() for it in known["source_id"].numpy())
        groups.extend(it.decode() for it in known["group_id"].numpy())
        if SLICE in outputs:
            slices.append(slice_frame(known["stroke_type"], outputs[SLICE]))
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
    )


def tune_mask(model: keras.Model, dataset: tf.data.Dataset, *, mirror: bool = False) -> MaskRule:
    """Returns the mask rule of best lesion Dice on batches of validation (images, masks).

    Raises:
        ValueError: If no slice has a lesion.
    """
    predictor = Predictor(model, mirror=mirror)
    return choose_mask_rule((masks.numpy(), predictor.probs(batch)) for batch, masks in dataset)


def read_mask_rule(run: Path) -> MaskRule | None:
    """Returns the rule that a run chose for its masks; None where it chose none."""
    path = run / MASK_RULE_NAME
    return MaskRule(**read_json(path)) if path.is_file() else None


def train(config: UnetRun, run: OpenRun) -> keras.Model:
    """Trains the U-Net of a run in its folder and returns it with its best weights."""
    with training_scope(config.fit):
        model = _build(config)
    val = _examples(config, run.split.val, decoded=run.decoded)
    if config.augment and not run.is_trial:
        figure = draw_augmentations(val, strength=config.strength, seed=config.fit.seed)
        save_figure(figure, run.folder.figures / "augmentations.png")
    history = fit(
        model,
        _examples(config, run.split.train, training=True, decoded=run.decoded),
        val,
        config=config.fit,
        run_dir=run.folder.path,
        progress=f"{run.folder.experiment}/{run.folder.path.name}",
        **_objective(config),
    )
    if not run.is_trial:
        save_figure(figure_history(history), run.folder.figures / "history.png")
    return model


def _examples(config: UnetRun, folds: tuple[FoldName, ...], **options: Any) -> tf.data.Dataset:
    """Returns what a run is fitted to: masks, and for a joint network the slice's class beside."""
    if config.architecture != "joint":
        return dataset_of(config, folds, **options)

    def name_labels(images: tf.Tensor, masks: tf.Tensor, known: dict[str, tf.Tensor]) -> tuple:
        # Not the mask's largest id: a lesion can leave the slice when that is cropped.
        return images, {MASK: masks, SLICE: known["stroke_type"][:, None]}

    return dataset_of(config, folds, with_ids=True, **options).map(name_labels)


def _objective(config: UnetRun) -> dict[str, Any]:
    """Returns losses and metrics for `fit`."""
    loss, metrics = LOSSES[config.loss](), pixel_scores(len(MASK_CLASSES))
    if config.architecture != "joint":
        return {"loss": loss, "metrics": metrics}
    return {
        "loss": {MASK: loss, SLICE: keras.losses.SparseCategoricalCrossentropy()},
        "loss_weights": {MASK: 1.0, SLICE: config.slice_weight},
        "metrics": {MASK: metrics, SLICE: ["accuracy"]},
    }


def _build(config: UnetRun) -> keras.Model:
    if config.architecture == "improved":
        return build_improved_unet(
            config.improvements,
            image_size=config.image_size,
            filters=config.filters,
            depth=config.depth,
            seed=config.fit.seed,
        )
    options: dict[str, Any] = {
        "image_size": config.image_size,
        "weights": config.weights,
        "freeze_encoder": config.freeze,
        "decoder_filters": config.decoder_filters,
        "seed": config.fit.seed,
    }
    if config.architecture == "joint":
        return build_joint(config.encoder, **options)
    return build_unet(config.encoder, architecture=config.architecture, **options)


def _test(config: UnetRun, run: OpenRun, model: keras.Model) -> Outcome:
    rule = _mask_rule(config, run, model) if config.tune_mask else None
    slices = dataset_of(config, run.split.test, with_ids=True)
    test = segment_slices(model, slices, rule=rule, mirror=config.mirror_test)
    write_predictions(run.folder, test.to_frame())
    save_figure(_figure(test), run.folder.figures / "segmentation.png")
    return Outcome(
        n=len(test.ids),
        threshold=rule.threshold if rule else None,
        metrics=test.metrics(seed=config.fit.seed),
    )


def _mask_rule(config: UnetRun, run: OpenRun, model: keras.Model) -> MaskRule:
    rule = tune_mask(model, dataset_of(config, run.split.val), mirror=config.mirror_test)
    write_json(run.folder.path / MASK_RULE_NAME, rule)
    return rule


def dataset_of(
    config: UnetRun,
    folds: tuple[FoldName, ...],
    *,
    training: bool = False,
    with_ids: bool = False,
    decoded: Slices | None = None,
) -> tf.data.Dataset:
    """Returns batches of some folds as a run reads them."""
    return make_dataset(
        config.records,
        folds=folds,
        task=Task.SEGMENT,
        image_size=config.image_size,
        batch_size=config.batch_size,
        training=training,
        augment=config.strength if training and config.augment else None,
        negatives_per_positive=config.negatives_per_positive if training else None,
        lesions_only=config.lesions_only,
        with_ids=with_ids,
        seed=config.fit.seed,
        decoded=decoded,
    )


def _figure(test: Segmented) -> Figure:
    """Slices with a lesion, the worst Dice first; where none has one, the most painted first."""
    dice = any_lesion_slice_dice(test.counts)
    drawn = (test.predicted > 0).sum(axis=(1, 2))
    lesions = np.flatnonzero((test.truth > 0).any(axis=(1, 2)))
    if len(lesions):
        ranked = lesions[np.argsort(dice[lesions], kind="stable")]
        said = {index: f"Dice {dice[index]:.2f}" for index in ranked}
    else:
        ranked = np.argsort(-drawn, kind="stable")
        said = {index: f"no lesion, {drawn[index]} pixels drawn" for index in ranked}
    shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, _SHOWN).round().astype(int))]
    titles = [f"{test.ids[index]}: {said[index]}" for index in shown]
    return figure_segmentation(test.images[shown], test.truth[shown], test.predicted[shown], titles)
