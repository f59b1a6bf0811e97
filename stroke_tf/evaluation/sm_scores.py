"""The scores of segmentation_models as the USTH report computes them, in NumPy.

`sm.metrics.IOUScore()` and `sm.metrics.FScore()` as they come: of probabilities, not of masks;
over the pixels of a batch of slices; mean over all classes, background included; and then, as
Keras does, mean over batches. A class that a batch lacks scores near 0 if a trace of it is
predicted and 1 if not. They say little about lesions (docs/explanation/sm_scores.md); the scores
that do are those of `segmentation_metrics`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stroke_tf.evaluation.mask_rule import check_probs
from stroke_tf.labels import MASK_CLASSES

SM_BATCH_SIZE = 2  # USTH II-C: batch size of 2
SM_SMOOTH = 1e-5


def soft_sums(class_ids: ArrayLike, probs: ArrayLike) -> NDArray[np.float64]:
    """Returns the sums that the scores are made of, for each slice and class.

    Args:
        class_ids: The truth, integers, shape (B, H, W) or (B, H, W, 1).
        probs: The prediction, shape (B, H, W, 3), in [0, 1].

    Returns:
        Shape (B, 3, 3): slices; background, ischaemia, haemorrhage; then sum of the probabilities
        of the class on its true pixels, number of its true pixels, sum of its probabilities.

    Raises:
        ValueError: If the shapes do not fit.
    """
    probs = check_probs(probs)
    ids = np.asarray(class_ids).reshape(probs.shape[:3])
    truth = ids[..., None] == np.array(MASK_CLASSES)
    sums = [values.sum(axis=(1, 2), dtype=np.float64) for values in (probs * truth, truth, probs)]
    return np.stack(sums, axis=-1)


def sm_scores(sums: NDArray[np.float64], *, batch_size: int = SM_BATCH_SIZE) -> dict[str, float]:
    """Returns `sm_iou` and `sm_f1` as Keras would print them.

    Args:
        sums: What `soft_sums` gives, shape (S, 3, 3), slices in the order they were batched in.
        batch_size: Slices in a batch; the last may hold fewer and weighs the same.

    Returns:
        `sm_iou`, that of IOUScore, and `sm_f1`, that of FScore, in [0, 1]; NaN without slices.

    Raises:
        ValueError: If the batch size is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be >= 1. Received: {batch_size}")
    if not len(sums):
        return {"sm_iou": float("nan"), "sm_f1": float("nan")}
    batches = np.add.reduceat(sums, np.arange(0, len(sums), batch_size))
    shared, truth, predicted = np.moveaxis(batches, -1, 0)
    iou = (shared + SM_SMOOTH) / (truth + predicted - shared + SM_SMOOTH)
    f1 = (2 * shared + SM_SMOOTH) / (truth + predicted + SM_SMOOTH)
    return {"sm_iou": float(iou.mean()), "sm_f1": float(f1.mean())}
