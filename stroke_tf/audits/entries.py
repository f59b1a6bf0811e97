"""The audits by name. A new one is a module with `audit(subject) -> Audited` and a line here."""

from __future__ import annotations

from typing import NamedTuple

from stroke_tf.audits.audit import Needs


class Audit(NamedTuple):
    """One audit.

    Attributes:
        module: Its module, imported when it is called.
        needs: What it looks at.
        about: What it asks, in a line.
        network: Whether it asks a frozen network, whose weights may have to be downloaded.
    """

    module: str
    needs: Needs
    about: str
    network: bool = False


AUDITS: dict[str, Audit] = {
    "data": Audit("stroke_tf.audits.data", "records", "what the records hold"),
    "leakage": Audit("stroke_tf.audits.leakage", "records", "what several folds share", True),
    "shortcuts": Audit(
        "stroke_tf.audits.shortcuts", "records", "what tells the class, and where", True
    ),
    "labels": Audit(
        "stroke_tf.audits.labels", "records", "which labels and masks are doubtful", True
    ),
    "failures": Audit("stroke_tf.audits.failures", "both", "what a run misses, and how sure it is"),
    "cards": Audit("stroke_tf.audits.cards", "any", "what model and data are: cards, CLAIM"),
}
"""The audits in the order of the page."""
