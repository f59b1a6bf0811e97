"""Pixel counts of lesion masks and overlap scores made from them. Background is never scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from stroke_tf.evaluation.intervals import RESAMPLES, UNDEFINED, Metric, bootstrap, check_groups
from stroke_tf.evaluation.metrics import Counts, f1, iou
from stroke_tf.labels import LESION_CLASSES, MASK_CLASSES

COUNTED = (*(kind.name.lower() for kind in LESION_CLASSES), "any_lesion")
"""The counted classes: each lesion class against the rest, then lesion of any type against none."""
CELLS = ("tp", "fp", "fn", "tn")
_COLUMNS = [f"{name}_{cell}" for name in COUNTED for cell in CELLS]


@dataclass(frozen=True)
class SegmentationCounts:
    """Pixel counts of any number of slices; `+` joins those of two batches.

    Attributes:
        per_slice: int64, shape (S, 3, 4): slices, `COUNTED`, `CELLS`.
    """

    per_slice: NDArray[np.int64]

    def __add__(self, other: SegmentationCounts) -> SegmentationCounts:
        return SegmentationCounts(np.concatenate([self.per_slice, other.per_slice]))

    def __len__(self) -> int:
        return len(self.per_slice)

    def total(self) -> dict[str, Counts]:
        """Returns the counts of all slices together, keyed by `COUNTED`."""
        return _named_counts(self.per_slice.sum(axis=0))

    def to_frame(self, ids: Sequence[str]) -> pd.DataFrame:
        """Returns one row a slice: `id`, then `ischemia_tp` and so on, for predictions.csv.

        Raises:
            ValueError: If there is not one id for each slice.
        """
        if len(ids) != len(self):
            raise ValueError(f"`ids` must name {len(self)} slices. Received: {len(ids)}")
        frame = pd.DataFrame(self.per_slice.reshape(len(self), -1), columns=_COLUMNS)
        frame.insert(0, "id", list(ids))
        return frame

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> SegmentationCounts:
        """Returns the counts of `to_frame`, such as those of several runs put together.

        Raises:
            KeyError: If the frame lacks a column.
        """
        return cls(frame[_COLUMNS].to_numpy(np.int64).reshape(-1, len(COUNTED), len(CELLS)))


def count_masks(truth: ArrayLike, predicted: ArrayLike) -> SegmentationCounts:
    """Counts the pixels of a batch of masks.

    Args:
        truth: Integer class ids, shape (B, H, W) or (B, H, W, 1): 0 background, 1 ischaemia,
            2 haemorrhage.
        predicted: The same for the prediction.

    Raises:
        ValueError: If the shapes differ or are no batch, or a mask holds another class id.

    Example:
        >>> import numpy as np
        >>> from stroke_tf import count_masks, segmentation_metrics
        >>> truth = np.array([[[0, 0, 2], [0, 2, 2], [0, 2, 0]]])
        >>> drawn = np.array([[[0, 0, 2], [0, 0, 2], [0, 0, 0]]])
        >>> found = segmentation_metrics(count_masks(truth, drawn))
        >>> round(found["hemorrhage_dice"].value, 3)  # 2 * 2 / (4 + 2)
        0.667
    """
    truth, predicted = check_masks(truth, predicted)
    pairs = [(truth == kind, predicted == kind) for kind in LESION_CLASSES]
    pairs.append((truth > 0, predicted > 0))
    cells = [(t & p, ~t & p, t & ~p, ~t & ~p) for t, p in pairs]
    sums = np.array(cells).sum(axis=(3, 4), dtype=np.int64)  # (3, 4, B)
    return SegmentationCounts(np.moveaxis(sums, 2, 0))


def check_masks(
    truth: ArrayLike, predicted: ArrayLike
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Returns two batches of masks as arrays of shape (B, H, W).

    Raises:
        ValueError: If the shapes differ or are no batch, or a mask holds another class id.
    """
    true_masks, drawn = _masks("truth", truth), _masks("predicted", predicted)
    if true_masks.shape != drawn.shape:
        raise ValueError(
            "`truth` and `predicted` must have the same shape. "
            f"Received: {true_masks.shape} and {drawn.shape}"
        )
    return true_masks, drawn


def segmentation_metrics(
    counts: SegmentationCounts,
    groups: ArrayLike | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Metric]:
    """Scores masks by the pixels of the lesion classes, with a bootstrap over groups.

    The groups, shape (S,), are the group of each of S slices, such as its patient; without them
    slices are taken to be independent. For the rest see `bootstrap`.

    Returns:
        - `ischemia_dice`, `ischemia_iou`, `hemorrhage_dice`, `hemorrhage_iou`, `any_lesion_dice`,
          `any_lesion_iou`: from the pixels of all slices together; NaN when no slice holds such
          a pixel, neither in truth nor prediction. `any_lesion` ignores the type.
        - `lesion_dice`, `lesion_iou`: mean over the lesion classes present in the truth.
        - `ischemia_slice_dice`, `ischemia_slice_iou`, `hemorrhage_slice_dice`,
          `hemorrhage_slice_iou`: mean of the scores of the slices with such a pixel in truth or
          prediction, so that a false alarm counts as 0; NaN without such a slice.
        - `lesion_slice_dice`, `lesion_slice_iou`: mean of those over the lesion classes present in
          the truth.

    Raises:
        ValueError: If there is not one group for each slice.
    """
    slices = check_groups(groups, len(counts))
    if not len(counts):
        return dict.fromkeys(SEGMENTATION_METRICS, UNDEFINED)
    of_lesions = counts.per_slice[:, : len(_LESIONS)]
    scores = np.stack([_dice(of_lesions), _iou(of_lesions)], axis=-1)  # (S, 2 classes, 2 scores)
    defined = ~np.isnan(scores)
    scores = np.where(defined, scores, 0.0)

    def statistics(weights: NDArray[np.int64]) -> list[float]:
        total = _named_counts(np.tensordot(weights, counts.per_slice, axes=1))
        with np.errstate(invalid="ignore"):
            means = np.tensordot(weights, scores, axes=1) / np.tensordot(weights, defined, axes=1)
        present = [total[name].tp + total[name].fn > 0 for name in _LESIONS]
        mean = means[present].mean(axis=0) if any(present) else np.full(2, np.nan)
        overlaps = [score(total[name]) for name in COUNTED for score in (f1, iou)]
        overlaps += [lesion_mean(score, total) for score in (f1, iou)]
        return [*overlaps, *means.ravel().tolist(), *mean.tolist()]

    values = bootstrap(statistics, slices, seed=seed, resamples=resamples)
    return dict(zip(SEGMENTATION_METRICS, values, strict=True))


def any_lesion_slice_dice(counts: SegmentationCounts) -> NDArray[np.float64]:
    """Returns the Dice score of lesion of any type for each slice, shape (S,).

    NaN for a slice without such a pixel in truth and prediction.
    """
    return _dice(counts.per_slice[:, COUNTED.index("any_lesion")])


_LESIONS = COUNTED[: len(LESION_CLASSES)]
SEGMENTATION_METRICS = (
    *(f"{name}_{score}" for name in (*COUNTED, "lesion") for score in ("dice", "iou")),
    *(f"{name}_slice_{score}" for name in (*_LESIONS, "lesion") for score in ("dice", "iou")),
)


def lesion_mean(score: Callable[[Counts], float], total: Mapping[str, Counts]) -> float:
    """Returns the mean of a score over the lesion classes present in the truth; NaN without one.

    Args:
        score: Such as `f1` (Dice) or `iou`.
        total: What `SegmentationCounts.total` returns.
    """
    present = [total[name] for name in _LESIONS if total[name].tp + total[name].fn]
    return sum(map(score, present)) / len(present) if present else float("nan")


def _dice(cells: NDArray[np.int64]) -> NDArray[np.float64]:
    """Dice scores of cells whose last axis is `CELLS`."""
    tp, fp, fn, _ = np.moveaxis(cells, -1, 0)
    with np.errstate(invalid="ignore"):
        return 2 * tp / (2 * tp + fp + fn)


def _iou(cells: NDArray[np.int64]) -> NDArray[np.float64]:
    tp, fp, fn, _ = np.moveaxis(cells, -1, 0)
    with np.errstate(invalid="ignore"):
        return tp / (tp + fp + fn)


def _named_counts(cells: NDArray[np.int64]) -> dict[str, Counts]:
    return {
        name: Counts(*(int(cell) for cell in row)) for name, row in zip(COUNTED, cells, strict=True)
    }


def _masks(name: str, masks: ArrayLike) -> NDArray[np.integer]:
    array = np.asarray(masks)
    if array.ndim == 4 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim != 3:
        raise ValueError(
            f"`{name}` must have shape (B, H, W) or (B, H, W, 1). Received: {array.shape}"
        )
    if not np.isin(array, MASK_CLASSES).all():
        raise ValueError(
            f"`{name}` must hold the class ids {[int(kind) for kind in MASK_CLASSES]}. "
            f"Received: {np.unique(array).tolist()}"
        )
    return array
