"""The settings of one training run. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stroke_tf.config import AugmentStrength, FitConfig, ThresholdRule

TestFold = int | Literal["stage1", "stage2"]


@dataclass(frozen=True)
class ClassifierRun:
    """One training of a classifier.

    Attributes:
        records: Folder of records.
        out: Folder of results.
        experiment: Name of the experiment.
        row: Name of the run's row; empty takes the backbone's name.
        task: detect: stroke no or yes; type: ischaemia or haemorrhage, lesion slices only.
        backbone: A key of BACKBONES.
        weights: imagenet, a file (looked up in $STROKE_TF_WEIGHTS too), or None for random.
        freeze: Train the head only.
        image_size: Side of the model's input, pixels.
        batch_size: Slices in a batch.
        dropout: Share of the head's inputs dropped while training.
        dense_units: Units of the head's hidden layer.
        class_weights: Weigh classes by their rarity.
        augment: Augment training slices.
        strength: Strength of the augmentations.
        threshold_rule: How the threshold is chosen on the validation folds.
        val_folds: Folds for early stopping and the threshold.
        test_folds: Folds for the result: 0 to 9, stage1, stage2.
        fit: How the model is trained.
    """

    records: Path = Path("records")
    out: Path = Path("results")
    experiment: str = "classifier"
    row: str = ""
    task: Literal["detect", "type"] = "detect"
    backbone: str = "mobilenetv2"
    weights: str | None = "imagenet"
    freeze: bool = False
    image_size: int = 224
    batch_size: int = 32
    dropout: float = 0.3
    dense_units: int = 128
    class_weights: bool = True
    augment: bool = True
    strength: AugmentStrength = AugmentStrength()
    threshold_rule: ThresholdRule = "recall-floor"
    val_folds: tuple[int, ...] = (8,)
    test_folds: tuple[TestFold, ...] = (9,)
    fit: FitConfig = FitConfig(learning_rate=1e-4)

    @property
    def row_name(self) -> str:
        """The row's name, or what stands for it."""
        return self.row or self.backbone


@dataclass(frozen=True)
class UnetRun:
    """One training of a U-Net.

    Attributes:
        records: Folder of records.
        out: Folder of results.
        experiment: Name of the experiment.
        row: Name of the run's row; empty takes the encoder's name.
        encoder: A key of ENCODERS.
        weights: Encoder weights: imagenet, a file (looked up in $STROKE_TF_WEIGHTS too), or None.
        freeze: Train the decoder only.
        image_size: Side of the model's input, pixels; a multiple of 32.
        batch_size: Slices in a batch.
        decoder_filters: Filters of the five decoder blocks, deepest first.
        loss: A key of LOSSES.
        lesions_only: Leave slices without a lesion out (USTH phase 2), in testing too.
        augment: Augment training slices.
        strength: Strength of the augmentations.
        val_folds: Folds for early stopping.
        test_folds: Folds for the result: 0 to 9, stage1, stage2.
        fit: How the model is trained.
    """

    records: Path = Path("records")
    out: Path = Path("results")
    experiment: str = "unet"
    row: str = ""
    encoder: str = "mobilenetv2"
    weights: str | None = "imagenet"
    freeze: bool = False
    image_size: int = 256
    batch_size: int = 8
    decoder_filters: tuple[int, int, int, int, int] = (256, 128, 64, 32, 16)
    loss: Literal["dice", "cross-entropy", "dice+ce", "sm-dice"] = "dice+ce"
    lesions_only: bool = False
    augment: bool = True
    strength: AugmentStrength = AugmentStrength()
    val_folds: tuple[int, ...] = (8,)
    test_folds: tuple[TestFold, ...] = (9,)
    fit: FitConfig = FitConfig(learning_rate=3e-4)

    @property
    def row_name(self) -> str:
        """The row's name, or what stands for it."""
        return self.row or self.encoder
