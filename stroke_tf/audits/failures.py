"""Where a run, or a cross-validation, fails: which lesions, where, how sure, in which patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stroke_tf.audits.answers import Answers, read_answers
from stroke_tf.audits.audit import Audited, Finding, Subject
from stroke_tf.audits.breakdown import Kind, breakdown, judged, kinds_of, worse_kinds
from stroke_tf.audits.known import classes_of, findings_of, flags_of
from stroke_tf.audits.masks import read_masks, sides_of, sizes_of
from stroke_tf.audits.patients import detect_patients
from stroke_tf.audits.quick import aucs
from stroke_tf.audits.slices import SliceSet, of_patients, read_slices
from stroke_tf.audits.stacks import heights_of, ml_per_pixel
from stroke_tf.audits.sureness import sureness
from stroke_tf.audits.worst import draw_worst_masks, draw_wrong
from stroke_tf.manifest import read_manifest
from stroke_tf.own_table import Known, known_of
from stroke_tf.run_folder import read_metrics

_HEIGHTS = ("first third of the series", "middle third", "last third")
_ALL = "All test slices"
_OF_MASKS = " Drawn: the share of lesion slices with any lesion drawn; Dice is of all their pixels."
_OF_TYPES = {
    "lesions": "haemorrhages",
    "with a lesion": "with a haemorrhage",
    "lesions-missed-with-their-true-outlines": "haemorrhages-called-ischaemia-with-true-outlines",
    "false-alarms": "ischaemia-called-haemorrhage",
}  # names of columns and figures where the classes are types
_OFF = 2  # a warning where this times as many slices are called as show a lesion, or as few


def audit(subject: Subject) -> Audited:
    """Scores slices by their lesion's size and place, height and kind, and patients; draws some.

    Raises:
        OSError: If a file of the run or of the records is missing.
        ValueError: If there is no run, or the records do not hold a slice of its predictions.
    """
    if subject.run is None:
        raise ValueError("this audit needs a run, or a cross-validation. Received: none")
    answers = read_answers(subject.run, row=subject.row)
    manifest = read_manifest(subject.folder)
    read = read_slices(subject.folder, image_size=subject.image_size, stages=True)
    slices, _ = of_patients(read, subject.table)
    masks, _ = read_masks(subject.folder, slices.rows, image_size=subject.image_size)
    at = slices.places(answers.frame["id"])
    frame = answers.frame.assign(group=slices.groups[at])
    drawn = {"seed": subject.seed, "resamples": subject.resamples}
    known = known_of(subject.table, list(answers.frame["id"])) if subject.table else None
    kinds = _kinds(known, slices, at, masks[at])
    divided = {title: breakdown(frame, kind, **drawn) for title, kind in kinds.items()}
    tables = {title: table for title, table in divided.items() if len(table)}
    findings = [_overall(answers, frame, tables[_ALL], **drawn), *_worse(answers, tables)]
    findings += findings_of(known) if known else []
    figures = draw_wrong(frame, slices.images[at], masks[at])
    if answers.has_scores:
        sure = sureness(frame, **drawn)
        tables["Calibration"], figures = sure.table, {**sure.figures, **figures}
        findings.append(sure.finding)
    names = _OF_TYPES if answers.is_of_types else {}
    if (manifest.protocol, manifest.grouping) == ("clean", "patient"):
        tables["Patients"] = detect_patients(frame, **drawn).rename(columns=names)
        findings.append(_of_patients(tables["Patients"]))
    figures |= _worst_masks(answers, frame, subject.run, subject.folder)
    return Audited(
        "Failures",
        f"{len(frame)} test slices of {frame['group'].nunique()} groups ({manifest.grouping}), "
        f"protocol {manifest.protocol}, seed {subject.seed}. "
        f"A slice is called when {answers.rule}.{_OF_MASKS * answers.has_masks}",
        tuple(findings),
        {title: table.rename(columns=names) for title, table in tables.items()},
        {names.get(stem, stem): figure for stem, figure in figures.items()},
    )


def _kinds(
    known: Known | None, slices: SliceSet, at: NDArray[np.int64], masks: NDArray[np.uint8]
) -> dict[str, list[Kind]]:
    """Returns the kinds of the slices at some places by the title of their table."""
    rows = [slices.rows[place] for place in at]
    heights = pd.Series(heights_of(slices.rows)[at])
    columns = {
        "size of the lesion on the slice": sizes_of(masks, ml_per_pixel(rows, size=masks.shape[1])),
        "place of the lesion in the head": sides_of(masks, slices.images[at]),
        "height in the series": pd.cut(heights, [-1, 1 / 3, 2 / 3, 1], labels=_HEIGHTS),
    }
    flags: list[Kind] = []
    if known:
        columns |= {f"{name} of the table": column for name, column in classes_of(known).items()}
        flags = [(str(name), flag.to_numpy()) for name, flag in flags_of(known).items()]
    named = {f"By {title}": list(kinds_of(column)) for title, column in columns.items()}
    return {_ALL: [("all", np.ones(len(at), bool))], **named, "By what the table says": flags}


def _overall(answers: Answers, frame: pd.DataFrame, whole: pd.DataFrame, **drawn: Any) -> Finding:
    row = whole.iloc[0]
    told = [f"{name} {row[name].text()}" for name in row.index[4:]]
    if answers.has_scores:
        truth, scores, parts = frame["truth"], {"": frame["score"].to_numpy()}, frame["part"]
        auc = aucs(truth, scores, parts, frame["group"], **drawn)[""].auc
        told.append(f"ROC AUC {auc.text()}")
    called, lesions = int(frame["called"].sum()), int(row["lesions"])
    off = not lesions / _OFF <= called <= _OFF * lesions
    return Finding(
        "warning" if off else "note",
        f"{lesions} of {len(frame)} slices are positive ({answers.labels[1]}; {row['patients']} "
        f"patients), {called} are called: {', '.join(told)}.",
    )


def _worse(answers: Answers, tables: dict[str, pd.DataFrame]) -> list[Finding]:
    """Returns a finding for each kind of slices that is answered worse than all slices are."""
    whole = tables[_ALL].iloc[0]
    kinds = [table for title, table in tables.items() if title != _ALL]
    found = [
        one
        for score in judged(answers.frame)
        for table in kinds
        if score in table
        for one in worse_kinds(table, whole, score=score, labels=answers.labels)
    ]
    told = f"No kind of slices is answered worse than all are ({sum(map(len, kinds))} kinds)."
    return found or [Finding("fine", told)]


def _of_patients(table: pd.DataFrame) -> Finding:
    by, counted = "a patient is positive by", table.dropna(subset="sensitivity")
    told = [
        f"{row[by]}: sensitivity {row['sensitivity'].text()}, specificity "
        f"{row['specificity'].text()}"
        for row in counted.head(2).to_dict("records")
    ]
    positive = table.columns[2]
    n = f"{table['patients'][0]} patients, {table[positive][0]} {positive}"
    return Finding("note", f"Patients positive by {'; by '.join(told)} ({n}).")


def _worst_masks(
    answers: Answers, frame: pd.DataFrame, run: Path, records: Path
) -> dict[str, Figure]:
    if not answers.has_masks or not (run / "model.keras").is_file():
        return {}
    if not read_metrics(run / "metrics.json").split["test"]:
        return {}  # a network of all folds: it was not what was tested
    figure = draw_worst_masks(frame, run, records)
    return {} if figure is None else {"masks-of-least-Dice": figure}
