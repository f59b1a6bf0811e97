"""The content of records: slices, patients and classes of each fold."""

from __future__ import annotations

import pandas as pd

from stroke_tf.audits.audit import Audited, Finding, Subject
from stroke_tf.manifest import read_folds, read_manifest


def audit(subject: Subject) -> Audited:
    """Counts slices and groups, and says what stands for a patient."""
    manifest, rows = read_manifest(subject.folder), read_folds(subject.folder)
    frame = pd.DataFrame(rows)
    by_fold = frame.groupby("fold", sort=False)
    counts = by_fold["stroke_type"].value_counts().unstack(fill_value=0)
    groups = by_fold["group_id"].nunique().rename("groups")
    table = pd.concat([by_fold.size().rename("slices"), groups, counts], axis=1).reset_index()
    found = [Finding("fine", f"{len(rows)} slices in {frame['group_id'].nunique()} groups.")]
    if manifest.grouping != "patient":
        text = f"Patients are not known: a group stands for {manifest.grouping}."
        found.append(Finding("warning", text))
    return Audited(
        "Data",
        f"Protocol {manifest.protocol}, layout {manifest.layout}, {manifest.pixels}, "
        f"{manifest.size} px. Folds were dealt with seed {manifest.seed}.",
        tuple(found),
        {"Slices of each fold": table},
    )
