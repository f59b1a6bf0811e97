"""The types that all audits share: subject and findings. Knows no audit and no page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stroke_tf.evaluation.intervals import Metric

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Level = Literal["fine", "note", "warning"]
Needs = Literal["records", "run", "both", "any"]
"""The input of an audit: records, a run's predictions, both of the same slices, or any of them."""


@dataclass(frozen=True)
class Finding:
    """One sentence with its number, n and interval, and how much it matters."""

    level: Level
    text: str


@dataclass(frozen=True)
class Audited:
    """The result of an audit.

    Attributes:
        title: Its heading.
        about: What was done, in two sentences: slices, patients, protocol, folds, seed.
        findings: What was found; the page shows warnings first.
        tables: Tables by their title; a cell is text, a number or a `Metric`.
        figures: Figures by the stem of their file, which is their caption too.
        files: Further texts by the name of their file.
    """

    title: str
    about: str
    findings: tuple[Finding, ...]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Subject:
    """The subject of an audit, and the settings of the audit.

    Attributes:
        records: Folder of records, if there is one.
        run: Folder with the predictions.csv of a run or of a cross-validation, if there is one.
        backbone: A key of BACKBONES: the frozen network of the quick classifier.
        weights: Its weights, as for `build_classifier`.
        image_size: Side in pixels at which slices are looked at.
        seed: Seed of folds and of the bootstrap.
        resamples: Number of bootstrap resamples.
        split: File of folds that others have dealt, if there is one.
        table: CSV with the column `id` and what is known of the slices, if there is one.
        row: Row of a cross-validation of several.
    """

    records: Path | None
    run: Path | None
    backbone: str
    weights: str | None
    image_size: int
    seed: int = 0
    resamples: int = 1000
    split: Path | None = None
    table: Path | None = None
    row: str | None = None

    @property
    def folder(self) -> Path:
        """The folder of records.

        Raises:
            ValueError: If there is none.
        """
        if self.records is None:
            raise ValueError("this audit needs records: --records FOLDER. Received: none")
        return self.records


def plain_cell(cell: Any) -> Any:
    """Returns a table's cell as JSON has it: NaN is null, a `Metric` an object."""
    if isinstance(cell, Metric):
        return {name: plain_cell(number) for name, number in cell._asdict().items()}
    return None if isinstance(cell, float) and cell != cell else cell


def cell_text(cell: Any) -> str:
    """Returns a cell of `plain_cell` as text."""
    if cell is None:
        return "–"
    if isinstance(cell, dict):
        return Metric(*(float("nan") if value is None else value for value in cell.values())).text()
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)
