"""One run of a U-Net: trained, tested once, its lesions counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from experiments.augmentation_figure import draw_augmentations
from experiments.running import OpenRun, Outcome, Split, finished, folder_of, open_run
from experiments.settings import UnetRun
from stroke_tf.data import make_dataset
from stroke_tf.evaluation.segmentation import (
    SegmentationCounts,
    any_lesion_slice_dice,
    count_masks,
    segmentation_metrics,
)
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName
from stroke_tf.models.unet import build_unet
from stroke_tf.reporting.figures import figure_history, figure_segmentation, save_figure
from stroke_tf.reporting.runs import RunMetrics, read_metrics, write_predictions
from stroke_tf.training import LOSSES, fit, training_scope

_SHOWN = 6


@dataclass(frozen=True)
class Segmented:
    """What a U-Net drew on some slices.

    Attributes:
        ids: Source id of each slice.
        groups: Group id of each slice.
        counts: Pixel counts of each slice.
        images: uint8, shape (N, S, S): the first channel of each slice.
        truth: uint8 class ids, shape (N, S, S).
        predicted: uint8 class ids, shape (N, S, S).
    """

    ids: Sequence[str]
    groups: Sequence[str]
    counts: SegmentationCounts
    images: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray


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
        model = _train(config, run)
        run.outcome = _test(config, run, model)
    return read_metrics(folder.metrics)


def segment_slices(model: keras.Model, dataset: tf.data.Dataset) -> Segmented:
    """Segments every slice of a data set made `with_ids`: each pixel takes its likeliest class."""
    ids, groups, images, truth, predicted = [], [], [], [], []
    for batch, masks, known in dataset:
        images.append(batch.numpy()[..., 0].round().astype(np.uint8))
        truth.append(masks.numpy()[..., 0])
        predicted.append(model(batch, training=False).numpy().argmax(axis=-1).astype(np.uint8))
        ids.extend(it.decode() for it in known["source_id"].numpy())
        groups.extend(it.decode() for it in known["group_id"].numpy())
    true_masks, drawn = np.concatenate(truth), np.concatenate(predicted)
    counts = count_masks(true_masks, drawn)
    return Segmented(ids, groups, counts, np.concatenate(images), true_masks, drawn)


def _train(config: UnetRun, run: OpenRun) -> keras.Model:
    with training_scope(config.fit):
        model = build_unet(
            config.encoder,
            image_size=config.image_size,
            weights=config.weights,
            freeze_encoder=config.freeze,
            decoder_filters=config.decoder_filters,
            seed=config.fit.seed,
        )
    val = _dataset(config, run.split.val)
    if config.augment:
        figure = draw_augmentations(val, strength=config.strength, seed=config.fit.seed)
        save_figure(figure, run.folder.figures / "augmentations.png")
    history = fit(
        model,
        _dataset(config, run.split.train, training=True),
        val,
        config=config.fit,
        run_dir=run.folder.path,
        loss=LOSSES[config.loss](),
        progress=f"{config.experiment}/{run.folder.path.name}",
    )
    save_figure(figure_history(history), run.folder.figures / "history.png")
    return model


def _test(config: UnetRun, run: OpenRun, model: keras.Model) -> Outcome:
    test = segment_slices(model, _dataset(config, run.split.test, with_ids=True))
    write_predictions(run.folder, test.counts.to_frame(test.ids))
    save_figure(_figure(test), run.folder.figures / "segmentation.png")
    metrics = segmentation_metrics(test.counts, test.groups, seed=config.fit.seed)
    return Outcome(n=len(test.ids), threshold=None, metrics=metrics)


def _dataset(
    config: UnetRun,
    folds: tuple[FoldName, ...],
    *,
    training: bool = False,
    with_ids: bool = False,
) -> tf.data.Dataset:
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
    )


def _figure(test: Segmented) -> Figure:
    """Lesion slices from the worst to the best, evenly picked by their Dice score."""
    dice = any_lesion_slice_dice(test.counts)
    lesions = np.flatnonzero((test.truth > 0).any(axis=(1, 2)))
    ranked = lesions[np.argsort(dice[lesions], kind="stable")]
    shown = ranked[np.unique(np.linspace(0, len(ranked) - 1, _SHOWN).round().astype(int))]
    titles = [f"{test.ids[index]}: Dice {dice[index]:.2f}" for index in shown]
    return figure_segmentation(test.images[shown], test.truth[shown], test.predicted[shown], titles)
