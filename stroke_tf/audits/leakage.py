"""Leakage: patients and pictures that several folds share, and what that is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stroke_tf.audits.audit import Audited, Finding, Subject
from stroke_tf.audits.corrected import HOLM, SIGNIFICANT, corrected
from stroke_tf.audits.known import findings_of
from stroke_tf.audits.plain import (
    Classifier,
    are_parted,
    deal,
    has_both,
    held_out,
    is_told,
    nearest_neighbour,
    small_pixels,
    untold,
)
from stroke_tf.audits.quick import Auc, aucs, fit_and_score
from stroke_tf.audits.relatives import (
    NO_FOLD,
    OF_PICTURES,
    folds_of_file,
    related_slices,
    rounds_of,
    with_relative,
)
from stroke_tf.audits.slices import SliceSet, backbone_features, read_slices
from stroke_tf.evaluation.baselines import histogram_features
from stroke_tf.evaluation.intervals import Metric, p_text
from stroke_tf.fold_audit import audit_folds, split_groups
from stroke_tf.fold_file import read_fold_file
from stroke_tf.labels import Task
from stroke_tf.manifest import read_manifest
from stroke_tf.own_table import known_of
from stroke_tf.records import STAGE_FOLDS
from stroke_tf.reporting.figures import figure_augmentations
from stroke_tf.text_tables import read_columns

DEALT, BY_GROUP, BY_SLICE = "folds as dealt", "folds by group", "folds by slice"
_SIDE = 32  # of the pictures of the plain classifiers, in pixels
_RELATIVES = {
    "the same patient": ("patients",),
    "a copy or near-duplicate": (*OF_PICTURES, "ids that name copies"),
}
_ALIKE = ("near-duplicates", "flipped or turned copies")
_P = f"p {HOLM}"
_FEW = 30  # slices: an AUC on fewer says little
_CHANCE = 0.01  # share of the slices that may look alike without being copies
_Places = NDArray[np.int64]


@dataclass(frozen=True)
class _Dealt:
    """Slices, test sessions too, and how they are dealt to folds.

    Attributes:
        slices: All of them.
        folds: Name of the fold of each; NO_FOLD where it has none.
        patients: Patient of each, None where unknown.
        is_clean: Whether they are the folds of clean records.
        of_files: Findings on the files that name folds and patients.
    """

    slices: SliceSet
    folds: NDArray[np.str_]
    patients: Sequence[str | None]
    is_clean: bool
    of_files: Sequence[Finding] = ()

    @cached_property
    def ids(self) -> list[str]:
        """An id of each record: copies made before folding are named as copies."""
        rows = self.slices.rows
        return [f"{row.source_id}_aug{row.copy}" if row.copy else row.source_id for row in rows]

    @cached_property
    def by_id(self) -> dict[str, str]:
        """The fold of each id that has one."""
        pairs = zip(self.ids, self.folds.tolist(), strict=True)
        return {name: fold for name, fold in pairs if fold != NO_FOLD}

    @cached_property
    def related(self) -> dict[str, Sequence[object]]:
        """By kind a label of each slice, equal for relatives."""
        return related_slices(self.ids, self.slices.images, self.patients)

    @cached_property
    def groups(self) -> NDArray[np.str_]:
        """The patient of each slice, or its group where the patient is unknown."""
        pairs = zip(self.patients, self.slices.groups, strict=True)
        return np.array([group if patient is None else patient for patient, group in pairs])


def audit(subject: Subject) -> Audited:
    """Counts relatives in several folds, and scores classifiers with and without them."""
    dealt = _dealt(subject)
    leaks, findings = _leaks(dealt)
    tables = {"Relatives in several folds": leaks}
    for places, task, told in _asked(dealt):
        if not told:
            findings.append(untold(f"task {task}"))
            continue
        found = _worth(_Worth(dealt, places, task, subject), task)
        tables, findings = tables | found[0], findings + found[1]
        break
    return Audited(
        "Leakage",
        _about(dealt, subject),
        (*findings, *_unknown(dealt), *dealt.of_files),
        tables,
        _pairs(dealt),
    )


def _dealt(subject: Subject) -> _Dealt:
    manifest = read_manifest(subject.folder)
    slices = read_slices(subject.folder, image_size=subject.image_size, stages=True)
    folds = np.array([row.fold for row in slices.rows])
    if subject.split:
        folds = folds_of_file(read_fold_file(subject.split), list(slices.ids))
    known = manifest.grouping == "patient"
    patients = [row.group_id if known else None for row in slices.rows]
    told = [*_left_by(subject.split, folds)] if subject.split else []
    if subject.table and "patient" in read_columns(subject.table):
        of_table = known_of(subject.table, list(slices.ids))
        named, told = of_table.column("patient"), [*told, *findings_of(of_table)]
        patients = [patient or other for patient, other in zip(named, patients, strict=True)]
    clean = not subject.split and manifest.protocol == "clean"
    return _Dealt(slices, folds, patients, clean, told)


def _left_by(split: Path, folds: NDArray[np.str_]) -> Iterator[Finding]:
    """Yields how many slices a file of folds does not name."""
    if left := int((folds == NO_FOLD).sum()):
        text = f"{split.name} names no fold of {left} of {len(folds)} slices: they are left out."
        yield Finding("warning" if left > len(folds) / 2 else "note", text)


def _about(dealt: _Dealt, subject: Subject) -> str:
    manifest, named = read_manifest(subject.folder), dealt.folds != NO_FOLD
    return (
        f"{named.sum()} slices in {len(set(dealt.groups[named]))} groups ({manifest.grouping}), "
        f"protocol {manifest.protocol}, in the {len(set(dealt.folds[named]))} folds of "
        f"{subject.split.name if subject.split else 'the records'}; seed {subject.seed}. Pictures "
        f"are compared at {subject.image_size} px, by 256-bit difference hashes; a fold is tested "
        "with a model of the other folds, or of the one that is called train."
    )


def _leaks(dealt: _Dealt) -> tuple[pd.DataFrame, list[Finding]]:
    rows, tested = [], int(_tested(dealt.folds).sum())
    for kind, groups, slices, pair in audit_folds(dealt.ids, dealt.by_id, dealt.related):
        seen = int(with_relative(dealt.related[kind], dealt.folds).sum())
        rows.append((kind, int(groups), int(slices), seen, pair))
    columns = ("what", "in several folds", "their slices", "tested with one in training", "such as")
    patients_parted = None not in dealt.patients and not rows[0][1]
    found = [_leak(row, tested, apart=patients_parted) for row in rows if row[1]]
    told = f"No patient and no copy of a picture lies in two folds ({tested} test slices)."
    return pd.DataFrame(rows, columns=list(columns)), found or [Finding("fine", told)]


def _leak(row: tuple[str, int, int, int, str], tested: int, *, apart: bool) -> Finding:
    """Returns a finding of one kind of leak; `apart` says that no patient lies in two folds."""
    kind, groups, _, seen, pair = row
    text = (
        f"{kind}: {groups} lie in several folds. {seen} of {tested} test slices "
        f"({seen / tested:.1%}) have such a relative in training, as {pair}."
    )
    if apart and kind in _ALIKE and seen < _CHANCE * tested:
        return Finding("note", f"{text} Their patients differ, and heads look alike: see them.")
    return Finding("warning", text)


def _unknown(dealt: _Dealt) -> Iterator[Finding]:
    if unknown := sum(patient is None for patient in dealt.patients):
        yield Finding(
            "note",
            f"The patient of {unknown} of {len(dealt.patients)} slices is not known: slices of one "
            "patient may lie in several folds unseen.",
        )


def _asked(dealt: _Dealt) -> Iterator[tuple[_Places, Task, bool]]:
    """Yields the slices of each task with two classes, and whether these can be judged."""
    in_folds = ~np.isin(dealt.folds, [NO_FOLD, *STAGE_FOLDS])
    for task in (Task.DETECT, Task.TYPE):
        places = np.flatnonzero(in_folds & dealt.slices.used(task))
        truth = dealt.slices.truth(task)[places]
        if has_both(truth):
            yield places, task, is_told(truth, dealt.groups[places], dealt.folds[places])


def _worth(worth: _Worth, task: Task) -> tuple[dict[str, pd.DataFrame], list[Finding]]:
    """Returns tables of what leaks add to scores, and findings on who gains most."""
    rows = []
    for name, features, classifier in worth.classifiers():
        scores = worth.scores(features, classifier)
        rows.append({"classifier": name, **worth.row(scores)})
    dealt, related = corrected(pd.DataFrame(rows)), worth.with_and_without(scores[DEALT])
    tables = {
        f"ROC AUC by how folds are dealt, task {task}": dealt,
        f"Test slices with and without a relative in training, {name}": related,
    }
    n = f"n {len(worth.truth)}, {len(set(worth.groups))} groups"
    others = [other for other in worth.deals if other != worth.honest]
    gains = [_gain(dealt.to_dict("records"), other, worth.honest, n) for other in others]
    return tables, [*gains, *_relatives(name, related)]


def _gain(rows: Sequence[Mapping[Any, Any]], folds: str, honest: str, n: str) -> Finding:
    """Returns the gain of the classifier that gains most; p values are corrected for the choice."""
    row = max(rows, key=lambda row: np.nan_to_num(row[f"{folds} add"].value, nan=-np.inf))
    gain, p, leaked = row[f"{folds} add"], row[_p_of(folds)], folds == DEALT
    return Finding(
        "warning" if leaked and gain.value > 0 and p < SIGNIFICANT else "note",
        f"{folds} {'add' if leaked else 'would add'} {gain.text(sign=True)} to the ROC AUC of "
        f"{row['classifier']}: {row[folds].text()}, and {row[honest].text()} with {honest} "
        f"({n}, p {p_text(p)}).",
    )


def _p_of(folds: str) -> str:
    return f"p of what {folds} add {HOLM}"


def _relatives(name: str, related: pd.DataFrame) -> Iterator[Finding]:
    if not related["with"].any():
        yield Finding("fine", "No test slice has a relative in training to be scored apart.")
    for row in related.to_dict("records"):
        differs = row["difference"].value > 0 and row[_P] < SIGNIFICANT
        if differs and min(row["with"], row["without"]) >= _FEW:
            yield Finding(
                "warning",
                f"{name} scores {row['difference'].text(sign=True)} higher on test slices with "
                f"{row['relative']} in training: {row['AUC with'].text()} (n {row['with']}) and "
                f"{row['AUC without'].text()} (n {row['without']}) without (p {p_text(row[_P])}).",
            )


def _pairs(dealt: _Dealt) -> dict[str, Figure]:
    """Draws the first pair of relatives in two folds of each kind."""
    place, rows = {name: at for at, name in enumerate(dealt.ids)}, {}
    for kind, labels in dealt.related.items():
        for ids in split_groups(dealt.ids, dealt.by_id, labels)[:1]:
            other = next(
                relative for relative in ids if dealt.by_id[relative] != dealt.by_id[ids[0]]
            )
            rows[kind] = [dealt.slices.images[place[relative]] for relative in (ids[0], other)]
    return {"relatives-in-two-folds": figure_augmentations(rows)} if rows else {}


class _Worth:
    """Scores of classifiers on folds as dealt, by group and by slice: how much leaks add.

    Attributes:
        truth: Whether each scored slice is positive.
        groups: Patient or group of each.
        deals: Fold of each, by the name of how folds are dealt.
        honest: Name of the deal that splits no group.
    """

    def __init__(self, dealt: _Dealt, places: _Places, task: Task, subject: Subject):
        self._dealt, self._places, self._subject = dealt, places, subject
        self.truth, self.groups = dealt.slices.truth(task)[places], dealt.groups[places]
        by_group = deal(self.truth, self.groups, seed=subject.seed)
        by_slice = deal(self.truth, None, seed=subject.seed)
        self.deals = {DEALT: dealt.folds[places], BY_GROUP: by_group, BY_SLICE: by_slice}
        self.honest = BY_GROUP
        if dealt.is_clean and not are_parted(self.groups, self.deals[DEALT]):
            self.honest = DEALT
            del self.deals[BY_GROUP]

    def classifiers(self) -> Iterator[tuple[str, NDArray[np.float32], Classifier]]:
        """Yields the name of each classifier, the features of all slices, and the classifier."""
        images = self._dealt.slices.images[self._places]
        pixels = small_pixels(images, side=_SIDE)
        yield f"nearest neighbour of {_SIDE} x {_SIDE} pixels", pixels, nearest_neighbour
        yield f"{_SIDE} x {_SIDE} pixels", pixels, fit_and_score
        yield "grey histogram", histogram_features(images).astype(np.float32), fit_and_score
        frozen = backbone_features(images, self._subject)
        yield f"frozen {self._subject.backbone}", frozen, fit_and_score

    def scores(
        self, features: NDArray[np.float32], classifier: Classifier
    ) -> dict[str, NDArray[np.float64]]:
        """Returns the scores of all slices under each deal."""
        return {
            name: held_out(features, self.truth, at, classifier) for name, at in self.deals.items()
        }

    def row(self, scores: dict[str, NDArray[np.float64]]) -> dict[str, Metric | float]:
        """Returns the AUC under each deal, and what deals that split groups add, with p values."""
        row: dict[str, Metric | float] = {}
        for name in self.deals:
            first, second = self._aucs({name: scores[name], "": scores[self.honest]}, name)
            row[name] = first.auc
            if name != self.honest:
                row[f"{name} add"] = second.first_minus
                row[_p_of(name)] = second.p_minus
        return row

    def _aucs(self, scores: dict[str, NDArray[np.float64]], name: str) -> list[Auc]:
        parts = {name: self.deals[name], "": self.deals[self.honest]}
        return self._measured(scores, parts, {part: _tested(parts[part]) for part in parts})

    def with_and_without(self, scores: NDArray[np.float64]) -> pd.DataFrame:
        """Returns the AUC of test slices with a relative in training, and of those without."""
        parts, rows = self.deals[DEALT], []
        tested = _tested(parts)
        for name, kinds in _RELATIVES.items():
            related = [
                with_relative(self._dealt.related[kind], self._dealt.folds) for kind in kinds
            ]
            has = np.any(related, axis=0)[self._places] & tested
            lacks = ~has & tested
            both = {"with": scores, "without": scores}
            counted = {"with": has, "without": lacks}
            some, none = self._measured(both, dict.fromkeys(both, parts), counted)
            difference = none.first_minus, none.p_minus
            rows.append((name, has.sum(), some.auc, lacks.sum(), none.auc, *difference))
        columns = ("relative", "with", "AUC with", "without", "AUC without", "difference", _P)
        return corrected(pd.DataFrame(rows, columns=list(columns)))

    def _measured(self, scores: dict, parts: dict, counted: dict) -> list[Auc]:
        drawn = {"seed": self._subject.seed, "resamples": self._subject.resamples}
        found = aucs(self.truth, scores, parts, self.groups, counted=counted, **drawn)
        return list(found.values())


def _tested(folds: NDArray[np.str_]) -> NDArray[np.bool_]:
    return np.any([test for test, _ in rounds_of(folds)], axis=0)
