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
from stroke_tf.audits.confounding import (
    UNKNOWN,
    are_several,
    read_sources,
    source_findings,
    within_sources,
)
from stroke_tf.audits.corrected import HOLM, SIGNIFICANT, corrected
from stroke_tf.audits.plain import has_both, is_told, parts_by_group, untold
from stroke_tf.audits.quick import Auc, aucs, out_of_fold
from stroke_tf.audits.slices import SliceSet, backbone_features, of_patients, read_slices
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
from stroke_tf.evaluation.intervals import p_text
from stroke_tf.files import plain
from stroke_tf.labels import Task
from stroke_tf.manifest import read_manifest
from stroke_tf.reporting.figures import figure_augmentations

_TELLS = 0.6  # an AUC above this, by its p value, tells the class
_P_TELLS, _P_LOST = f"p of AUC {_TELLS} {HOLM}", f"p of no difference {HOLM}"
_AUC, _LOSS = "ROC AUC", f"{FULL} minus it"
_CHANCE = 0.5
_LOST = 0.02  # loss of AUC when something is taken away that should not matter
_SHOWN = 5  # slices in the figure
_CLASSES = {Task.DETECT: "lesion or none", Task.TYPE: "ischaemia or haemorrhage"}
_WITHOUT_BRAIN = {
    OUTSIDE: "the class can be told without the brain",
    SIZE: "the class can be told without the picture",
}
_OF_THE_BRAIN = (OUTLINE, THUMBNAIL, HISTOGRAM, WINDOW)
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
    read = read_slices(subject.folder, image_size=subject.image_size)
    slices, of_table = of_patients(read, subject.table)
    heads = head_masks(slices.images)
    features = _features(slices, heads, subject)
    clean = manifest.protocol == "clean"
    sources, told = read_sources(subject.table, slices.ids)
    found.findings += told or of_table
    asked = [
        candidate
        for candidate in _CLASSES
        if has_both(slices.truth(candidate)[slices.used(candidate)])
    ]
    for task in asked:
        places = np.flatnonzero(slices.used(task))
        truth, some = slices.truth(task)[places], slices.take(places)
        parts = parts_by_group(some.parts if clean else None, truth, some.groups, seed=subject.seed)
        if not is_told(truth, some.groups, parts):
            found.findings.append(untold(_CLASSES[task]))
            continue
        of_sources = None if sources is None else sources[places]
        _score(found, some, task, parts, subject, _rows(features, places), of_sources)
    if not asked:
        found.findings.append(Finding("note", "No view is scored: the slices are of one class."))
    return Audited(
        "Shortcuts",
        f"{len(slices.rows)} slices in {len(set(slices.groups))} groups ({manifest.grouping}), "
        f"protocol {manifest.protocol}, up to five parts by group, seed {subject.seed}. One "
        f"classifier, logistic regression out of fold, on a frozen {subject.backbone}'s features "
        f"of each picture ({subject.image_size} px, weights {plain(subject.weights)}), or on "
        "numbers.",
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
    parts: NDArray[np.str_],
    subject: Subject,
    features: Mapping[str, NDArray[np.float32]],
    sources: NDArray[np.str_] | None,
) -> None:
    """Adds the scores of a task by each view, and of its sources where these are known."""
    truth, groups = slices.truth(task), slices.groups
    drawn: dict[str, Any] = {"seed": subject.seed, "resamples": subject.resamples}
    scores = {
        view: out_of_fold(columns, truth, parts, seed=subject.seed)
        for view, columns in features.items()
    }
    table = _compared(aucs(truth, scores, parts, groups, nothing=_TELLS, **drawn))
    found.tables[f"ROC AUC of each view: {_CLASSES[task]}"] = table
    n = f"{_CLASSES[task]}, n {len(truth)}, {len(set(groups))} groups"
    found.findings += _told_by({row["view"]: row for row in table.to_dict("records")}, n)
    if sources is not None and are_several(sources):
        _score_sources(found, slices, task, parts, scores[FULL], features, sources, **drawn)


def _score_sources(
    found: _Found,
    slices: SliceSet,
    task: Task,
    parts: NDArray[np.str_],
    scores: NDArray[np.float64],
    features: Mapping[str, NDArray[np.float32]],
    sources: NDArray[np.str_],
    **drawn: Any,
) -> None:
    """Adds the findings on sources, from the slices whose source is known."""
    at = np.flatnonzero(sources != UNKNOWN)
    slices, parts, sources = slices.take(at), parts[at], sources[at]
    truth, groups = slices.truth(task), slices.groups
    found.findings.append(within_sources(truth, scores[at], parts, sources, groups, **drawn))
    if task == Task.DETECT:
        views = _rows({view: features[view] for view in (FULL, OUTSIDE)}, at)
        classes = np.array([row.stroke_type for row in slices.rows])
        table, told = source_findings(classes, sources, groups, parts, views, **drawn)
        found.tables["Sources"] = table
        found.findings += told


def _compared(measured: Mapping[str, Auc]) -> pd.DataFrame:
    """Returns the AUC of each view, the full picture's minus it, and p values of both."""
    asked = (*_WITHOUT_BRAIN, *_OF_THE_BRAIN)
    rows = [
        {
            "view": view,
            _AUC: auc.auc,
            _P_TELLS: auc.p_auc if view in asked else np.nan,
            _LOSS: auc.first_minus,
            _P_LOST: np.nan if view == FULL else auc.p_minus,
        }
        for view, auc in measured.items()
    ]
    return corrected(pd.DataFrame(rows))


def _told_by(rows: Mapping[str, Mapping[Any, Any]], n: str) -> Iterator[Finding]:
    """Yields findings on the AUC of each view."""
    yield Finding("note", f"The {FULL} reaches ROC AUC {rows[FULL][_AUC].text()} ({n}).")
    for view, meaning in _WITHOUT_BRAIN.items():
        auc, p = rows[view][_AUC], rows[view][_P_TELLS]
        reached = f"{view} reaches ROC AUC {auc.text()} ({n}"
        if _tells(rows[view]):
            yield Finding("warning", f"{reached}, p {p_text(p)} of AUC {_TELLS}): {meaning}.")
        else:
            yield Finding("note" if auc.low > _CHANCE else "fine", f"{reached}).")
    for view, meaning in _TAKEN_AWAY.items():
        auc, lost, p = (rows[view][name] for name in (_AUC, _LOSS, _P_LOST))
        text = f"{view}: ROC AUC {auc.text()}, {_LOSS} {lost.text(sign=True)} ({n}, p {p_text(p)})"
        if lost.value > _LOST and p < SIGNIFICANT:
            yield Finding("warning", f"{text}: {meaning}.")
        else:
            yield Finding("fine", f"{text}.")
    for view in _OF_THE_BRAIN:
        auc, lost, p = (rows[view][name] for name in (_AUC, _LOSS, _P_LOST))
        if _tells(rows[view]):
            less = lost.value > 0 and p < SIGNIFICANT
            also = "" if less else ", as much as the full picture"
            yield Finding("note", f"{view} reaches ROC AUC {auc.text()} ({n}){also}.")


def _tells(row: Mapping[Any, Any]) -> bool:
    return row[_AUC].value > _TELLS and row[_P_TELLS] < SIGNIFICANT


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
