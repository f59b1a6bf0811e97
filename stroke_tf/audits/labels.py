"""Labels that predictions contradict, and masks that do not fit their neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stroke_tf.audits.answers import Answers, read_answers
from stroke_tf.audits.audit import Audited, Finding, Subject
from stroke_tf.audits.issues import groups_of_rarer, rank_labels
from stroke_tf.audits.masks import read_masks
from stroke_tf.audits.odd_masks import RULES, compared, odd_masks
from stroke_tf.audits.plain import parts_by_group
from stroke_tf.audits.quick import aucs, out_of_fold
from stroke_tf.audits.slices import SliceSet, backbone_features, of_patients, read_slices
from stroke_tf.audits.stacks import ml_per_pixel, neighbours_of
from stroke_tf.labels import Task
from stroke_tf.manifest import read_manifest
from stroke_tf.records import STAGE_FOLDS
from stroke_tf.reporting.figures import figure_gallery

_SURE = 0.1  # probability of a label below which it is worth a warning
_LISTED, _DRAWN, _TRIOS = 25, 6, 6  # the first of each label; of odd masks
_TASKS = {Task.DETECT: ("no lesion", "lesion"), Task.TYPE: ("ischaemia", "haemorrhage")}


class _Part(NamedTuple):
    """The result of one question of the audit."""

    findings: list[Finding]
    tables: dict[str, pd.DataFrame]
    figures: dict[str, Figure]


class _Predicted(NamedTuple):
    """Out-of-fold scores of some slices: names of the classes, and arrays of shape (N,)."""

    labels: tuple[str, str]
    places: NDArray[np.int64]
    truth: NDArray[np.bool_]
    scores: NDArray[np.float64]
    parts: NDArray[Any]


def audit(subject: Subject) -> Audited:
    """Ranks doubtful labels and odd masks, and draws the first of each."""
    manifest = read_manifest(subject.folder)
    read = read_slices(subject.folder, image_size=subject.image_size, stages=bool(subject.run))
    slices, of_table = of_patients(read, subject.table)
    masks, known = read_masks(subject.folder, slices.rows, image_size=subject.image_size)
    answers = read_answers(subject.run, row=subject.row) if subject.run else None
    if answers and answers.has_scores:
        predictions, by = [_said(answers, slices)], "the run"
    else:
        predictions, by = [*_quick(slices, subject)], "the quick classifier"
    parts = [_doubtful(predicted, slices, masks, subject) for predicted in predictions]
    parts.append(_odd(slices, masks, known, patients="patient" in manifest.grouping))
    judged = sorted({place for predicted in predictions for place in predicted.places.tolist()})
    return Audited(
        "Labels",
        f"{len(judged)} slices in {len(set(slices.groups[judged]))} groups ({manifest.grouping}), "
        f"protocol {manifest.protocol}, seed {subject.seed}; out-of-fold predictions of {by}. "
        f"Labels are doubted by confident learning on them. Masks of all {len(slices.rows)} slices "
        "of the records are compared with those of the slices whose ids are one less and one more.",
        (*(finding for part in parts for finding in part.findings), *of_table),
        {title: table for part in parts for title, table in part.tables.items()},
        {stem: figure for part in parts for stem, figure in part.figures.items()},
    )


def _said(answers: Answers, slices: SliceSet) -> _Predicted:
    frame = answers.frame
    truth, scores, parts = (frame[column].to_numpy() for column in ("truth", "score", "part"))
    return _Predicted(answers.labels, slices.places(frame["id"]), truth, scores, parts)


def _quick(slices: SliceSet, subject: Subject) -> Iterator[_Predicted]:
    """Yields the quick classifier's scores for each task whose two classes occur."""
    dealt = np.array([row.fold not in STAGE_FOLDS for row in slices.rows])
    clean = read_manifest(subject.folder).protocol == "clean"
    features = backbone_features(slices.images, subject)
    for task, labels in _TASKS.items():
        places = np.flatnonzero(slices.used(task) & dealt)
        truth = slices.truth(task)[places]
        if truth.any() and not truth.all():
            some = slices.take(places)
            dealt_parts = some.parts if clean else None
            parts = parts_by_group(dealt_parts, truth, some.groups, seed=subject.seed)
            scores = out_of_fold(features[places], truth, parts, seed=subject.seed)
            yield _Predicted(labels, places, truth, scores, parts)


def _doubtful(
    said: _Predicted, slices: SliceSet, masks: NDArray[np.uint8], subject: Subject
) -> _Part:
    groups, question = slices.groups[said.places], " or ".join(said.labels)
    if groups_of_rarer(said.truth, groups) < 2:
        text = f"{question}: no label is judged, for a class is in fewer than two groups."
        return _Part([Finding("note", text)], {}, {})
    options: dict[str, Any] = {"seed": subject.seed, "resamples": subject.resamples}
    auc = aucs(said.truth, {"": said.scores}, said.parts, groups, **options)[""].auc
    ranked = rank_labels(said.truth, said.scores, groups)
    doubted = ranked[ranked["doubted"]]
    sure = int((doubted["quality"] < _SURE).sum())
    finding = Finding(
        "warning" if sure else "fine",
        f"{question}: {len(doubted)} of {len(ranked)} labels are doubted, in "
        f"{len(set(groups[doubted['place']]))} groups; {sure} of them have a probability below "
        f"{_SURE}. The predictions have ROC AUC {auc.text()}: the lower it is, the more of the "
        "doubts are mistakes of theirs.",
    )
    if doubted.empty:
        return _Part([finding], {}, {})
    table = _listed(doubted, said, slices)
    shown = table.groupby("label", sort=False).head(_DRAWN)
    titles = [f"{row[0]}\n{row[2]}, probability {row[4]:.3f}" for row in shown.to_numpy()]
    at = slices.places(shown["id"])
    drawn = figure_gallery(slices.images[at], titles, masks=masks[at], columns=6)
    stem = "doubted-" + "-or-".join(said.labels).replace(" ", "-")
    return _Part([finding], {f"Labels doubted most: {question}": table}, {stem: drawn})


def _listed(doubted: pd.DataFrame, said: _Predicted, slices: SliceSet) -> pd.DataFrame:
    """Returns the most doubtful slices of each label, those labelled positive first."""
    place = doubted["place"].to_numpy()
    at, positive = said.places[place], said.truth[place]
    table = pd.DataFrame({"id": slices.ids[at], "group": slices.groups[at]})
    table["label"] = np.where(positive, said.labels[1], said.labels[0])
    table["score"] = said.scores[place]
    table["probability of the label"] = doubted["quality"].to_numpy()
    order = np.argsort(~positive, kind="stable")
    return table.iloc[order].groupby("label", sort=False).head(_LISTED)


def _odd(
    slices: SliceSet, masks: NDArray[np.uint8], known: NDArray[np.bool_], *, patients: bool
) -> _Part:
    neighbours = neighbours_of(slices.rows)
    judged = int(compared(masks, neighbours, known=known).sum())
    if not patients or not judged:
        text = "No mask is compared with its neighbours: there is none in a series of a patient."
        return _Part([Finding("note", text)], {}, {})
    odd = odd_masks(masks, neighbours, known=known)
    findings = [_odd_finding(odd[odd["rule"] == rule], rule, judged, slices) for rule in RULES]
    if odd.empty:
        return _Part(findings, {}, {})
    places = odd["place"].to_numpy()
    table = odd.drop(columns="place")
    table.insert(0, "id", slices.ids[places])
    ml = odd["area_px"] * ml_per_pixel(slices.rows, size=masks.shape[1])[places]
    if ml.notna().any():
        table.insert(2, "ml", ml)
    trios = np.insert(neighbours[places[:_TRIOS]], 1, places[:_TRIOS], axis=1).ravel()
    titles = list(slices.ids[trios])
    titles[1::3] = [
        f"{name}: {rule}" for name, rule in zip(titles[1::3], odd["rule"], strict=False)
    ]
    figure = figure_gallery(slices.images[trios], titles, masks=masks[trios], columns=3)
    return _Part(findings, {"Masks that do not fit": table}, {"odd-masks": figure})


def _odd_finding(odd: pd.DataFrame, rule: str, judged: int, slices: SliceSet) -> Finding:
    named = ", ".join(slices.ids[odd["place"][:5]])
    text = f"{len(odd)} of {judged} slices between two others have {RULES[rule]}"
    if odd.empty:
        return Finding("fine", f"{text}.")
    return Finding("warning", f"{text}: {named}{' …' if len(odd) > 5 else ''}.")
