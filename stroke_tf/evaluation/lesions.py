"""Lesions found and missed, the distance of outlines, and false alarms on slices without lesion.

A lesion is a connected component of the pixels of one class in one slice; pixels that touch at
a corner are connected. A lesion of the truth is found when the prediction has at least one of its
pixels in the same class. A predicted lesion is false when the truth has none of its pixels in
that class.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from stroke_tf.evaluation.intervals import RESAMPLES, UNDEFINED, Metric, bootstrap, check_groups
from stroke_tf.evaluation.segmentation import COUNTED, SegmentationCounts, check_masks
from stroke_tf.labels import LESION_CLASSES

LESION_CELLS = ("lesions", "found", "false")
HD_PERCENTILE = 95
CORNERS = np.ones((3, 3), dtype=np.int8)
"""Neighbours of a pixel that belong to its component: those at the corners too."""


@dataclass(frozen=True)
class LesionCounts:
    """Lesions of any number of slices; `+` joins those of two batches.

    Attributes:
        per_slice: int64, shape (S, 3, 3): slices, `COUNTED`, `LESION_CELLS`, which are lesions of
            the truth, those of them that are found, and false predicted lesions.
        hd95_px: float64, shape (S, 3): slices, `COUNTED`; see `hd95_px`.
    """

    per_slice: NDArray[np.int64]
    hd95_px: NDArray[np.float64]

    def __add__(self, other: LesionCounts) -> LesionCounts:
        return LesionCounts(
            np.concatenate([self.per_slice, other.per_slice]),
            np.concatenate([self.hd95_px, other.hd95_px]),
        )

    def __len__(self) -> int:
        return len(self.per_slice)

    def to_frame(self) -> pd.DataFrame:
        """Returns one row a slice: `ischemia_lesions` and so on, then `ischemia_hd95_px`..."""
        values = np.hstack([self.per_slice.reshape(len(self), -1), self.hd95_px])
        frame = pd.DataFrame(values, columns=[*_CELL_COLUMNS, *_HD95_COLUMNS])
        return frame.astype(dict.fromkeys(_CELL_COLUMNS, np.int64))

    @classmethod
    def from_frame(cls, frame: pd.DataFrame) -> LesionCounts:
        """Returns the counts of `to_frame`, such as those of several runs put together.

        Raises:
            KeyError: If the frame lacks a column.
        """
        cells = frame[_CELL_COLUMNS].to_numpy(np.int64)
        return cls(
            cells.reshape(-1, len(COUNTED), len(LESION_CELLS)),
            frame[_HD95_COLUMNS].to_numpy(np.float64),
        )


def count_lesions(truth: ArrayLike, predicted: ArrayLike) -> LesionCounts:
    """Counts the lesions of a batch of masks and measures how far their outlines are apart.

    Args:
        truth: Integer class ids, shape (B, H, W) or (B, H, W, 1): 0 background, 1 ischaemia,
            2 haemorrhage.
        predicted: The same for the prediction.

    Raises:
        ValueError: If the shapes differ or are no batch, or a mask holds another class id.
    """
    truth, predicted = check_masks(truth, predicted)
    cells = np.zeros((len(truth), len(COUNTED), len(LESION_CELLS)), dtype=np.int64)
    distances = np.full((len(truth), len(COUNTED)), np.nan)
    for number, slices in enumerate(zip(truth, predicted, strict=True)):
        true_mask, drawn = _cropped(*slices)
        pairs = [(true_mask == kind, drawn == kind) for kind in LESION_CLASSES]
        for row, pair in enumerate([*pairs, (true_mask > 0, drawn > 0)]):
            cells[number, row] = _lesion_cells(*pair)
            distances[number, row] = hd95_px(*pair)
    return LesionCounts(cells, distances)


def hd95_px(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> float:
    """Returns the 95 % Hausdorff distance of the outlines of two regions, in pixels.

    The outline is those pixels of a region that have one of their four neighbours outside it;
    beyond the edge of the slice is outside. Of the distances from each pixel of one outline to the
    nearest pixel of the other the 95th percentile is taken, in both directions, and then the
    larger of the two.

    Args:
        truth: bool, shape (H, W).
        predicted: bool, shape (H, W).

    Returns:
        NaN when either region is empty.
    """
    if not truth.any() or not predicted.any():
        return float("nan")
    first, second = (region & ~ndimage.binary_erosion(region) for region in (truth, predicted))
    return max(
        float(np.percentile(ndimage.distance_transform_edt(~there)[here], HD_PERCENTILE))
        for here, there in ((first, second), (second, first))
    )


def lesion_metrics(
    counts: SegmentationCounts,
    lesions: LesionCounts,
    groups: ArrayLike | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Metric]:
    """Scores masks lesion by lesion, with a bootstrap over groups.

    Counts of pixels and lesions are of the same slices; the rest is as for `segmentation_metrics`.

    Returns:
        For each of ischemia, hemorrhage and any_lesion, which ignores the type:

        - `..._lesionwise_recall`: lesions found of all lesions of the truth; NaN without lesions.
        - `..._false_lesions_per_slice`: false predicted lesions, divided by all slices.
        - `..._hd95_px`: mean of `hd95_px` over the slices with such pixels in truth and prediction;
          NaN when there is none.
        - `..._hd95_missing`: number of slices, without interval, with such pixels in truth or
          prediction only, which no distance can be measured on.

        And for slices whose truth is all background, NaN when there is none:

        - `normal_slice_false_px`: mean number of predicted lesion pixels.
        - `normal_slice_false_rate`: share of them with any predicted lesion pixel.

    Raises:
        ValueError: If counts, lesions and groups are not of as many slices.
    """
    if len(counts) != len(lesions):
        raise ValueError(f"`lesions` must be of {len(counts)} slices. Received: {len(lesions)}")
    slices = check_groups(groups, len(counts))
    if not len(counts):
        return dict.fromkeys(LESION_METRICS, UNDEFINED)
    tp, fp, fn, _ = np.moveaxis(counts.per_slice, -1, 0)
    unmeasured = ((tp + fp + fn > 0) & np.isnan(lesions.hd95_px)).sum(axis=0)
    false_px = np.where((tp + fn)[:, -1] == 0, fp[:, -1], np.nan)  # of any lesion
    per_slice = np.column_stack([lesions.hd95_px, false_px, np.sign(false_px)])
    defined, values = ~np.isnan(per_slice), np.nan_to_num(per_slice)

    def statistics(weights: NDArray[np.int64]) -> list[float]:
        found = np.tensordot(weights, lesions.per_slice, axes=1)
        with np.errstate(invalid="ignore"):
            recall, means = found[:, 1] / found[:, 0], (weights @ values) / (weights @ defined)
        return [*recall, *found[:, 2] / weights.sum(), *means]

    scores = bootstrap(statistics, slices, seed=seed, resamples=resamples)
    missing = [Metric(float(number), float("nan"), float("nan")) for number in unmeasured]
    return dict(zip(LESION_METRICS, [*scores, *missing], strict=True))


_CELL_COLUMNS = [f"{name}_{cell}" for name in COUNTED for cell in LESION_CELLS]
_HD95_COLUMNS = [f"{name}_hd95_px" for name in COUNTED]
LESION_METRICS = (
    *(f"{name}_lesionwise_recall" for name in COUNTED),
    *(f"{name}_false_lesions_per_slice" for name in COUNTED),
    *_HD95_COLUMNS,
    "normal_slice_false_px",
    "normal_slice_false_rate",
    *(f"{name}_hd95_missing" for name in COUNTED),
)


def _lesion_cells(truth: NDArray[np.bool_], predicted: NDArray[np.bool_]) -> list[int]:
    lesions, count = ndimage.label(truth, CORNERS)
    drawn, drawn_count = ndimage.label(predicted, CORNERS)
    shared = truth & predicted
    hits = [len(np.unique(regions[shared])) for regions in (lesions, drawn)]
    return [count, hits[0], drawn_count - hits[1]]


def _cropped(
    truth: NDArray[np.integer], predicted: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Returns the part that holds all lesions of both: most of a slice holds none."""
    lesion = (truth > 0) | (predicted > 0)
    (box,) = ndimage.find_objects(lesion.view(np.int8)) or [np.s_[:0, :0]]
    return truth[box], predicted[box]
