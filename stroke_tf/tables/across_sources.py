"""One recipe trained at each of several hospitals and at all together, and tested at each.

A head is fitted to the features that a frozen backbone has of slices. Where it is tested on the
source that it learned from, each slice is scored by a head that has not seen the slice's part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from stroke_tf.evaluation.comparisons import holm
from stroke_tf.evaluation.intervals import INTERVALS, Gain, p_text
from stroke_tf.files import write_text
from stroke_tf.manifest import FoldName, read_manifest
from stroke_tf.models import split_head
from stroke_tf.page import markdown_table
from stroke_tf.runs.classifier import build, features_of
from stroke_tf.runs.cross_validation import CrossValidated
from stroke_tf.runs.parts import parts_of
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.training.features import FeatureSet
from stroke_tf.training.probe import fit_probe
from stroke_tf.zoo.learned_from import check_not_learned_from

TOGETHER = "all together"
"""The row of the head that learned from all sources."""
Across = Mapping[tuple[str, str], CrossValidated]
"""Scores by what was learned from, a source or TOGETHER, and by the source that was tested."""

_NOTE = (
    "ROC AUC, and sensitivity at 0.9 specificity: means of five parts by patient, protocol clean, "
    "with 95 % intervals over the patients tested ({intervals}). A source that was learned from is "
    "tested on the part that was left out; another one was not seen at all. Tested: {tested}."
)
_GAINS = (
    "Difference of the ROC AUC to what the source's own patients teach, and its p value of there "
    "being none, corrected by Holm for the comparisons of this table ({comparisons})."
)


def score_across(
    base: ClassifierRun, sources: Mapping[str, Path]
) -> dict[tuple[str, str], CrossValidated]:
    """Fits a head for each source and for all of them, and scores each source in five parts.

    Args:
        base: Backbone and how slices are seen; its head is "linear".
        sources: Folders of records by the name of their source, two or more of them.

    Raises:
        FileNotFoundError: If the records or the weights are missing.
        ValueError: If there is one source, records are not clean or lack a class in a part, or the
            weights have learned from them.
    """
    if len(sources) < 2 or TOGETHER in sources:
        raise ValueError(f"sources must be two or more. Received: {list(sources)}")
    runs = {name: replace(base, records=records) for name, records in sources.items()}
    for name, run in runs.items():
        if (protocol := read_manifest(run.records).protocol) != "clean":
            raise ValueError(f"records of {name} must be clean. Received: {protocol}")
        check_not_learned_from(run.weights, run.records)
    extractor, head = split_head(build(base))
    parts = {name: [run.test_folds for run in parts_of(run)] for name, run in runs.items()}
    known = {
        name: [_features(runs[name], extractor, folds) for folds in parts[name]] for name in runs
    }
    found = {}
    for tested, of_parts in known.items():
        elsewhere = {name: known[name] for name in known if name != tested}
        for name, learned in elsewhere.items():
            _fit(base, head, learned)
            found[name, tested] = _scored(of_parts, [_predict(head, part) for part in of_parts])
        own, both = [], []
        for place, part in enumerate(of_parts):
            rest = [*of_parts[:place], *of_parts[place + 1 :]]
            _fit(base, head, rest)
            own.append(_predict(head, part))
            _fit(base, head, [*rest, *(part for parts in elsewhere.values() for part in parts)])
            both.append(_predict(head, part))
        found[tested, tested], found[TOGETHER, tested] = (
            _scored(of_parts, own),
            _scored(of_parts, both),
        )
    return found


def _features(run: ClassifierRun, extractor: keras.Model, folds: Sequence[FoldName]) -> FeatureSet:
    return features_of(run, extractor, tuple(folds), copies=0)


def _fit(run: ClassifierRun, head: keras.Model, learned: Sequence[FeatureSet]) -> None:
    """Fits the head to some sets of slices together, both classes weighing alike."""
    together = FeatureSet(
        np.concatenate([part.features for part in learned], axis=1),
        np.concatenate([part.labels for part in learned]),
        tuple(source_id for part in learned for source_id in part.ids),
        tuple(group for part in learned for group in part.groups),
    )
    share = float(together.labels.mean())
    if not 0 < share < 1:
        raise ValueError(f"slices to learn from must show both classes. Received: {share} of them")
    balanced = {0: 0.5 / (1 - share), 1: 0.5 / share}
    fit_probe(head, together, inverse_penalty=run.inverse_penalty, class_weight=balanced)


def _predict(head: keras.Model, part: FeatureSet) -> np.ndarray:
    return head.predict(part.features[0], verbose=0)[:, -1].astype(np.float64)


def _scored(parts: Sequence[FeatureSet], scores: Iterable[np.ndarray]) -> CrossValidated:
    frames = [
        pd.DataFrame(
            {
                "id": part.ids,
                "group": part.groups,
                "part": place,
                "truth": part.labels[:, 0] > 0,
                "score": score,
                "called": score >= 0.5,
            }
        )
        for place, (part, score) in enumerate(zip(parts, scores, strict=True))
    ]
    return CrossValidated("clean", pd.concat(frames, ignore_index=True), 0.0)


def write_across(found: Across, folder: Path) -> str:
    """Writes TABLE.md and predictions.csv to a folder; returns the table.

    Args:
        found: What was scored.
        folder: Folder of the experiment.
    """
    tested = list(dict.fromkeys(name for _, name in found))
    learned = [*tested, TOGETHER]
    metrics = {pair: found[pair].metrics() for pair in found}
    rows = [
        [name]
        + [
            metrics[name, there][score].text()
            for there in tested
            for score in ("roc_auc", "sensitivity_at_90_specificity")
        ]
        for name in learned
    ]
    header = ["learned from"]
    for there in tested:
        header += [f"{there}: ROC AUC", f"{there}: sensitivity at 0.9 specificity"]
    pairs = [(name, there) for there in tested for name in learned if name != there]
    gains = {
        (name, there): found[name, there].gain_over(found[there, there]) for name, there in pairs
    }
    p_values = holm([gain.p_value for gain in gains.values()])
    compared = [
        [name, there, _gain_text(gains[name, there], p_value)]
        for (name, there), p_value in zip(pairs, p_values, strict=True)
    ]
    sizes = []
    for there in tested:
        frame = found[there, there].frame
        sizes.append(
            f"{there}, {len(frame):,} slices of {frame['group'].nunique()} patients, "
            f"{frame['truth'].sum():,} with a lesion"
        )
    text = "\n\n".join(
        [
            markdown_table(header, rows),
            _NOTE.format(intervals=INTERVALS, tested="; ".join(sizes)),
            markdown_table(("learned from", "tested on", "difference (p, Holm)"), compared),
            _GAINS.format(comparisons=len(pairs)) + "\n",
        ]
    )
    write_text(folder / "TABLE.md", text)
    frames = [
        scored.frame.assign(learned_from=name, tested_on=there)
        for (name, there), scored in found.items()
    ]
    write_text(folder / "predictions.csv", pd.concat(frames).to_csv(index=False))
    return text


def _gain_text(gain: Gain, p_value: float) -> str:
    return f"{gain.difference.text(sign=True)} ({p_text(p_value)})"
