"""Finished runs on records of another source, which nothing is trained on and nothing chosen on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras

from stroke_tf.data.selection import has_masks
from stroke_tf.deploy.calibrate import score_slices
from stroke_tf.deploy.load import load_model
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.metrics import classification_metrics
from stroke_tf.files import read_json, write_json
from stroke_tf.inference.predict import Predictor, segment_slices
from stroke_tf.manifest import FoldName, read_hashed_manifest
from stroke_tf.run_folder import DATA_NAME, RunMetrics, json_of_metrics, read_metrics
from stroke_tf.runs import classifier, histogram, unet
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables.jobs import outside_file
from stroke_tf.tables.table import Row

Scores = tuple[list[str], dict[str, Metric]]
"""The group of each slice that was answered, and the scores."""


def score_outside(run: Row, records: Path) -> None:
    """Leaves `outside-NAME.json` in the folder of a finished run.

    The network answers all slices of the records that its task is about; threshold and mask rule
    are the run's own. Where the records have labels of lesions and no masks of them, a run whose
    masks detect is scored as a detector. Intervals are of a bootstrap over the groups.

    Args:
        run: The settings of the run.
        records: Folder of records of another source, with the same kind of pixels.

    Raises:
        FileNotFoundError: If there are no such records, or the run is not done.
        ValueError: If the records hold other pixels than the run learned from, or no slice that its
            task is about.
    """
    folder = folder_of(run)
    manifest, sha256 = read_hashed_manifest(records)
    learned = read_json(folder.path / DATA_NAME)["pixels"]
    if manifest.pixels != learned:
        raise ValueError(
            f"{records} must hold {learned}, as what the run learned from. "
            f"Received: {manifest.pixels}"
        )
    folds = tuple(fold.fold for fold in manifest.folds if fold.records)
    done = read_metrics(folder.metrics)
    if isinstance(run, UnetRun):
        groups, metrics = _segment(run, records, folds)
    else:
        groups, metrics = _classify(run, done, records, folds)
    found = {
        "name": records.name,
        "manifest_sha256": sha256,
        "n": len(groups),
        "patients": len(set(groups)) if manifest.grouping == "patient" else None,
        "metrics": json_of_metrics(metrics),
    }
    write_json(outside_file(run, records), found)


def _classify(
    run: ClassifierRun, done: RunMetrics, records: Path, folds: tuple[FoldName, ...]
) -> Scores:
    if histogram.is_histogram(run):
        truth, scores, groups = histogram.score_elsewhere(run, done.split["train"], records, folds)
    else:
        model = keras.models.load_model(folder_of(run).model, compile=False)
        dataset = classifier.dataset_of(replace(run, records=records), folds, with_ids=True)
        scored = classifier.score(run, model, dataset)
        truth, scores, groups = scored.truth, scored.scores, list(scored.groups)
    if done.threshold is None:
        raise ValueError(
            f"{folder_of(run).path}: a classifier must have a threshold. Received: none"
        )
    return groups, classification_metrics(
        truth, scores, threshold=done.threshold, groups=groups, seed=run.fit.seed
    )


def _segment(run: UnetRun, records: Path, folds: tuple[FoldName, ...]) -> Scores:
    folder = folder_of(run)
    detector = unet.read_detector(folder.path)
    if detector is not None and not has_masks(records, folds):
        truth, scores, groups = score_slices(load_model(folder.path), records, folds)
        threshold = detector.point.threshold
        return groups, classification_metrics(
            truth, scores, threshold=threshold, groups=groups, seed=run.fit.seed
        )
    model = keras.models.load_model(folder.model, compile=False)
    slices = unet.dataset_of(replace(run, records=records), folds, with_ids=True)
    predictor = Predictor(model, mirror=run.mirror_test)
    rule = unet.read_mask_rule(folder.path)
    drawing = unet.drawing_of(run)
    found = segment_slices(predictor, slices, rule=rule, detector=detector, **drawing)
    return list(found.groups), found.metrics(seed=run.fit.seed)
