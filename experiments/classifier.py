"""One run of a classifier: trained, its threshold chosen on validation, tested once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from experiments.augmentation_figure import draw_augmentations
from experiments.running import OpenRun, Outcome, Split, finished, folder_of, open_run
from experiments.settings import ClassifierRun
from stroke_tf.data import class_weights, make_dataset
from stroke_tf.evaluation.metrics import classification_metrics, count
from stroke_tf.evaluation.operating_point import choose_threshold
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName
from stroke_tf.models import build_classifier
from stroke_tf.reporting.figures import (
    figure_confusion,
    figure_history,
    figure_predictions,
    figure_roc,
    save_figure,
)
from stroke_tf.reporting.runs import RunMetrics, read_metrics, write_predictions
from stroke_tf.training import fit, training_scope

_LABELS = {Task.DETECT: ("no stroke", "stroke"), Task.TYPE: ("ischaemia", "haemorrhage")}


@dataclass(frozen=True)
class Scored:
    """What a classifier said of some slices.

    Attributes:
        ids: Source id of each slice.
        groups: Group id of each slice.
        truth: bool, shape (N,).
        scores: float64, shape (N,), in [0, 1]: the probability given to class 1.
        images: uint8, shape (N, S, S): the first channel of each slice.
    """

    ids: Sequence[str]
    groups: Sequence[str]
    truth: np.ndarray
    scores: np.ndarray
    images: np.ndarray


def run_classifier(config: ClassifierRun) -> RunMetrics:
    """Trains and tests one classifier, or returns its result if it is done already.

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


def score_slices(model: keras.Model, dataset: tf.data.Dataset) -> Scored:
    """Scores every slice of a data set made `with_ids`."""
    ids, groups, truth, scores, images = [], [], [], [], []
    for batch, labels, known in dataset:
        scores.append(model(batch, training=False).numpy()[:, 0].astype(np.float64))
        truth.append(labels.numpy()[:, 0] > 0)
        images.append(batch.numpy()[..., 0].round().astype(np.uint8))
        ids.extend(it.decode() for it in known["source_id"].numpy())
        groups.extend(it.decode() for it in known["group_id"].numpy())
    return Scored(
        ids, groups, np.concatenate(truth), np.concatenate(scores), np.concatenate(images)
    )


def _train(config: ClassifierRun, run: OpenRun) -> keras.Model:
    task = Task(config.task)
    with training_scope(config.fit):
        model = build_classifier(
            config.backbone,
            task=task,
            image_size=config.image_size,
            weights=config.weights,
            trainable=not config.freeze,
            dropout=config.dropout,
            dense_units=config.dense_units,
            seed=config.fit.seed,
        )
    weights = class_weights(config.records, run.split.train, task) if config.class_weights else None
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
        loss="binary_crossentropy",
        metrics=["accuracy", keras.metrics.AUC(name="auc")],
        class_weight=weights,
        progress=f"{config.experiment}/{run.folder.path.name}",
    )
    save_figure(figure_history(history), run.folder.figures / "history.png")
    return model


def _test(config: ClassifierRun, run: OpenRun, model: keras.Model) -> Outcome:
    val = score_slices(model, _dataset(config, run.split.val, with_ids=True))
    threshold = choose_threshold(val.truth, val.scores, rule=config.threshold_rule)
    test = score_slices(model, _dataset(config, run.split.test, with_ids=True))
    table = {"id": test.ids, "truth": test.truth.astype(int), "score": test.scores}
    write_predictions(run.folder, pd.DataFrame(table))
    _draw(run, test, threshold=threshold, labels=_LABELS[Task(config.task)])
    metrics = classification_metrics(
        test.truth, test.scores, threshold=threshold, groups=test.groups, seed=config.fit.seed
    )
    return Outcome(n=len(test.ids), threshold=threshold, metrics=metrics)


def _dataset(
    config: ClassifierRun,
    folds: tuple[FoldName, ...],
    *,
    training: bool = False,
    with_ids: bool = False,
) -> tf.data.Dataset:
    return make_dataset(
        config.records,
        folds=folds,
        task=Task(config.task),
        image_size=config.image_size,
        batch_size=config.batch_size,
        training=training,
        augment=config.strength if training and config.augment else None,
        with_ids=with_ids,
        seed=config.fit.seed,
    )


def _draw(run: OpenRun, test: Scored, *, threshold: float, labels: tuple[str, str]) -> None:
    figures = {
        "confusion": figure_confusion(count(test.truth, test.scores >= threshold), labels),
        "roc": figure_roc(test.truth, test.scores, threshold),
        "predictions": figure_predictions(
            test.images, test.truth, test.scores, threshold=threshold, labels=labels
        ),
    }
    for name, figure in figures.items():
        save_figure(figure, run.folder.figures / f"{name}.png")
