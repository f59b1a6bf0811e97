"""Shortcuts: what tells the class without the brain, and what tells where a slice is from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stroke_tf.audits.audit import Audited, Finding, Subject
from stroke_tf.audits.confounding import are_several, read_sources, source_findings, within_sources
from stroke_tf.audits.plain import deal
from stroke_tf.audits.quick import Auc, aucs, out_of_fold
from stroke_tf.audits.slices import SliceSet, backbone_features, read_slices
from stroke_tf.audits.views import (
    EQUALISED,
    FULL,
    HEAD,
    HISTOGRAM,
    NUMBERS,
    OUTLINE,
    OUTSIDE,
    PICTURES,
    SIZE,
    THUMBNAIL,
    WINDOW,
    Images,
    head_masks,
)
from stroke_tf.files import plain
from stroke_tf.labels import Task
from stroke_tf.manifest import read_manifest
from stroke_tf.reporting.figures import figure_augmentations

_TELLS = 0.6  # an AUC whose interval lies above tells the class
_CHANCE = 0.5
_LOST = 0.02  # of the AUC, when something is taken away that should not matter
_SHOWN = 5  # slices in the figure
_CLASSES = {Task.DETECT: "lesion or none", Task.TYPE: "ischaemia or haemorrhage"}
_WITHOUT_BRAIN = {
    OUTSIDE: "the class can be told without the brain",
    SIZE: "the class can be told without the picture",
}
_TAKEN_AWAY = {
    HEAD: "the classifier leans on what lies around the head",
    EQUALISED: "windows tell the class",
}


@dataclass
class _Found:
    findings: list[Finding] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)


def audit(subject: Subject) -> Audited:
    """Scores one classifier on views of the slices, and says which of them tell too much."""
    manifest, found = read_manifest(subject.folder), _Found()
    slices = read_slices(subject.folder, image_size=subject.image_size)
    heads = head_masks(slices.images)
    features = _features(slices, heads, subject)
    clean = manifest.protocol == "clean"
    sources, told = read_sources(subject.table, slices.ids)
    found.findings += told
    for task in _CLASSES:
        places = np.flatnonzero(slices.used(task))
        truth, groups = slices.truth(task)[places], slices.groups[places]
        if truth.any() and not truth.all() and len(set(groups)) > 1:
            _score(
                found,
                slices.take(places),
                task,
                clean,
                subject,
                _rows(features, places),
                None if sources is None else sources[places],
            )
    if not found.tables:
        found.findings.append(Finding("note", "No view is scored: the slices are of one class."))
    return Audited(
        "Shortcuts",
        f"{len(slices.rows)} slices in {len(set(slices.groups))} groups ({manifest.grouping}), "
        f"protocol {manifest.protocol}, five parts by group, seed {subject.seed}. One classifier, "
        f"logistic regression out of fold, on a frozen {subject.backbone}'s features of each "
        f"picture ({subject.image_size} px, weights {plain(subject.weights)}), or on numbers.",
        tuple(found.findings),
        found.tables,
        {"views": _figure(slices, heads)},
    )


def _features(slices: SliceSet, heads: Images, subject: Subject) -> dict[str, NDArray[np.float32]]:
    pictures = {
        view: backbone_features(shown(slices.images, heads), subject)
        for view, shown in PICTURES.items()
    }
    return pictures | {view: numbers(slices) for view, numbers in NUMBERS.items()}


def _rows(
    features: Mapping[str, NDArray[np.float32]], places: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    return {view: columns[places] for view, columns in features.items()}


def _score(
    found: _Found,
    slices: SliceSet,
    task: Task,
    clean: bool,
    subject: Subject,
    features: Mapping[str, NDArray[np.float32]],
    sources: NDArray[np.str_] | None,
) -> None:
    """Adds what a task's classes can be told by, and their sources where these are known."""
    truth, groups = slices.truth(task), slices.groups
    drawn: dict[str, Any] = {"seed": subject.seed, "resamples": subject.resamples}
    parts: NDArray[Any] = slices.parts if clean else deal(truth, groups, seed=subject.seed)
    scores = {
        view: out_of_fold(columns, truth, parts, seed=subject.seed)
        for view, columns in features.items()
    }
    measured = aucs(truth, scores, parts, groups, **drawn)
    found.tables[f"ROC AUC of each view: {_CLASSES[task]}"] = pd.DataFrame(
        [
            {"view": view, "ROC AUC": it.auc, f"{FULL} minus it": it.first_minus}
            for view, it in measured.items()
        ]
    )
    n = f"{_CLASSES[task]}, n {len(truth)}, {len(set(groups))} groups"
    found.findings += _told_by(measured, n)
    if sources is not None and are_several(sources):
        found.findings.append(within_sources(truth, scores[FULL], parts, sources, groups, **drawn))
        if task == Task.DETECT:
            views = {view: features[view] for view in (FULL, OUTSIDE)}
            classes = np.array([row.stroke_type for row in slices.rows])
            table, told = source_findings(classes, sources, groups, parts, views, **drawn)
            found.tables["Sources"] = table
            found.findings += told


def _told_by(measured: Mapping[str, Auc], n: str) -> Iterator[Finding]:
    """Yields what the AUC of each view says."""
    full = measured[FULL].auc
    yield Finding("note", f"The {FULL} reaches ROC AUC {full.text()} ({n}).")
    for view, meaning in _WITHOUT_BRAIN.items():
        auc = measured[view].auc
        reached = f"{view} reaches ROC AUC {auc.text()} ({n})"
        if auc.low > _TELLS:
            yield Finding("warning", f"{reached}: {meaning}.")
        else:
            yield Finding("note" if auc.low > _CHANCE else "fine", f"{reached}.")
    for view, meaning in _TAKEN_AWAY.items():
        auc, lost = measured[view]
        text = f"{view}: ROC AUC {auc.text()}, {FULL} minus it {lost.text(sign=True)} ({n})"
        if lost.low > 0 and lost.value > _LOST:
            yield Finding("warning", f"{text}: {meaning}.")
        else:
            yield Finding("fine", f"{text}.")
    for view in (OUTLINE, THUMBNAIL, HISTOGRAM, WINDOW):
        auc, lost = measured[view]
        if auc.low > _TELLS:
            same = lost.low <= 0
            also = ", as much as the full picture" if same else ""
            yield Finding("note", f"{view} reaches ROC AUC {auc.text()} ({n}){also}.")


def _figure(slices: SliceSet, heads: Images) -> Figure:
    """Draws some slices, half of them with a lesion, in each view that is a picture."""
    truth = slices.truth(Task.DETECT)
    chosen: list[int] = []
    for of_class in (np.flatnonzero(truth), np.flatnonzero(~truth)):
        step = max(1, len(of_class) // (_SHOWN // 2 + 1))
        chosen += of_class[step // 2 :: step][: _SHOWN // 2 + 1].tolist()
    images, masks = slices.images[chosen], heads[chosen]
    return figure_augmentations(
        {view: list(shown(images, masks)) for view, shown in PICTURES.items()}
    )
