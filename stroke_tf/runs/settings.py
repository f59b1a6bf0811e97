"""The settings of one training run. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stroke_tf.config import (
    BRAIN,
    IMPROVED_UNET,
    THREE_WINDOWS,
    AugmentStrength,
    FitConfig,
    Improvements,
    ThresholdRule,
    View,
    Window,
)

Loss = Literal[
    "dice",
    "jaccard",
    "tversky",
    "lovasz",
    "focal",
    "weighted-ce",
    "cross-entropy",
    "dice+ce",
    "dice+weighted-ce",
    "sm-dice",
]
"""A key of LOSSES."""
TestFold = int | Literal["stage1", "stage2"]
Training = Literal["full", "frozen", "two-phase", "probe", "probe+tune"]
"""What of a classifier trains: the whole at once; the head alone, on the features of a frozen
backbone, computed once; first the head alone and then the backbone with it; the head "linear",
fitted to the features by logistic regression; or that first and then the backbone with it."""


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
        head: A key of HEADS; auto for usth-detect, or for the custom CNN's own.
        pooling: What the head sees: the mean of the last feature map; its maximum as well; or mean
            and maximum of the last map of each size (layers).
        training: full: everything at once; frozen: the head alone, on features computed once;
            two-phase: first the head alone, then the backbone with it; probe: the head linear,
            by logistic regression on the features; probe+tune: that first, then the backbone.
        unfreeze_from: Block from which on the backbone trains; all, none, or a name of its entry
            in BACKBONES.
        image_size: Side of the model's input, pixels.
        batch_size: Slices in a batch.
        dropout: Share of the head's inputs dropped while training.
        dense_units: Units of the head's hidden layer.
        class_weights: Weigh classes by their rarity.
        label_smoothing: Share of each label given to both classes alike, in [0, 1).
        window: Channels of slices in HU: three windows (brain, subdural, stroke), or the brain
            window three times, as 8-bit slices have it.
        view: What the channels show: windows; neighbours: the slice between those before and after
            it (patients known, clean protocol); head: the head upright, its brain at one grey.
        negatives_per_positive: Most slices of class 0 for each of class 1 in an epoch; None: all.
        augment: Augment training slices.
        copies: Augmented copies of each slice among the features of the frozen phase.
        inverse_penalty: C of the logistic regression; small is a strong penalty.
        strength: Strength of the augmentations.
        watch: Validation score that says which epoch is best.
        mirror_test: Score each slice and its mirror image, and take the mean.
        smooth_slices: Standard deviation, in slices, of the smoothing of scores along a patient's
            series; 0 for none.
        threshold_rule: How the threshold is chosen on the validation folds.
        val_folds: Folds for early stopping and the threshold.
        test_folds: Folds for the result: 0 to 9, stage1, stage2.
        fit: How the model is trained; in two phases, in the second.
        head_fit: How the head is trained on features; the seed is that of `fit`.
    """

    records: Path = Path("records")
    out: Path = Path("results")
    experiment: str = "classifier"
    row: str = ""
    task: Literal["detect", "type"] = "detect"
    backbone: str = "mobilenetv2"
    weights: str | None = "imagenet"
    head: Literal["auto", "usth-detect", "usth-type", "usth-cnn", "saucis", "linear"] = "auto"
    pooling: Literal["avg", "avg+max", "layers"] = "avg"
    training: Training = "full"
    unfreeze_from: str = "all"
    image_size: int = 224
    batch_size: int = 32
    dropout: float = 0.3
    dense_units: int = 128
    class_weights: bool = True
    label_smoothing: float = 0.0
    window: Literal["three", "brain"] = "three"
    view: View = "windows"
    negatives_per_positive: float | None = None
    augment: bool = True
    copies: int = 0
    inverse_penalty: float = 1e-3
    strength: AugmentStrength = AugmentStrength()
    watch: Literal["loss", "auc"] = "loss"
    mirror_test: bool = False
    smooth_slices: float = 0.0
    threshold_rule: ThresholdRule = "recall-floor"
    val_folds: tuple[int, ...] = (8,)
    test_folds: tuple[TestFold, ...] = (9,)
    fit: FitConfig = FitConfig(learning_rate=1e-4)
    head_fit: FitConfig = FitConfig(epochs=40, learning_rate=1e-3, patience=10, reduce_patience=5)

    @property
    def row_name(self) -> str:
        """The row's name, or what stands for it."""
        return self.row or self.backbone

    @property
    def windows(self) -> tuple[Window, ...]:
        """The HU windows of the channels."""
        return (BRAIN,) if self.window == "brain" or self.view == "neighbours" else THREE_WINDOWS


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
        image_size: Side of the model's input, pixels; a multiple of 32, or 48 for pspnet.
        batch_size: Slices in a batch.
        decoder_filters: Widths of the decoder, see `build_unet`; None for the library's.
        loss: A key of LOSSES.
        lesions_only: Leave slices without a lesion out (USTH phase 2), in testing too.
        augment: Augment training slices.
        strength: Strength of the augmentations.
        val_folds: Folds for early stopping.
        test_folds: Folds for the result: 0 to 9, stage1, stage2.
        fit: How the model is trained.
        architecture: What stands on the encoder; joint: a U-Net with a second head that names what
            the slice shows; improved: the U-Net of SAUCIS, without encoder.
        filters: Filters of the improved network's finest level, doubled at each deeper one.
        depth: Number of times the improved network halves its input.
        improvements: What the improved network adds to the plain U-Net.
        mirror_test: Take the mean of what is said of each slice and of its mirror image.
        tune_mask: Choose the pixel threshold and the smallest lesion on the validation folds;
            without it each pixel takes its likeliest class.
        slice_weight: Weight of the joint network's second loss, the cross-entropy of the slice's
            class, beside 1 for the loss of its mask.
        negatives_per_positive: Most slices without a lesion for each with one in an epoch; None:
            all.
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
    decoder_filters: tuple[int, ...] | None = None
    loss: Loss = "dice+ce"
    lesions_only: bool = False
    augment: bool = True
    strength: AugmentStrength = AugmentStrength()
    val_folds: tuple[int, ...] = (8,)
    test_folds: tuple[TestFold, ...] = (9,)
    fit: FitConfig = FitConfig(learning_rate=3e-4)
    architecture: Literal["unet", "fpn", "linknet", "pspnet", "joint", "improved"] = "unet"
    filters: int = 32
    depth: int = 4
    improvements: Improvements = IMPROVED_UNET
    mirror_test: bool = False
    tune_mask: bool = False
    slice_weight: float = 0.5
    negatives_per_positive: float | None = None

    @property
    def row_name(self) -> str:
        """The row's name, or what stands for it."""
        named = self.architecture in ("joint", "improved")
        return self.row or (self.architecture if named else self.encoder)
