"""Cards from the files of a run and its records: of the model, of the data, and CLAIM 2024."""

from __future__ import annotations

import pandas as pd

from stroke_tf.audits.audit import Audited, Finding, Subject
from stroke_tf.audits.claim import AUTHOR, Item, answers, claim_checklist, tally
from stroke_tf.audits.data_card import data_card
from stroke_tf.audits.evidence import UNKNOWN, Evidence, read_evidence
from stroke_tf.deploy.card import model_card


def audit(subject: Subject) -> Audited:
    """Fills the cards, and says how much of them is for a person to fill in."""
    known = read_evidence(subject)
    files = {"DATA_CARD.md": data_card(known), "CLAIM.md": claim_checklist(known)}
    if known.model is not None:
        files["MODEL_CARD.md"] = model_card(
            known.model, is_licensed=False, are_parts=known.result is None
        )
    told = answers(known)
    items = [
        {
            "item": number,
            "section": item.section,
            "what it asks": item.asks,
            "answered": text or AUTHOR,
        }
        for number, item, text in told
    ]
    return Audited(
        "Cards",
        f"Filled from {_sources(known)}. What no file says is marked: {UNKNOWN}; {AUTHOR}.",
        (*_missing(known, files), *_left(told, files["DATA_CARD.md"])),
        {"CLAIM 2024, in short words of our own": pd.DataFrame(items)},
        files=files,
    )


def _sources(known: Evidence) -> str:
    of_run = "" if known.result is None else "the run's files"
    if known.model is not None and known.result is None:
        of_run = "the files of the cross-validation's parts"
    of_records = "" if known.manifest is None else "manifest.json and folds.csv of the records"
    return " and ".join(filter(None, (of_run, of_records))) or "nothing: no run and no records"


def _missing(known: Evidence, files: dict[str, str]) -> list[Finding]:
    found = []
    if "MODEL_CARD.md" not in files:
        text = "No model card: there is no finished run with a network, as each part of a "
        found.append(Finding("note", f"{text}cross-validation is."))
    if known.manifest is None:
        text = "Folds, patients and masks are not counted: give the records with --records."
        found.append(Finding("note", text))
    return found


def _left(told: list[tuple[int, Item, str | None]], card: str) -> list[Finding]:
    return [
        Finding("note", f"CLAIM 2024: {tally(told)}"),
        Finding("note", f"The data card has {card.count(UNKNOWN)} gaps for a person to fill in."),
    ]
