"""The figures of both papers, and which of our pictures stands for each.

Knows names alone: of experiments, of their rows and of the figures that a run leaves.
"""

from __future__ import annotations

from typing import NamedTuple

from stroke_tf.tables.papers import SAUCIS, USTH

SAMPLES = "samples"
"""The experiment that draws slices and trains nothing."""


class PaperFigure(NamedTuple):
    """A figure of a paper.

    Attributes:
        paper: SAUCIS or USTH.
        name: What the paper calls it.
        about: What it shows.
        experiment: The experiment that draws ours.
        row: The row whose run does; empty for samples.
        pictures: Stems of our files.
    """

    paper: str
    name: str
    about: str
    experiment: str
    row: str
    pictures: tuple[str, ...]


_T1, _T2 = ("usth-t1-detect", "efficientnetv2b0"), ("usth-t2-type", "cnn-type")
_T3, _T6 = ("usth-t3-segment", "resnet50"), ("saucis-t6-unet", "improved-unet")
_SAMPLES = (SAMPLES, "")

FIGURES = (
    PaperFigure(
        SAUCIS, "Figure 1", "slices of each class", *_SAMPLES, ("saucis-1-usth-1-classes",)
    ),
    PaperFigure(SAUCIS, "Figure 2", "the augmentations", *_SAMPLES, ("saucis-2-augmentations",)),
    PaperFigure(
        SAUCIS, "Figure 3", "ischaemia and haemorrhage", *_SAMPLES, ("saucis-3-usth-3-lesions",)
    ),
    PaperFigure(SAUCIS, "Figure 4", "masks beside the truth", *_T6, ("segmentation",)),
    PaperFigure(SAUCIS, "Figure 5", "Dice (F1), IoU and loss", *_T6, ("history",)),
    PaperFigure(USTH, "Figure 1", "slices of each class", *_SAMPLES, ("saucis-1-usth-1-classes",)),
    PaperFigure(
        USTH, "Figure 2", "slices of the second test session", *_SAMPLES, ("usth-2-test-session",)
    ),
    PaperFigure(USTH, "Figure 3", "overlays", *_SAMPLES, ("saucis-3-usth-3-lesions",)),
    PaperFigure(
        USTH, "Figure 4", "confusion matrix and loss, detection", *_T1, ("confusion", "history")
    ),
    PaperFigure(USTH, "Figure 5", "right and wrong answers, detection", *_T1, ("predictions",)),
    PaperFigure(USTH, "Figure 6", "confusion matrix, type", *_T2, ("confusion",)),
    PaperFigure(USTH, "Figure 7", "loss, type", *_T2, ("history",)),
    PaperFigure(USTH, "Figure 8", "right and wrong answers, type", *_T2, ("predictions",)),
    PaperFigure(
        USTH, "Figure 9", "curves and masks, segmentation", *_T3, ("history", "segmentation")
    ),
)
"""The figures, in the order of the papers."""
