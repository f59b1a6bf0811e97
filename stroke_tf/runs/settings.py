"""The settings of one training run. Imports nothing heavy, so that `--help` answers at once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from stroke_tf.config import (
    BRAIN,
    IMPROVED_UNET,
    PLAIN_DECODER,
    THREE_WINDOWS,
    Architecture,
    AugmentStrength,
    ChooseOn,
    DecoderName,
    FitConfig,
    HeadName,
    Improvements,
    Loss,
    MaskScoreName,
    Pooling,
    ThresholdRule,
    Training,
    View,
    Window,
)
from stroke_tf.records import Stage

HISTOGRAM = "histogram"
"""The backbone that stands for a grey histogram: a baseline without a network."""
SMOKE_SIZE = 96
_SMOKE_FILTERS = 4
HEAD_ONLY = ("frozen", "probe")
"""The ways of training a classifier that leave the backbone as it is."""
HEAD_FITTED = ("frozen", "two-phase")
"""The ways of training in which `head_fit` trains the head."""

TestFold = int | Stage


@dataclass(frozen=True)
class ClassifierRun:
    """One training of a classifier.

    Attributes:
        records: Folder of records.
        out: Folder of results.
        experiment: Name of the experiment.
        row: Name of the run's row; empty takes the backbone's name.
        task: detect: stroke no or yes; type: ischaemia or haemorrhage, lesion slices only.
        backbone: Network name, one of mobilenet025, mobilenetv2, mobilenetv3small, efficientnetb0,
            efficientnetv2b0, efficientnetv2s, efficientnetlite0, efficientnetlite1,
            efficientnetlite2, convnexttiny, resnet18, resnet50, vgg16, densenet121, inceptionv3,
            xception, inceptionresnetv2; or cnn-detect or cnn-type, the custom CNNs of the USTH
            report, without pretrained weights.
        weights: imagenet, a file (looked up in $STROKE_TF_WEIGHTS too), or None for random.
        head: The layers between features and answer; auto for usth-detect, or for the custom CNN's
            own.
        pooling: What the head sees: the mean of the last feature map; its maximum as well; or mean
            and maximum of the last map of each size (layers).
        training: full: everything at once; frozen: the head alone, on features computed once;
            two-phase: first the head alone, then the backbone with it; probe: the head linear,
            by logistic regression on the features; probe+tune: that first, then the backbone.
        unfreeze_from: Block from which on the backbone trains, such as block_13 of mobilenetv2 or
            conv5 of resnet50; or all, or none. A name that is none is answered by all of them.
        image_size: Side of the model's input, pixels.
        batch_size: Slices in a batch.
        dropout: Share of the head's inputs dropped while training.
        dense_units: Units of the head's hidden layer.
        class_weights: Weigh classes by their rarity.
        label_smoothing: Share of each label given to both classes alike, in [0, 1).
        window: Channels of slices in HU: three windows (brain, subdural, stroke), or the brain
            window three times, as 8-bit slices have it.
        view: What the channels show: windows; neighbours: the slice between those before and after
            it (patients known, clean protocol); upright: the head upright, its brain at one grey.
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
        unused_folds: Folds that are left alone: what is chosen by runs without them can be tested
            on them once.
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
    head: HeadName | Literal["auto"] = "auto"
    pooling: Pooling = "avg"
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
    unused_folds: tuple[int, ...] = ()
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

    @property
    def classes(self) -> tuple[str, str]:
        """The names of classes 0 and 1."""
        return ("ischaemia", "haemorrhage") if self.task == "type" else ("no stroke", "stroke")


@dataclass(frozen=True)
class UnetRun:
    """One training of a U-Net.

    Attributes:
        records: Folder of records.
        out: Folder of results.
        experiment: Name of the experiment.
        row: Name of the run's row; empty takes the encoder's name.
        encoder: Network name. For unet, fpn, linknet and pspnet one of mobilenet, mobilenetv2,
            inceptionresnetv2, efficientnetb0, efficientnetb1, efficientnetb2, efficientnetb3,
            efficientnetb4, efficientnetb5, efficientnetb6, efficientnetb7, seresnet50, seresnet101,
            seresnet152, seresnext50, seresnext101, senet154, resnet18, resnet34, resnet50,
            resnet101, resnet152, seresnet18, seresnet34, resnext50, resnext101, vgg16, vgg19,
            inceptionv3; for composed and joint one of mobilenet025, mobilenetv2, mobilenetv3small,
            efficientnetb0, efficientnetv2b0, efficientnetv2s, efficientnetlite0, efficientnetlite1,
            efficientnetlite2, convnexttiny, resnet18, resnet50, vgg16, densenet121, inceptionv3,
            xception, inceptionresnetv2.
        weights: Encoder weights: imagenet, a file (looked up in $STROKE_TF_WEIGHTS too), or None.
        freeze: Train the decoder only.
        live_norms: Train the encoder's pretrained batch norms too; of composed and joint.
        image_size: Side of the model's input, pixels; a multiple of 32, or 48 for pspnet.
        batch_size: Slices in a batch.
        decoder_filters: Widths of the decoder, see `build_unet`; None for the library's.
        narrow_skips: Join the decoder to what the encoder's blocks hand on, not to the wide maps
            inside of them: cheaper. Of composed and joint, on mobilenetv2, mobilenetv3small and the
            efficientnets.
        loss: Loss of the masks.
        lesions_only: Leave slices without a lesion out (USTH phase 2), in testing too.
        augment: Augment training slices.
        strength: Strength of the augmentations.
        val_folds: Folds for early stopping.
        test_folds: Folds for the result: 0 to 9, stage1, stage2.
        unused_folds: Folds that are left alone: what is chosen by runs without them can be tested
            on them once.
        choose_on: What the epoch, the mask rule and the rule and threshold of the score are chosen
            on: the validation folds; or, in a cross-validation, the test slices of the other parts
            (other-parts): then each part learns from all folds but those of its test, up to the
            last epoch, and there are no validation folds.
        fit: How the model is trained.
        view: What the channels show: windows; neighbours: the slice between those before and after
            it (patients known, clean protocol), all through the brain window; upright: the head
            upright, its brain at one grey. Masks are scored as the slices lie.
        architecture: What stands on the encoder: a network of segmentation_models; composed: a
            U-Net put together on any backbone; joint: the same with a second head that names what
            the slice shows; improved: the U-Net of SAUCIS, without encoder.
        decoder: Of composed and joint.
        filters: Filters of the improved network's finest level, doubled at each deeper one.
        depth: Number of times the improved network halves its input.
        improvements: What an improved network or decoder adds to the plain one.
        mirror_test: Take the mean of what is said of each slice and of its mirror image.
        smooth_slices: Standard deviation, in slices, of the smoothing of all probabilities along a
            patient's series in testing (patients known, clean protocol); 0 for none.
        tune_mask: Choose the pixel threshold and the smallest lesion, by lesion Dice and the
            lesions found, see `choose_on`; without it each pixel takes its likeliest class.
        slice_weight: Weight of the joint network's second loss, the cross-entropy of the slice's
            class, beside 1 for the loss of its mask.
        negatives_per_positive: Most slices without a lesion for each with one in an epoch; None:
            all.
        score: What says whether a slice shows a lesion: head, the second one of a joint network,
            which others do not have; or mask, the probabilities of its pixels.
        mask_score: How these make one score: the mean of the highest (top), the area that is drawn,
            the surest lesion, or a logistic regression on all three, fitted to the slices of
            `choose_on`.
        deep_supervision: Train masks of half and a quarter of the side too, with losses of weight
            0.5 and 0.25, from the decoder's maps of these sizes; of composed and joint.
        hard_negatives: Share of an epoch's slices without a lesion that is drawn by how much lesion
            the network draws on them; all are tried after epochs 1, 4, 7 and so on.
        small_lesions: Slices with a lesion are drawn into an epoch in proportion to its area to the
            power of minus this, as many as there are; 0: each once.
        pasted_lesions: Share of an epoch's slices into which the lesion of another training slice
            is pasted.
    """

    records: Path = Path("records")
    out: Path = Path("results")
    experiment: str = "unet"
    row: str = ""
    encoder: str = "mobilenetv2"
    weights: str | None = "imagenet"
    freeze: bool = False
    live_norms: bool = False
    image_size: int = 256
    batch_size: int = 8
    decoder_filters: tuple[int, ...] | None = None
    narrow_skips: bool = False
    loss: Loss = "dice+ce"
    lesions_only: bool = False
    augment: bool = True
    strength: AugmentStrength = AugmentStrength()
    val_folds: tuple[int, ...] = (8,)
    test_folds: tuple[TestFold, ...] = (9,)
    unused_folds: tuple[int, ...] = ()
    choose_on: ChooseOn = "validation"
    fit: FitConfig = FitConfig(learning_rate=3e-4)
    view: View = "windows"
    architecture: Architecture = "unet"
    decoder: DecoderName = "plain"
    filters: int = 32
    depth: int = 4
    improvements: Improvements = IMPROVED_UNET
    mirror_test: bool = False
    smooth_slices: float = 0.0
    tune_mask: bool = False
    slice_weight: float = 0.5
    negatives_per_positive: float | None = None
    score: Literal["head", "mask"] = "head"
    mask_score: MaskScoreName = "top"
    deep_supervision: bool = False
    hard_negatives: float = 0.0
    small_lesions: float = 0.0
    pasted_lesions: float = 0.0

    @property
    def row_name(self) -> str:
        """The row's name, or what stands for it."""
        named = self.architecture in ("composed", "joint", "improved")
        return self.row or (self.architecture if named else self.encoder)

    @property
    def windows(self) -> tuple[Window, ...]:
        """The HU windows of the channels."""
        return (BRAIN,) if self.view == "neighbours" else THREE_WINDOWS

    @property
    def classes(self) -> tuple[str, str]:
        """The names of what masks detect: slices without and with a lesion."""
        return "no lesion", "lesion"

    @property
    def score_rule(self) -> MaskScoreName | None:
        """The rule by which masks detect; None where they do not.

        Raises:
            ValueError: If it is of no effect, or there are no slices without a lesion to score.
        """
        if self.score != "mask":
            if self.mask_score != "top":
                raise ValueError(f"`mask_score` needs `score` mask. Received: {self.score}")
            return None
        if self.lesions_only:
            raise ValueError(
                "`score` mask needs slices without a lesion. Received: lesions_only, which leaves "
                "them out"
            )
        return self.mask_score

    @property
    def chooses_on_parts(self) -> bool:
        """Whether there is something to choose, and other parts to choose it on."""
        needed = self.score_rule is not None or self.tune_mask
        return needed and self.choose_on == "other-parts"

    @property
    def network(self) -> dict[str, Any]:
        """Arguments for the builder of the architecture, see SEGMENTERS."""
        network: dict[str, Any] = {"image_size": self.image_size, "seed": self.fit.seed}
        if self.smooth_slices < 0:
            raise ValueError(f"`smooth_slices` must be >= 0. Received: {self.smooth_slices}")
        of_composed = self.architecture in ("composed", "joint")
        if self.deep_supervision and not of_composed:
            raise ValueError(
                "`deep_supervision` needs the architecture composed or joint. "
                f"Received: {self.architecture}"
            )
        if self.deep_supervision and self.decoder_filters and len(self.decoder_filters) < 5:
            raise ValueError(
                "`deep_supervision` needs a decoder that ends at the whole side, of five widths. "
                f"Received `decoder_filters`: {self.decoder_filters}"
            )
        if self.architecture == "improved":
            of_size = {"filters": self.filters, "depth": self.depth}
            return network | {"improvements": self.improvements, **of_size}
        network |= {
            "encoder": self.encoder,
            "weights": self.weights,
            "freeze_encoder": self.freeze,
            "decoder_filters": self.decoder_filters,
        }
        if not of_composed and (self.live_norms or self.narrow_skips or self.decoder != "plain"):
            raise ValueError(
                "`live_norms`, `narrow_skips` and `decoder` need the architecture composed or "
                f"joint. Received: {self.architecture}"
            )
        if of_composed:
            plain = self.decoder == "plain"
            network["improvements"] = PLAIN_DECODER if plain else self.improvements
            network["live_norms"] = self.live_norms
            network["narrow_skips"] = self.narrow_skips
        return network


@dataclass(frozen=True)
class ClassifierTraining:
    """A training of a classifier.

    Attributes:
        run: The settings of the run.
        auto: Choose image size, batch, epochs and learning rate, as far as no flag sets them, from
            the records, the memory there is and a few timed steps; each is told with its reason.
        minutes: Time that the training may take; means --auto.
        smoke: Only see that everything runs, in small, on phantoms where there are no records.
    """

    run: Annotated[ClassifierRun, tyro.conf.arg(name="")] = ClassifierRun()
    auto: bool = False
    minutes: float | None = None
    smoke: bool = False


@dataclass(frozen=True)
class UnetTraining:
    """A training of a U-Net, and who does it.

    Attributes:
        run: The settings of the run.
        hosts: Processes on this machine that share the training, with Keras on JAX; 1 trains in
            this one, with TensorFlow. For several hosts see docs/howto/several_machines.md.
        auto: Choose image size, batch, epochs and learning rate, as far as no flag sets them, from
            the records, the memory there is and a few timed steps; each is told with its reason.
        minutes: Time that the training may take; means --auto.
        smoke: Only see that everything runs, in small, on phantoms where there are no records.
    """

    run: Annotated[UnetRun, tyro.conf.arg(name="")] = UnetRun()
    hosts: int = 1
    auto: bool = False
    minutes: float | None = None
    smoke: bool = False


def small(run: Any) -> Any:
    """Returns a classifier's or U-Net's run that only shows that everything works, in small."""
    run = replace(
        run,
        experiment=f"{run.experiment}-smoke",  # real runs have other settings
        image_size=SMOKE_SIZE,
        batch_size=8,
        weights=None,
        fit=replace(run.fit, epochs=1),
    )
    if isinstance(run, ClassifierRun):
        head_fit = run.fit if run.training in HEAD_FITTED else run.head_fit
        return replace(run, head_fit=head_fit, copies=0)
    decoder = tuple(_SMOKE_FILTERS << level for level in (4, 3, 2, 1, 0))
    # Hard negatives need a second epoch.
    return replace(run, filters=_SMOKE_FILTERS, decoder_filters=decoder, hard_negatives=0.0)
