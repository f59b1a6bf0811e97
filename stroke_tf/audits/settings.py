"""The settings of an audit. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class AuditConfig:
    """An audit of records or of a run.

    Attributes:
        subject: Folder of records; or of a run or cross-validation, with its predictions.csv.
        records: Folder of records of the run.
        only: The audits to do; all that can be done when not given.
        out: Folder of the page.
        table: CSV or TSV of what is known of slices, such as source and patient, named by its
            column id, or by its first one or two columns.
        row: The row to audit of a cross-validation of several.
        split: Folds that others have dealt: a CSV with id and fold, nnU-Net's splits_final.json.
        backbone: The frozen network of the quick classifier, one of mobilenet025, mobilenetv2,
            mobilenetv3small, efficientnetb0, efficientnetv2b0, efficientnetv2s, efficientnetlite0,
            efficientnetlite1, efficientnetlite2, convnexttiny, resnet18, resnet50, vgg16,
            densenet121, inceptionv3, xception, inceptionresnetv2.
        weights: imagenet, a file (looked up in $STROKE_TF_WEIGHTS too), or None for random.
        image_size: Side in pixels at which slices are looked at.
        seed: Seed of random folds and of the bootstrap.
        resamples: Number of bootstrap resamples.
    """

    subject: Annotated[Path, tyro.conf.Positional]
    records: Path | None = None
    only: tuple[str, ...] = ()
    out: Path = Path("audit")
    table: Path | None = None
    row: str | None = None
    split: Path | None = None
    backbone: str = "mobilenetv2"
    weights: str | None = "imagenet"
    image_size: int = 128
    seed: int = 0
    resamples: int = 1000
