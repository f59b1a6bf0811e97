"""The baseline without a network that stands beside every classifier: a grey histogram."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TypeGuard

import numpy as np
import pandas as pd

from stroke_tf.data import make_dataset, named_batches
from stroke_tf.evaluation.baselines import fit_histogram_baseline, histogram_features
from stroke_tf.evaluation.operating_point import choose_operating_point, detection_metrics
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName
from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.keep_or_run import OpenRun, Outcome, keep_or_run
from stroke_tf.runs.settings import HISTOGRAM, ClassifierRun, UnetRun


def is_histogram(run: ClassifierRun | UnetRun) -> TypeGuard[ClassifierRun]:
    """Returns whether a run is that of the baseline."""
    return isinstance(run, ClassifierRun) and run.backbone == HISTOGRAM


def run_histogram(config: ClassifierRun) -> RunMetrics:
    """Fits and tests the histogram baseline on the folds and at the size of a classifier's run.

    Raises:
        FileNotFoundError: If the records are missing.
        RuntimeError: If another process has the run open.
        ValueError: If a setting is out of range, or the run's folder was started with others.
    """
    return keep_or_run(config, lambda run: _fit_and_test(config, run))


def score_elsewhere(
    config: ClassifierRun, train: tuple[FoldName, ...], records: Path, folds: tuple[FoldName, ...]
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Fits the baseline of a run again, and returns truth, scores and groups of other records."""
    model = fit_histogram_baseline(*read_histograms(config, train)[:2])
    elsewhere = dataclasses.replace(config, records=records)
    features, truth, _, groups = read_histograms(elsewhere, folds)
    return truth, model.predict_proba(features)[:, 1], groups


def _fit_and_test(config: ClassifierRun, run: OpenRun) -> Outcome:
    parts = {
        name: read_histograms(config, folds)
        for name, folds in dataclasses.asdict(run.split).items()
    }
    model = fit_histogram_baseline(*parts["train"][:2])
    scores = {name: model.predict_proba(part[0])[:, 1] for name, part in parts.items()}
    point = choose_operating_point(parts["val"][1], scores["val"], rule=config.threshold_rule)
    _, truth, ids, groups = parts["test"]
    table = {"id": ids, "truth": truth.astype(int), "score": scores["test"]}
    metrics = detection_metrics(truth, scores["test"], point, groups=groups, seed=config.fit.seed)
    files = {"operating_point.json": point}
    return Outcome(pd.DataFrame(table), metrics, point.threshold, files=files)


def read_histograms(
    config: ClassifierRun, folds: tuple[FoldName, ...]
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """Returns grey histograms, shape (N, 32), truth, ids and groups of some folds.

    Pictures are in memory a batch at a time.
    """
    dataset = make_dataset(
        config.records,
        folds=folds,
        task=Task(config.task),
        image_size=config.image_size,
        batch_size=config.batch_size,
        with_ids=True,
    )
    features, truth = [], []
    ids: list[str] = []
    groups: list[str] = []
    for batch in named_batches(dataset):
        features.append(histogram_features(batch.shown[..., 0]))
        truth.append(batch.labels[:, 0] > 0)
        ids += batch.ids
        groups += batch.groups
    return np.concatenate(features), np.concatenate(truth), ids, groups
