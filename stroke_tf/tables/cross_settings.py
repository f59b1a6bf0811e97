"""The settings of `cross-validate`. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from stroke_tf.config import ModelTask
from stroke_tf.runs.parts import PARTS
from stroke_tf.runs.settings import ClassifierRun, TestFold, UnetRun
from stroke_tf.tables.settings import ByColumns
from stroke_tf.tables.table import Row, Table

_Records = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RECORDS")]
_Dealt = tyro.conf.arg(help="Of no effect: the folds are dealt to the parts.")


@dataclass(frozen=True)
class _Classifier(ClassifierRun):
    records: _Records = Path("records")
    experiment: str = ""
    task: tyro.conf.Suppress[Literal["detect", "type"]] = "detect"
    val_folds: Annotated[tuple[int, ...], _Dealt] = ()
    test_folds: Annotated[tuple[TestFold, ...], _Dealt] = ()
    unused_folds: Annotated[tuple[int, ...], _Dealt] = ()


@dataclass(frozen=True)
class _Unet(UnetRun):
    records: _Records = Path("records")
    experiment: str = ""
    tune_mask: bool = True
    val_folds: Annotated[tuple[int, ...], _Dealt] = ()
    test_folds: Annotated[tuple[TestFold, ...], _Dealt] = ()
    unused_folds: Annotated[tuple[int, ...], _Dealt] = ()


@dataclass(frozen=True)
class CrossValidation:
    """Settings of a cross-validation.

    Attributes:
        task: detect: stroke no or yes; type: ischaemia or haemorrhage; segment: masks; joint: masks
            and the type. The first two have flags of their own, and the others too: `--help` shows
            those of the task.
        model: The network: a backbone, or histogram; for masks an encoder, or improved. Empty: that
            of --backbone or --encoder.
        folds: Number of parts: 2, 5 or 10 of the ten folds of a conversion, and else a number that
            divides that of its folds.
        seeds: Seeds, each with runs of its own; when none is given, that of --fit.seed.
        columns: Table that names slices, as that of `audit --table`, and has columns such as
            hospital, scanner or kind: each of their values has scores of its own.
        by: Columns to take; all with 2 to 20 values when none is given.
        auto: Choose image size, batch, epochs and learning rate, as far as no flag sets them, from
            the records, the memory there is and a few timed steps; each is told with its reason.
        minutes: Time that all trainings together may take; means --auto.
        smoke: Only see that everything runs, in small, on phantoms where there are no records; not
            with --auto.
    """

    task: ModelTask = "detect"
    model: str = ""
    folds: int = PARTS
    seeds: tuple[int, ...] = ()
    columns: Path | None = None
    by: tuple[str, ...] = ()
    auto: bool = False
    minutes: float | None = None
    smoke: bool = False

    def table(self, row: Row) -> Table:
        """Returns the table of one row that is cross-validated."""
        name = row.row or _network(row)
        return Table(
            row.experiment or f"cv{self.folds}-{self.task}-{name}",
            {name: row},
            folds="five",
            parts=self.folds,
        )

    def table_run(self, row: Row) -> ByColumns:
        """Returns how that table is run."""
        return ByColumns(
            records=(row.records,),
            out=row.out,
            seeds=self.seeds or (row.fit.seed,),
            smoke=self.smoke,
            weights=row.weights,
            columns=self.columns,
            by=self.by,
        )


@dataclass(frozen=True)
class ClassifierCrossValidation(CrossValidation):
    """The cross-validation of a classifier.

    Attributes:
        run: The settings of its runs.
    """

    run: Annotated[_Classifier, tyro.conf.arg(name="")] = _Classifier()

    @property
    def row(self) -> ClassifierRun:
        """The row of the table."""
        changes: dict[str, Any] = {"task": self.task, "backbone": self.model or self.run.backbone}
        return replace(self.run, **changes)


@dataclass(frozen=True)
class UnetCrossValidation(CrossValidation):
    """The cross-validation of a network that draws masks.

    Attributes:
        run: The settings of its runs.
    """

    run: Annotated[_Unet, tyro.conf.arg(name="")] = _Unet()

    @property
    def row(self) -> UnetRun:
        """The row of the table; ValueError of a network that the task has not."""
        changes: dict[str, Any] = {"encoder": self.model} if self.model else {}
        improved = [
            flag
            for flag, value in (("--model", self.model), ("--architecture", self.run.architecture))
            if value == "improved"
        ]
        if self.task == "joint" and improved:
            raise ValueError(
                "--task joint needs an encoder for its two answers; the improved U-Net draws masks "
                f"alone, with --task segment. Received: {improved[0]} improved"
            )
        if self.model == "improved":
            changes = {"architecture": "improved", "weights": None}
        elif self.task == "joint":
            changes["architecture"] = "joint"
        return replace(self.run, **changes)


def _network(row: Row) -> str:
    if isinstance(row, ClassifierRun):
        return row.backbone
    return row.architecture if row.architecture == "improved" else row.encoder


def kind_of(args: Sequence[str]) -> type[ClassifierCrossValidation | UnetCrossValidation]:
    """Returns the settings that a command line has the flags of: those of its `--task`."""
    named, _ = tyro.cli(_Named, args=args, return_unknown_args=True, add_help=False)
    masks = named.task in ("segment", "joint")
    return UnetCrossValidation if masks else ClassifierCrossValidation


@dataclass(frozen=True)
class _Named:
    task: ModelTask = "detect"
