"""Initial weights compared where there are few patients to learn from.

A head is fitted to the features that a frozen backbone has of the slices of some patients, drawn at
random, and scored on all patients of the test folds. All weights learn from the same patients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from stroke_tf.evaluation.comparisons import holm
from stroke_tf.evaluation.intervals import (
    INTERVALS,
    Gain,
    Metric,
    bootstrap,
    bootstrap_gain,
    p_text,
)
from stroke_tf.evaluation.metrics import roc_auc
from stroke_tf.files import write_text
from stroke_tf.manifest import FoldName, read_manifest
from stroke_tf.models import split_head
from stroke_tf.page import markdown_table
from stroke_tf.records import STAGE_FOLDS
from stroke_tf.reporting.figures import figure_by_count
from stroke_tf.run_folder import save_figure
from stroke_tf.runs.classifier import build, features_of
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.training.features import FeatureSet
from stroke_tf.training.probe import fit_probe
from stroke_tf.zoo.learned_from import check_not_learned_from

_NOTE = (
    "Mean ROC AUC of {seeds} draws of patients to learn from, on {slices} slices of {patients} "
    "others, protocol {protocol}, with 95 % intervals over these patients ({intervals}). The "
    "difference is to the first weights; its p value is that of there being none, corrected by "
    "Holm for the comparisons of this table ({comparisons})."
)


@dataclass(frozen=True)
class FewScores:
    """Scores of the slices of the test folds.

    Attributes:
        scores: Shape (draws, N), by weights and number of patients to learn from.
        truth: bool, shape (N,).
        groups: Shape (N,): the patient of each slice.
        protocol: Of the records.
    """

    scores: Mapping[tuple[str, int], NDArray[np.float64]]
    truth: NDArray[np.bool_]
    groups: NDArray[np.str_]
    protocol: str

    def aucs(self, key: tuple[str, int]) -> list[float]:
        """Returns the ROC AUC of each draw."""
        return [roc_auc(self.truth, scores) for scores in self.scores[key]]

    def mean_auc(self, key: tuple[str, int], weights: NDArray[np.int64]) -> float:
        """Returns the mean ROC AUC of the draws; weights, shape (N,): how often a slice counts."""
        drawn = np.repeat(np.arange(len(weights)), weights)
        truth = self.truth[drawn]
        return float(np.mean([roc_auc(truth, scores[drawn]) for scores in self.scores[key]]))


def score_few(
    base: ClassifierRun,
    starts: Mapping[str, str | None],
    *,
    patients: Sequence[int],
    seeds: Sequence[int],
) -> FewScores:
    """Fits a head for each start, number of patients and seed, and scores the test folds.

    Args:
        base: Backbone, records, test folds, and how slices are seen; its head is "linear".
        starts: Weights of the backbone by the name that they are shown under.
        patients: Numbers of patients to learn from, drawn from all but the test folds; more of
            them hold the fewer ones of the same seed.
        seeds: Seeds of the draws.

    Raises:
        FileNotFoundError: If the records or the weights are missing.
        ValueError: If there are not so many patients, those drawn lack a class, or weights have
            learned from patients of the test folds.
    """
    manifest = read_manifest(base.records)
    for weights in starts.values():
        check_not_learned_from(weights, base.records, base.test_folds)
    known: list[FoldName] = [fold.fold for fold in manifest.folds if fold.fold not in STAGE_FOLDS]
    others = tuple(fold for fold in known if fold not in base.test_folds)
    scores = {}
    for name, weights in starts.items():
        run = replace(base, weights=weights)
        extractor, head = split_head(build(run))
        features_of(run, extractor, (*others, *base.test_folds), copies=0)  # compiles once
        learned = features_of(run, extractor, others, copies=0)
        tested = features_of(run, extractor, base.test_folds, copies=0)
        for count in patients:
            said = []
            for seed in seeds:
                some = _of_patients(learned, count, seed=seed)
                share = some.labels.mean()
                balanced = {0: 0.5 / (1 - share), 1: 0.5 / share}
                fit_probe(head, some, inverse_penalty=run.inverse_penalty, class_weight=balanced)
                said.append(head.predict(tested.features[0], verbose=0)[:, -1])
            scores[name, count] = np.array(said, np.float64)
    return FewScores(scores, tested.labels[:, 0] > 0, np.array(tested.groups), manifest.protocol)


def _of_patients(features: FeatureSet, count: int, *, seed: int) -> FeatureSet:
    """Returns the slices of some patients drawn at random."""
    known = sorted(set(features.groups))
    if count > len(known):
        raise ValueError(f"`patients` must be <= {len(known)}, as there are. Received: {count}")
    drawn = set(np.random.default_rng(seed).permutation(known)[:count].tolist())
    places = [place for place, group in enumerate(features.groups) if group in drawn]
    labels = features.labels[places]
    if labels.min() == labels.max():
        raise ValueError(
            f"the patients drawn must show both classes. Received: {count} patients of seed {seed} "
            f"with class {int(labels.max())} alone"
        )
    return FeatureSet(
        features.features[:, places],
        labels,
        tuple(features.ids[place] for place in places),
        tuple(features.groups[place] for place in places),
    )


def write_few(found: FewScores, folder: Path, *, seeds: Sequence[int]) -> str:
    """Writes TABLE.md, aucs.csv and few_patients.png to a folder; returns the table.

    Args:
        found: What was scored.
        folder: Folder of the experiment.
        seeds: Seeds of the draws, in their order.
    """
    names, counts = (list(dict.fromkeys(column)) for column in zip(*found.scores, strict=True))
    points: dict[str, dict[int, Metric]] = {
        name: {count: _mean(found, (name, count)) for count in counts} for name in names
    }
    first, *others = names
    pairs = [(other, count) for count in counts for other in others]
    gains = {pair: _gain(found, pair, (first, pair[1])) for pair in pairs}
    p_values = dict(zip(pairs, holm([gain.p_value for gain in gains.values()]), strict=True))
    rows = [
        [
            str(count),
            *(points[name][count].text() for name in names),
            *(_gain_text(gains[other, count], p_values[other, count]) for other in others),
        ]
        for count in counts
    ]
    header = ("patients", *names, *(f"{other} - {first} (p, Holm)" for other in others))
    note = _NOTE.format(
        seeds=len(seeds),
        slices=len(found.truth),
        patients=len(set(found.groups)),
        protocol=found.protocol,
        intervals=INTERVALS,
        comparisons=len(pairs),
    )
    text = f"{markdown_table(header, rows)}\n\n{note}\n"
    write_text(folder / "TABLE.md", text)
    aucs = [
        {"weights": name, "patients": count, "seed": seed, "roc_auc": auc}
        for name, count in found.scores
        for seed, auc in zip(seeds, found.aucs((name, count)), strict=True)
    ]
    write_text(folder / "aucs.csv", pd.DataFrame(aucs).to_csv(index=False))
    figure = figure_by_count(points, counted="patients to learn from", score="ROC AUC")
    save_figure(figure, folder / "few_patients.png")
    return text


def _mean(found: FewScores, key: tuple[str, int]) -> Metric:
    (mean,) = bootstrap(lambda weights: [found.mean_auc(key, weights)], found.groups)
    return mean


def _gain(found: FewScores, mine: tuple[str, int], theirs: tuple[str, int]) -> Gain:
    return bootstrap_gain(
        lambda weights: found.mean_auc(mine, weights) - found.mean_auc(theirs, weights),
        found.groups,
    )


def _gain_text(gain: Gain, p_value: float) -> str:
    return f"{gain.difference.text(sign=True)} ({p_text(p_value)})"
