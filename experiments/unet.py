"""One run of a U-Net: trained, tested once, its lesions counted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from experiments.augmentation_figure import draw_augmentations
from experiments.running import OpenRun, Outcome, Split, finished, folder_of, open_run
from experiments.settings import UnetRun
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
from stroke_tf.evaluation.sm_scores import sm_scores, soft_sums
from stroke_tf.inference.predict import predict_probs
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName
from stroke_tf.models.improved_unet import build_improved_unet
from stroke_tf.models.unet import build_unet
from stroke_tf.reporting.figures import figure_history, figure_segmentation, save_figure
from stroke_tf.reporting.runs import RunMetrics, read_metrics, write_predictions, write_text
from stroke_tf.training import LOSSES, fit, training_scope

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
    """

    ids: Sequence[str]
    groups: Sequence[str]
    counts: SegmentationCounts
    lesions: LesionCounts
    sums: np.ndarray
    images: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray

    def to_frame(self) -> pd.DataFrame:
        """Returns one row a slice: its id, pixel counts, lesions and distances of outlines."""
        return self.counts.to_frame(self.ids).join(self.lesions.to_frame())

    def metrics(self, *, seed: int = 0) -> dict[str, Metric]:
        """Returns all scores, with intervals of a bootstrap over groups.

        Those of segmentation_models, which average batches and not patients, have none.
        """
        nan = float("nan")
        return {
            **segmentation_metrics(self.counts, self.groups, seed=seed),
            **lesion_metrics(self.counts, self.lesions, self.groups, seed=seed),
            **{name: Metric(value, nan, nan) for name, value in sm_scores(self.sums).items()},
        }


def run_unet(config: UnetRun) -> RunMetrics:
    """Trains and tests one U-Net, or returns its result if it is done already.

    Raises:
        FileNotFoundError: If the records or the weight file are missing.
        OSError: If ImageNet weights cannot be downloaded.
        RuntimeError: If another process has the run open.
        ValueError: If a setting is out of range, or the run's folder was started with others.
    """
    folder = folder_of(config, row=config.row_name)
    if done := finished(folder):
        return done
    split = Split.holding_out(val=config.val_folds, test=config.test_folds)
    with open_run(folder, config, records=config.records, split=split) as run:
        model = train(config, run)
        run.outcome = _test(config, run, model)
    return read_metrics(folder.metrics)


def segment_slices(
    model: keras.Model,
    dataset: tf.data.Dataset,
    *,
    rule: MaskRule | None = None,
    mirror: bool = False,
) -> Segmented:
    """Segments every slice of a data set made `with_ids`.

    Args:
        model: Takes images and gives the probabilities of background, ischaemia, haemorrhage.
        dataset: Batches of (images, masks, ids).
        rule: Which pixels are lesion; with None each pixel takes its likeliest class.
        mirror: Whether each slice is seen mirrored too.
    """
    ids, groups, images, truth, predicted, sums = [], [], [], [], [], []
    for batch, masks, known in dataset:
        probs = predict_probs(model, batch, mirror=mirror)
        images.append(batch.numpy()[..., 0].round().astype(np.uint8))
        truth.append(masks.numpy()[..., 0])
        predicted.append(apply_mask_rule(probs, rule))
        sums.append(soft_sums(truth[-1], probs))
        ids.extend(it.decode() for it in known["source_id"].numpy())
        groups.extend(it.decode() for it in known["group_id"].numpy())
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
    )


def tune_mask(model: keras.Model, dataset: tf.data.Dataset, *, mirror: bool = False) -> MaskRule:
    """Returns the mask rule of best lesion Dice on batches of validation (images, masks).

    Raises:
        ValueError: If no slice has a lesion.
    """

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for batch, masks in dataset:
            yield masks.numpy(), predict_probs(model, batch, mirror=mirror)

    return choose_mask_rule(batches())


def read_mask_rule(run: Path) -> MaskRule | None:
    """Returns the rule that a run chose for its masks; None where it chose none."""
    path = run / MASK_RULE_NAME
    return MaskRule(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def train(config: UnetRun, run: OpenRun) -> keras.Model:
    """Trains the U-Net of a run in its folder and returns it with its best weights."""
    with training_scope(config.fit):
        model = _build(config)
    val = dataset_of(config, run.split.val, decoded=run.decoded)
    if config.augment and not run.is_trial:
        figure = draw_augmentations(val, strength=config.strength, seed=config.fit.seed)
        save_figure(figure, run.folder.figures / "augmentations.png")
    history = fit(
        model,
        dataset_of(config, run.split.train, training=True, decoded=run.decoded),
        val,
        config=config.fit,
        run_dir=run.folder.path,
        loss=LOSSES[config.loss](),
        progress=f"{run.folder.experiment}/{run.folder.path.name}",
    )
    if not run.is_trial:
        save_figure(figure_history(history), run.folder.figures / "history.png")
    return model


def _build(config: UnetRun) -> keras.Model:
    if config.architecture == "improved":
        return build_improved_unet(
            config.improvements,
            image_size=config.image_size,
            filters=config.filters,
            depth=config.depth,
            seed=config.fit.seed,
        )
    return build_unet(
        config.encoder,
        architecture=config.architecture,
        image_size=config.image_size,
        weights=config.weights,
        freeze_encoder=config.freeze,
        decoder_filters=config.decoder_filters,
        seed=config.fit.seed,
    )


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
    text = json.dumps(dataclasses.asdict(rule), indent=2) + "\n"
    write_text(run.folder.path / MASK_RULE_NAME, text)
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
        lesions_only=config.lesions_only,
        with_ids=with_ids,
        seed=config.fit.seed,
        decoded=decoded,
    )


def _figure(test: Segmented) -> Figure:
    """Lesion slices from the worst to the best, evenly picked by their Dice score."""
    dice = any_lesion_slice_dice(test.counts)
    lesions = np.flatnonzero((test.truth > 0).any(axis=(1, 2)))
    ranked = lesions[np.argsort(dice[lesions], kind="stable")]
    shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, _SHOWN).round().astype(int))]
    titles = [f"{test.ids[index]}: Dice {dice[index]:.2f}" for index in shown]
    return figure_segmentation(test.images[shown], test.truth[shown], test.predicted[shown], titles)
