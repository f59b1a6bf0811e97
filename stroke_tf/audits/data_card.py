"""The data card: what records hold, where they come from, and what they may be used for.

Sections as in Gebru et al. 2021, "Datasheets for Datasets". No id of a slice or patient is in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from stroke_tf.audits.evidence import UNKNOWN, Evidence
from stroke_tf.page import markdown_table

_PIXELS = {
    "gray8": "8-bit grey, whose window in HU is not known",
    "hu16": "HU, 16 bits",
    "mixed": "some 8-bit grey, some HU in 16 bits",
}


def data_card(known: Evidence) -> str:
    """Returns the card as Markdown; what no file says is `UNKNOWN`."""
    sections = {
        "Motivation": _motivation(known),
        "Composition": _composition(known),
        "Collection": _collection(known),
        "Preprocessing": _preprocessing(known),
        "Uses": _uses(known),
        "Distribution": _distribution(),
        "Maintenance": _maintenance(known),
    }
    parts = [f"## {title}\n\n" + "\n".join(lines) + "\n" for title, lines in sections.items()]
    return "\n".join(["# Data card: brain CT slices\n", *parts])


def groups_of(known: Evidence) -> str:
    """Returns what a group of slices is, in the plural."""
    grouping = known.facts.get("grouping")
    return "patients" if grouping == "patient" else f"groups ({grouping or 'of unknown kind'})"


def _motivation(known: Evidence) -> Iterator[str]:
    yield f"- Why the slices were collected, by whom and with whose money: {UNKNOWN}."
    yield "- Why they are records here: to train and test models that find strokes in brain CT."
    if known.model is not None:
        yield f"- The run of this card asked them for: {known.model.task}."


def _composition(known: Evidence) -> Iterator[str]:
    facts = known.facts
    yield "- A record is one axial slice: picture, class, mask where there is one, id, group, fold."
    if not facts:
        yield f"- How many, and of which classes: {UNKNOWN}."
        return
    classes = ", ".join(f"{name} {count}" for name, count in facts["classes"].items())
    yield f"- {facts['records']} records; classes: {classes}."
    yield f"- Copies augmented before folding: {facts['augmented']}."
    if known.rows:
        yield from _of_rows(known)
    else:
        yield f"- Patients, masks and folds: {UNKNOWN} (`folds.csv` of the records has them)."
    yield f"- Age, sex, ethnicity, scanner and comorbidity of patients: {UNKNOWN}."
    yield "- Records hold pixels and ids, and nothing else of a DICOM header."
    yield f"- Whether ids of the source can name a person: {UNKNOWN}."


def _of_rows(known: Evidence) -> Iterator[str]:
    rows, total = known.rows, known.counts()
    sizes = np.array([*Counter(row.group_id for row in rows).values()])
    yield (
        f"- {total['groups']} {groups_of(known)}, with {np.median(sizes):g} slices in the median "
        f"({sizes.min()} to {sizes.max()})."
    )
    yield f"- {total['masks']} records have a mask."
    shapes = Counter(f"{row.width} x {row.height}" for row in rows).most_common()
    told = ", ".join(f"{shape} px: {count}" for shape, count in shapes[:3])
    others = f", {len(shapes) - 3} other sizes" if len(shapes) > 3 else ""
    yield f"- Sizes in the source: {told}{others}."
    spaced = sum(bool(row.spacing_mm) for row in rows)
    yield f"- The size of a pixel in mm is known of {spaced} records."
    folds = list(dict.fromkeys(row.fold for row in rows))
    yield "\n" + _table("fold", {fold: known.counts([fold]) for fold in folds})
    if parts := known.parts():
        yield "\nOf the run of this card, slices that its task does not use included:\n"
        yield _table("part", {part: known.counts(folds) for part, folds in parts.items()})
    yield ""


def _table(title: str, rows: dict[str, dict[str, int]]) -> str:
    lines = [[name, *map(str, counts.values())] for name, counts in rows.items()]
    return markdown_table([title, *next(iter(rows.values()))], lines)


def _collection(known: Evidence) -> Iterator[str]:
    yield f"- Read from the layout `{known.facts.get('layout', UNKNOWN)}`."
    if manifest := known.manifest:
        yield f"- Fingerprint of the source's names and bytes: `{manifest.source_sha256}`."
        faults = sum(file.is_fault for file in manifest.rejected)
        yield (
            f"- Files left out: {len(manifest.rejected)}, {faults} of them faults; the reason of "
            "each is in `manifest.json`."
        )
    yield f"- Hospitals, scanners, protocols, years and how patients were chosen: {UNKNOWN}."
    yield f"- Who drew masks and named classes, with what training and agreement: {UNKNOWN}."
    yield f"- Consent of patients and approval of an ethics board: {UNKNOWN}."


def _preprocessing(known: Evidence) -> Iterator[str]:
    facts, manifest = known.facts, known.manifest
    pixels = _PIXELS.get(facts.get("pixels", ""), UNKNOWN)
    yield f"- Stored as squares of {facts.get('size', UNKNOWN)} px, {pixels}, without loss."
    yield "- Pictures and masks are resized alike, sampled at pixel centres; masks keep class ids."
    if manifest:
        kept = "groups stay in one fold" if manifest.protocol == "clean" else "slice by slice"
        yield (
            f"- Folds: protocol {manifest.protocol} ({kept}), stratified by class, seed "
            f"{manifest.seed}."
        )
    if facts.get("grouping") not in (None, "patient"):
        yield "- Patients are not known of all slices: near-duplicates are kept together instead."
    yield f"- Whether the raw data are kept, and where: {UNKNOWN}."


def _uses(known: Evidence) -> Iterator[str]:
    yield "- For research, teaching and comparison of methods on axial brain CT slices."
    yield "- Not for decisions about a patient, and not for naming the people shown."
    yield f"- Used before, by whom and with what results: {UNKNOWN}."
    if known.facts.get("classes", {}).get("UNSPECIFIED"):
        yield "- Records of class UNSPECIFIED are strokes of unknown type: no type to learn there."


def _distribution() -> Iterator[str]:
    yield f"- Licence or terms of the source: {UNKNOWN}."
    yield f"- Whether records may be passed on: {UNKNOWN}. They hold the pictures of the source."


def _maintenance(known: Evidence) -> Iterator[str]:
    yield f"- This version: SHA-256 of the manifest `{known.data_sha256 or UNKNOWN}`."
    yield f"- Who maintains them, how to reach them, and where errors are listed: {UNKNOWN}."
    yield "- `manifest.json` has the SHA-256 of each file of records."
