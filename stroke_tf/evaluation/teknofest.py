"""The official scores of the TEKNOFEST-2021 stroke competition.

Stage 1 asks for stroke yes or no (text), stage 2 for a mask of each slice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stroke_tf.evaluation.metrics import Counts, count, iou, sensitivity, specificity
from stroke_tf.labels import LESION_CLASSES, MASK_CLASSES


@dataclass(frozen=True)
class Stage1Score:
    """The stage-1 score.

    Attributes:
        counts: Over all ids of the truth, those without an answer being wrong.
        missing: Ids without an answer.
        recall: TP / (TP + FN); NaN without strokes.
        specificity: TN / (TN + FP); NaN without normal slices.
        score: (recall + specificity) / 2.
    """

    counts: Counts
    missing: int
    recall: float
    specificity: float
    score: float


@dataclass(frozen=True)
class Stage2Score:
    """The stage-2 score.

    Attributes:
        counts: Pixels of all slices; `tn` are those that are none of the other three.
        score: TP / (TP + FP + FN); NaN without such pixels.
    """

    counts: Counts
    score: float


def score_stage1(truth: Mapping[str, bool], answers: Mapping[str, bool]) -> Stage1Score:
    """Scores stage-1 answers; an id without an answer counts as wrong.

    Args:
        truth: Whether the slice of an id shows a stroke.
        answers: The same as answered.

    Raises:
        ValueError: If an answer is to an id that the truth does not have.
    """
    if strangers := [image_id for image_id in answers if image_id not in truth]:
        raise ValueError(f"answers must be to ids of the truth. Received: {strangers[:5]}")
    answered = [answers.get(image_id, not stroke) for image_id, stroke in truth.items()]
    counts = count([*truth.values()], answered)
    recall, specific = sensitivity(counts), specificity(counts)
    missing = len(truth) - len(answers)
    return Stage1Score(counts, missing, recall, specific, (recall + specific) / 2)


def score_stage2(
    truths: Iterable[NDArray[np.uint8]],
    predictions: Iterable[NDArray[np.uint8]],
    *,
    kernel: int = 3,
) -> Stage2Score:
    """Scores stage-2 masks by the pixels of all slices together, lenient at the border of lesions.

    Each class of the truth is dilated and eroded on its own. TP: predicted lesion whose class is
    that of the dilated truth. FN: eroded truth whose prediction is another class or none. FP:
    other predicted lesion. So a true border pixel that is not predicted counts as nothing.

    Args:
        truths: Masks of class ids, uint8, each of shape (H, W): 0 background, 1 ischaemia,
            2 haemorrhage. An array of shape (B, H, W) is such masks too.
        predictions: The same as predicted, in the same order.
        kernel: Odd side of the square to dilate and erode with, in pixels. The organisers do not
            give it. Nothing is eroded from beyond the edge of the slice.

    Raises:
        ValueError: If `kernel` is not odd, two masks differ in shape or their numbers differ, or
            a mask holds another class id.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"`kernel` must be odd and >= 1. Received: {kernel}")
    cells = np.zeros(4, dtype=np.int64)
    for truth, predicted in zip(truths, predictions, strict=True):
        cells += _stage2_cells(truth, predicted, kernel)
    counts = Counts(*(int(cell) for cell in cells))
    return Stage2Score(counts, iou(counts))


def _stage2_cells(
    truth: NDArray[np.uint8], predicted: NDArray[np.uint8], kernel: int
) -> NDArray[np.int64]:
    """Returns TP, FP, FN and the rest of one slice."""
    import cv2  # a tenth of a second that reading stage-1 labels should not cost

    if truth.shape != predicted.shape or truth.ndim != 2:
        raise ValueError(
            "masks must have one shape (H, W) in truth and prediction. "
            f"Received: {truth.shape} and {predicted.shape}"
        )
    for mask in (truth, predicted):
        if not np.isin(mask, MASK_CLASSES).all():
            raise ValueError(
                f"masks must hold the class ids {[int(kind) for kind in MASK_CLASSES]}. "
                f"Received: {np.unique(mask).tolist()}"
            )
    square = np.ones((kernel, kernel), dtype=np.uint8)
    tp, fn = np.zeros(truth.shape, dtype=bool), np.zeros(truth.shape, dtype=bool)
    for kind in LESION_CLASSES:
        drawn = (truth == kind).astype(np.uint8)
        tp |= (predicted == kind) & (cv2.dilate(drawn, square) > 0)
        fn |= (predicted != kind) & (cv2.erode(drawn, square) > 0)
    fp = (predicted > 0) & ~tp & ~fn
    return np.array([tp.sum(), fp.sum(), fn.sum(), (~(tp | fp | fn)).sum()])
