"""One run of a classifier: trained, its operating point chosen on validation, tested once."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.figure import Figure

from stroke_tf.data import class_weights, make_dataset
from stroke_tf.data.memory import Slices
from stroke_tf.evaluation.grad_cam import grad_cam
from stroke_tf.evaluation.operating_point import choose_operating_point, detection_metrics
from stroke_tf.files import replacing
from stroke_tf.inference.scoring import Scored, score_slices
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName
from stroke_tf.models import build_classifier, split_head
from stroke_tf.models.custom_cnn import CUSTOM_CNNS
from stroke_tf.reporting.figures import (
    draw_augmentations,
    draw_scores,
    figure_predictions,
)
from stroke_tf.reporting.grad_cam_figure import figure_grad_cam
from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.keep_or_run import OpenRun, Outcome, keep_or_run
from stroke_tf.runs.settings import HEAD_ONLY, ClassifierRun
from stroke_tf.training import fit, training_scope
from stroke_tf.training.classification import class_one_auc, classifier_loss
from stroke_tf.training.features import FeatureSet, extract_features, feature_dataset
from stroke_tf.training.probe import fit_probe
from stroke_tf.training.recipe import encoder_weights

FEATURES = "features"
_EXPLAINED = 6


def run_classifier(config: ClassifierRun) -> RunMetrics:
    """Trains and tests one classifier, or returns its result if it is done already.

    Raises:
        FileNotFoundError: If the records or the weight file are missing.
        OSError: If ImageNet weights cannot be downloaded.
        RuntimeError: If another process has the run open.
        ValueError: If a setting is out of range, or the run's folder was started with others.
    """

    def work(run: OpenRun) -> Outcome:
        model = train(config, run)
        if config.training in HEAD_ONLY:
            with replacing(run.folder.model) as path:
                model.save(path)
        return _test(config, run, model)

    return keep_or_run(config, work)


def train(config: ClassifierRun, run: OpenRun) -> keras.Model:
    """Trains the classifier of a run in its folder and returns it with its best weights."""
    with training_scope(config.fit):
        model = build(config)
    if config.training != "full":
        _train_head(config, run, model)
    if config.training not in HEAD_ONLY:
        fit(
            model,
            dataset_of(config, run.split.train, training=True, decoded=run.decoded),
            dataset_of(config, run.split.val, decoded=run.decoded),
            config=config.fit,
            run_dir=run.folder.path,
            class_weight=_class_weights(config, run, ratio=config.negatives_per_positive),
            progress=run.folder.title,
            **objective_of(config, model),
        )
    return model


def build(config: ClassifierRun) -> keras.Model:
    """Returns the classifier of a run, to be called inside `training_scope`."""
    from_scratch = config.backbone in CUSTOM_CNNS
    return build_classifier(
        config.backbone,
        task=Task(config.task),
        image_size=config.image_size,
        weights=config.weights,
        head=None if config.head == "auto" else config.head,
        trainable=True if from_scratch else config.unfreeze_from,
        pooling=config.pooling,
        dropout=config.dropout,
        dense_units=config.dense_units,
        seed=config.fit.seed,
    )


def _train_head(config: ClassifierRun, run: OpenRun, model: keras.Model) -> None:
    """Trains the head on the backbone's features of each slice; `model` shares its weights."""
    extractor, head = split_head(model)
    train = features_of(config, extractor, run.split.train, copies=config.copies)
    weights = _class_weights(config, run, ratio=None)
    if config.training.startswith("probe"):
        fit_probe(head, train, inverse_penalty=config.inverse_penalty, class_weight=weights)
        return
    val = features_of(config, extractor, run.split.val, copies=0)
    seed = config.fit.seed
    fit(
        head,
        feature_dataset(train, batch_size=config.batch_size, training=True, seed=seed),
        feature_dataset(val, batch_size=config.batch_size),
        config=dataclasses.replace(config.head_fit, seed=seed),
        run_dir=run.folder.head_history.parent,
        class_weight=weights,
        progress=f"{run.folder.title}, head",
        **objective_of(config, model),
    )


def features_of(
    config: ClassifierRun,
    extractor: keras.Model,
    folds: tuple[FoldName, ...],
    *,
    copies: int,
) -> FeatureSet:
    """Returns the backbone's features of some folds, from disk where they are known."""
    return extract_features(
        extractor,
        config.records,
        folds,
        task=Task(config.task),
        image_size=config.image_size,
        key_of_network=f"{config.backbone} {config.pooling}",
        copies=copies,
        strength=config.strength,
        view=config.view,
        windows=config.windows,
        seed=config.fit.seed,
        cache_dir=config.out / FEATURES,
    )


def objective_of(config: ClassifierRun, model: keras.Model) -> dict[str, Any]:
    """Returns loss, metrics and the weights of the backbone for `fit`, in both phases."""
    outputs = model.output_shape[-1]
    return {
        "loss": classifier_loss(outputs, label_smoothing=config.label_smoothing),
        "metrics": ["accuracy", class_one_auc()],
        "slow": encoder_weights(model),
        "monitor": f"val_{config.watch}",
        "mode": "min" if config.watch == "loss" else "max",
    }


def _class_weights(
    config: ClassifierRun, run: OpenRun, *, ratio: float | None
) -> dict[int, float] | None:
    if not config.class_weights:
        return None
    return class_weights(
        config.records, run.split.train, Task(config.task), negatives_per_positive=ratio
    )


def _test(config: ClassifierRun, run: OpenRun, model: keras.Model) -> Outcome:
    val = dataset_of(config, run.split.val, with_ids=True)
    known = score(config, model, val)
    point = choose_operating_point(known.truth, known.scores, rule=config.threshold_rule)
    test = score(config, model, dataset_of(config, run.split.test, with_ids=True))
    metrics = detection_metrics(
        test.truth, test.scores, point, groups=test.groups, seed=config.fit.seed
    )
    figures = _draw(config, model, test, threshold=point.threshold)
    if config.augment and config.training not in HEAD_ONLY:
        shown = draw_augmentations(val, strength=config.strength, seed=config.fit.seed)
        figures["augmentations"] = shown
    table = {"id": test.ids, "truth": test.truth.astype(int), "score": test.scores}
    return Outcome(
        predictions=pd.DataFrame(table),
        metrics=metrics,
        threshold=point.threshold,
        figures=figures,
        files={"operating_point.json": point},
    )


def score(config: ClassifierRun, model: keras.Model, dataset: tf.data.Dataset) -> Scored:
    """Scores the slices of a data set made `with_ids` as a run is tested."""
    scored = score_slices(model, dataset, mirror=config.mirror_test)
    return scored.smoothed(config.smooth_slices) if config.smooth_slices else scored


def dataset_of(
    config: ClassifierRun,
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
        task=Task(config.task),
        image_size=config.image_size,
        batch_size=config.batch_size,
        training=training,
        augment=config.strength if training and config.augment else None,
        negatives_per_positive=config.negatives_per_positive if training else None,
        windows=config.windows,
        view=config.view,
        with_ids=with_ids,
        seed=config.fit.seed,
        decoded=decoded,
    )


def _draw(
    config: ClassifierRun, model: keras.Model, test: Scored, *, threshold: float
) -> dict[str, Figure]:
    labels = config.classes
    return {
        **draw_scores(test.truth, test.scores, threshold=threshold, labels=labels),
        "predictions": figure_predictions(
            _shown(config, test.images), test.truth, test.scores, threshold=threshold, labels=labels
        ),
        "grad_cam": _explained(config, model, test),
    }


def _explained(config: ClassifierRun, model: keras.Model, test: Scored) -> Figure:
    """Draws Grad-CAM of the slices scored highest, those of class 1 first."""
    order = np.argsort(-test.scores, kind="stable")
    half = _EXPLAINED // 2
    shown = [*order[test.truth[order]][:half], *order[~test.truth[order]][:half]]
    images, labels = test.images[shown], config.classes
    titles = [f"{test.ids[i]}: {labels[int(test.truth[i])]} / {test.scores[i]:.2f}" for i in shown]
    return figure_grad_cam(_shown(config, images), grad_cam(model, images), titles)


def _shown(config: ClassifierRun, images: np.ndarray) -> np.ndarray:
    """Returns the channel that shows the slice itself."""
    return images[..., int(config.view == "neighbours")]
