"""Trials of a search for a classifier: values to settings, training, and the score."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_curve

from stroke_tf.config import AugmentStrength
from stroke_tf.data import decode_slices
from stroke_tf.evaluation.comparisons import paired_bootstrap
from stroke_tf.evaluation.intervals import Gain
from stroke_tf.evaluation.metrics import roc_auc
from stroke_tf.inference.scoring import Scored
from stroke_tf.labels import Task
from stroke_tf.models import BACKBONES, CUSTOM_CNNS, split_head
from stroke_tf.run_folder import RunFolder, read_predictions
from stroke_tf.runs.classifier import (
    HEAD_ONLY,
    dataset_of,
    features_of,
    run_classifier,
    score,
    train,
)
from stroke_tf.runs.keep_or_run import OpenRun
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.search.run_search import Kind
from stroke_tf.search.settings import ClassifierSearch

_DIRECT = ("backbone", "batch_size", "dropout", "dense_units", "inverse_penalty")
OF_FIT = ("learning_rate", "epochs")


def classifier_kind(config: ClassifierSearch) -> Kind:
    """Returns the parts of a search that are special to a classifier.

    Raises:
        ValueError: If the search cannot work.
    """
    run = config.run
    if config.strategy == "hyperband" and run.training == "probe":
        raise ValueError("--strategy hyperband needs a training with epochs. Received: probe")
    objectives: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "auc": roc_auc,
        "recall-at-precision": partial(recall_at_precision, floor=config.precision_floor),
    }
    reads_slices = run.training not in HEAD_ONLY or run.mirror_test
    shown: dict[str, Any] = {"task": Task(run.task), "image_size": run.image_size, "view": run.view}
    return Kind(
        space=config.space.of(run.training, copies=run.copies),
        objective=config.objective,
        settings={"precision_floor": config.precision_floor},
        configure=configure,
        decode=partial(decode_slices, run.records, **shown) if reads_slices else None,
        train=partial(_train, objective=objectives[config.objective]),
        run=run_classifier,
        tested_by="ROC AUC",
        gain=auc_gain,
        max_epochs=(run.head_fit if run.training == "frozen" else run.fit).epochs,
    )


def configure(run: ClassifierRun, values: Mapping[str, Any]) -> ClassifierRun:
    """Returns a run with the values of a trial in it: those of a `ClassifierSpace`, and epochs."""
    changes = chosen(values, _DIRECT)
    backbone = values.get("backbone", run.backbone)
    if backbone in CUSTOM_CNNS:
        changes |= {"weights": None, "unfreeze_from": "all"}
    elif "unfrozen" in values:
        changes["unfreeze_from"] = _first_block(backbone, values["unfrozen"])
    trained = "head_fit" if run.training == "frozen" else "fit"
    changes[trained] = dataclasses.replace(getattr(run, trained), **chosen(values, OF_FIT))
    run = dataclasses.replace(run, **changes)
    return augmented(run, values["augmentation"]) if "augmentation" in values else run


def chosen(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Returns those values of a trial that have one of the names."""
    return {name: values[name] for name in names if name in values}


def augmented(run: Any, factor: float) -> Any:
    """Returns a run whose augmentations are stronger by a factor, or off for 0."""
    if not factor:
        off = {"copies": 0} if isinstance(run, ClassifierRun) else {}
        return dataclasses.replace(run, augment=False, **off)
    strength = AugmentStrength(
        rotation_deg=run.strength.rotation_deg * factor,
        contrast=run.strength.contrast * factor,
        brightness=run.strength.brightness * factor,
        mirror=run.strength.mirror,  # a probability: half of the slices is as much as can be
        roi=run.strength.roi * factor,
    )
    return dataclasses.replace(run, augment=True, strength=strength)


def recall_at_precision(truth: np.ndarray, scores: np.ndarray, *, floor: float) -> float:
    """Returns the best recall of a threshold whose precision reaches the floor; 0 without one.

    NaN where no slice is of class 1.
    """
    if not truth.any():
        return float("nan")
    precision, recall, _ = precision_recall_curve(truth, scores)
    return float(recall[:-1][precision[:-1] >= floor].max(initial=0.0))


def _first_block(backbone: str, share: float) -> str:
    """Returns where the last blocks of a backbone begin, at least one of them above 0."""
    blocks = BACKBONES[backbone].blocks
    if share >= 1:
        return "all"
    return blocks[max(1, round(share * len(blocks))) - 1] if share > 0 else "none"


def _train(
    config: ClassifierRun, run: OpenRun, *, objective: Callable[[np.ndarray, np.ndarray], float]
) -> float:
    model = train(config, run)
    if config.training in HEAD_ONLY and not config.mirror_test:
        scored = _score_features(config, model, run)
    else:
        slices = dataset_of(config, run.split.val, with_ids=True, decoded=run.decoded)
        scored = score(config, model, slices)
    return objective(scored.truth, scored.scores)


def _score_features(config: ClassifierRun, model: Any, run: OpenRun) -> Scored:
    extractor, head = split_head(model)
    features = features_of(config, extractor, run.split.val, copies=0)
    scored = Scored(
        ids=features.ids,
        groups=features.groups,
        truth=features.labels[:, 0] > 0,
        scores=head(features.features[0], training=False).numpy()[:, -1].astype(np.float64),
        images=np.empty(0, np.uint8),
    )
    return scored.smoothed(config.smooth_slices) if config.smooth_slices else scored


def paired_predictions(best: RunFolder, defaults: RunFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the test predictions of two runs, the rows of both in the order of the first."""
    first, second = (read_predictions(run.predictions) for run in (best, defaults))
    return first, second.set_index("id").loc[first["id"]]


def auc_gain(best: RunFolder, defaults: RunFolder, groups: Mapping[str, str]) -> Gain:
    """Returns the ROC AUC of the first run minus that of the second, on their test slices."""
    first, second = paired_predictions(best, defaults)
    return paired_bootstrap(
        first["truth"], first["score"], second["score"], groups=first["id"].map(groups)
    )
