"""The settings of pipelines and training as frozen dataclasses: command lines come from them.

Imports neither TensorFlow nor Keras, so that `--help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Window = tuple[float, float]
"""An HU window: (centre, width)."""

BRAIN: Window = (40, 80)
SUBDURAL: Window = (80, 200)
STROKE: Window = (32, 8)
THREE_WINDOWS: tuple[Window, ...] = (BRAIN, SUBDURAL, STROKE)

WEIGHTS_FOLDER = "STROKE_TF_WEIGHTS"
"""Name of the environment variable that names the folder of weight files."""

View = Literal["windows", "neighbours", "upright"]
"""The content of a model's three input channels: the slice through its windows; the slice between
those before and after it; or its head upright and centred, with its brain at one grey."""

ThresholdRule = Literal["recall-floor", "youden", "fixed"]
"""How the threshold of slices' scores is chosen on validation slices."""

MaskScoreName = Literal["top", "area", "lesion", "regression"]
"""How a slice's score comes from the probabilities of its pixels: the keys of MASK_SCORES."""

ChooseOn = Literal["validation", "other-parts"]
"""What a run's rules are chosen on: its validation folds, or other parts of a cross-validation."""

PointName = Literal["default", "sensitive", "specific"]
"""Which threshold of a model calls a slice positive: its own; the one of 0.9 sensitivity, which
misses little; or the one of 0.9 specificity, which alarms little."""

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
"""The losses of a segmentation: the keys of LOSSES."""

HeadName = Literal["usth-detect", "usth-type", "usth-cnn", "saucis", "linear"]
"""The layers between pooled features and probabilities: the keys of HEADS."""

Pooling = Literal["avg", "avg+max", "layers"]
"""How feature maps become one vector: the mean of the last one; its mean and its maximum side by
side (a small lesion shows in the maximum, and is lost in the mean of a large map); or mean and
maximum of several maps (early ones hold texture and edges, the last what ImageNet asks for)."""

LibraryArchitecture = Literal["unet", "fpn", "linknet", "pspnet"]
"""The networks of segmentation_models, which stand on an encoder."""

Architecture = Literal[LibraryArchitecture, "composed", "joint", "improved"]
"""Every network that gives a class to each pixel, by what stands on the encoder: the keys of
SEGMENTERS."""

DecoderName = Literal["plain", "improved"]
"""The decoder of a composed network: up-convolutions, skip connections and batch norms; or with the
improvements of SAUCIS too."""

ModelTask = Literal["detect", "type", "segment", "joint"]
"""The answer of a model: stroke or none; the type of a stroke; a class for each pixel; or, joint,
a class for each pixel and one for the slice."""

Training = Literal["full", "frozen", "two-phase", "probe", "probe+tune"]
"""The part of a classifier that trains: the whole at once; the head alone, on the features of a
frozen backbone, computed once; first the head alone and then the backbone with it; the head
"linear", fitted to the features by logistic regression; or that first and then the backbone with
it."""


ExportFormat = Literal["openvino", "onnx", "litert", "saved-model"]
"""The files that a network is exported to: the keys of FORMATS."""

Runtime = Literal["auto", "keras", "openvino", "onnx", "litert"]
"""The library that computes a trained network. "auto" is OpenVINO on a CPU where it is installed,
else TensorFlow. Any other is taken only when it is asked for."""


@dataclass(frozen=True)
class AugmentStrength:
    """How far each augmentation may go; 0 switches one off.

    Attributes:
        rotation_deg: Rotation about the centre, uniform in [-x, x] degrees.
        contrast: Contrast factor about the slice's mean, uniform in [1 - x, 1 + x].
        brightness: Added brightness, uniform in [-x, x] of the full range of 255.
        mirror: Probability of a left-right mirror image.
        roi: ROI crop: a square of side uniform in [1 - x, 1] of the slice, scaled back to its size.
        gamma: Grey values over 255 to a power of 1 / (1 + x) to 1 + x.
        noise: Standard deviation of Gaussian noise, uniform in [0, x] of the full range of 255.
        elastic: Smooth bending by up to this share of the side.
    """

    rotation_deg: float = 10.0
    contrast: float = 0.1
    brightness: float = 0.05
    mirror: float = 0.5
    roi: float = 0.15
    gamma: float = 0.0
    noise: float = 0.0
    elastic: float = 0.0


@dataclass(frozen=True)
class FitConfig:
    """How a model is trained.

    Attributes:
        epochs: Most epochs to train.
        learning_rate: Initial learning rate of Adam, or the highest of a schedule.
        patience: Epochs without a better validation score before training stops.
        reduce_patience: Epochs without a better validation score before the learning rate falls.
        reduce_factor: What the learning rate is multiplied by then.
        schedule: plateau: the learning rate falls as the three settings before say; cosine: it
            falls along half a cosine, to nothing after the last epoch.
        warmup_epochs: Epochs over which the learning rate of the cosine rises first, in steps.
        weight_decay: Share of the learning rate by which each step shrinks kernels (AdamW).
        clip_norm: Largest norm of all gradients together; larger ones are scaled down to it.
        average: Momentum of a running mean of the weights, which is validated and kept instead of
            them; 0 for none, 0.99 or 0.999 for a mean over some hundred or thousand steps.
        encoder_rate: What the learning rate is multiplied by for the pretrained encoder.
        precision: What layers compute in; weights and probabilities stay float32. float16
            needs a GPU; bfloat16 can gain on a CPU with AMX.
        jit_compile: Whether to compile with XLA (slower on a CPU).
        seed: Seed of weights, shuffling and augmentation.
        deterministic: Whether equal trainings on one machine give equal numbers, bit by bit: the
            seed alone leaves open in which order cores add theirs. It takes more time.
    """

    epochs: int = 20
    learning_rate: float = 1e-3
    patience: int = 6
    reduce_patience: int = 3
    reduce_factor: float = 0.3
    schedule: Literal["plateau", "cosine"] = "plateau"
    warmup_epochs: int = 0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    average: float = 0.0
    encoder_rate: float = 1.0
    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    jit_compile: bool = False
    seed: int = 0
    deterministic: bool = False


@dataclass(frozen=True)
class Improvements:
    """The additions of SAUCIS's improved U-Net to the plain one; each can be switched off.

    Attributes:
        attention: Attention gates on the skip connections.
        multi_scale: Each decoder level also sees the next finer encoder level (eq. 1).
        residual: A shortcut past the two convolutions of each level (eq. 2).
        spatial_dropout: Share of the feature maps dropped before each decoder level (eq. 3), in
            [0, 1). The paper does not print its rate.
        batch_norm: Batch normalisation after each convolution (eq. 4).
    """

    attention: bool = True
    multi_scale: bool = True
    residual: bool = True
    spatial_dropout: float = 0.2
    batch_norm: bool = True


IMPROVED_UNET = Improvements()
"""All of them."""

PLAIN_UNET = Improvements(
    attention=False, multi_scale=False, residual=False, spatial_dropout=0.0, batch_norm=False
)
"""None of them: the U-Net of Ronneberger et al. 2015."""

PLAIN_DECODER = Improvements(
    attention=False, multi_scale=False, residual=False, spatial_dropout=0.0
)
"""Batch norms alone, which a decoder on a pretrained encoder needs."""
