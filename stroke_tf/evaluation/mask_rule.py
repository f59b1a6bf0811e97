"""From the probabilities of pixels to masks, and the rule for it chosen on validation slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from stroke_tf.evaluation.lesions import CORNERS
from stroke_tf.labels import LESION_CLASSES, MASK_CLASSES, StrokeType

THRESHOLDS = tuple(step / 10 for step in range(1, 10))
MIN_AREAS_PX = (0, 4, 8, 16, 32, 64, 128, 256)
_AS_GOOD = 0.01
"""Rules whose Dice is this near the best are as good: it is of pixels, and large lesions have most
of them. Lesions decide among these rules."""


@dataclass(frozen=True)
class MaskRule:
    """Which pixels are lesion.

    Attributes:
        threshold: A pixel is lesion when 1 - p(background) is at least this, in (0, 1]. Its class
            is the likelier one of the two; ischaemia if they are equally likely.
        min_area_px: Connected components of one class with fewer pixels become background; pixels
            that touch at a corner are connected.

    Raises:
        ValueError: If a value is out of range.
    """

    threshold: float
    min_area_px: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"`threshold` must be in (0, 1]. Received: {self.threshold}")
        if self.min_area_px < 0:
            raise ValueError(f"`min_area_px` must be >= 0. Received: {self.min_area_px}")


def apply_mask_rule(probs: ArrayLike, rule: MaskRule | None) -> NDArray[np.uint8]:
    """Returns the masks that probabilities give by a rule.

    Args:
        probs: Shape (B, H, W, 3), in [0, 1]: background, ischaemia, haemorrhage.
        rule: The rule; with None each pixel takes its likeliest class.

    Returns:
        Class ids, uint8, shape (B, H, W).

    Raises:
        ValueError: If the probabilities are of another shape.
    """
    probs = check_probs(probs)
    if rule is None:
        return probs.argmax(axis=-1).astype(np.uint8)
    masks = np.where(_lesion_probs(probs) >= rule.threshold, _likelier(probs), np.uint8(0))
    if rule.min_area_px > 1:
        for mask in masks:
            _drop_small(mask, rule.min_area_px)
    return masks


def check_probs(probs: ArrayLike) -> NDArray[np.floating]:
    """Returns probabilities as an array; raises ValueError unless their shape is (B, H, W, 3)."""
    array = np.asarray(probs)
    if array.ndim != 4 or array.shape[-1] != len(MASK_CLASSES):
        raise ValueError(f"`probs` must have shape (B, H, W, 3). Received: {array.shape}")
    return array


def choose_mask_rule(
    batches: Iterable[tuple[ArrayLike, ArrayLike]],
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    min_areas_px: Sequence[int] = MIN_AREAS_PX,
) -> MaskRule:
    """Returns the rule that finds most lesions of those with the best lesion Dice.

    The Dice is `lesion_dice` of `segmentation_metrics` on the validation slices: from the pixels of
    all of them together, those without lesion too, mean over the lesion classes present in the
    truth. Of the rules within 0.01 of the best Dice, the one with the best F1 of lesions is chosen,
    counted as `count_lesions` does. Ties go to the smaller area and then to the threshold nearest
    0.5. One batch is held at a time.

    Args:
        batches: Pairs of the truth, class ids of shape (B, H, W) or (B, H, W, 1), and the
            probabilities, shape (B, H, W, 3).
        thresholds: Thresholds to try.
        min_areas_px: Areas to try.

    Raises:
        ValueError: If the truth holds no lesion, or shapes do not fit.
    """
    counts = RuleCounts(tuple(thresholds), tuple(min_areas_px))
    for truth, probs in batches:
        counts.add(truth, probs)
    return best_rule([counts])


class RuleCounts:
    """What each of several rules draws on slices, counted batch by batch; no mask is kept.

    Args:
        thresholds: Thresholds to try.
        min_areas_px: Areas to try.
    """

    def __init__(
        self,
        thresholds: tuple[float, ...] = THRESHOLDS,
        min_areas_px: tuple[int, ...] = MIN_AREAS_PX,
    ) -> None:
        self.thresholds, self.min_areas_px = thresholds, min_areas_px
        shape = (4, len(LESION_CLASSES), len(thresholds), len(min_areas_px))
        self.in_truth = np.zeros((2, len(LESION_CLASSES)), dtype=np.int64)
        self.drawn = np.zeros(shape, dtype=np.int64)

    def add(self, truth: ArrayLike, probs: ArrayLike) -> None:
        """Counts a batch.

        Args:
            truth: Class ids, shape (B, H, W) or (B, H, W, 1).
            probs: Shape (B, H, W, 3).

        Raises:
            ValueError: If shapes do not fit.
        """
        probs, areas = check_probs(probs), np.asarray(self.min_areas_px)
        for mask, of_slice in zip(np.reshape(truth, probs.shape[:3]), probs, strict=True):
            lesions = [ndimage.label(mask == kind, CORNERS) for kind in LESION_CLASSES]
            sizes = [(np.count_nonzero(found), count) for found, count in lesions]
            self.in_truth += np.array(sizes).T
            regions = [found for found, _ in lesions]
            self.drawn += _drawn_by_rule(regions, of_slice, self.thresholds, areas)


def best_rule(several: Sequence[RuleCounts]) -> MaskRule:
    """Returns the rule that `choose_mask_rule` chooses, on the slices of several counts.

    Args:
        several: Counts of the same rules.

    Raises:
        ValueError: If the truth holds no lesion.
    """
    in_truth = np.sum([counts.in_truth for counts in several], axis=0)
    drawn = np.sum([counts.drawn for counts in several], axis=0)
    present = in_truth[0] > 0
    if not present.any():
        raise ValueError("validation slices must hold a lesion. Received: none in any mask")
    true_px, all_lesions = in_truth[:, present, None, None]
    shared, predicted, found, false = drawn[:, present]
    dice = (2 * shared / (true_px + predicted)).mean(axis=0)
    of_lesions = (2 * found / (all_lesions + found + false)).mean(axis=0)
    good = dice.round(12) >= dice.max().round(12) - _AS_GOOD
    goodness = np.where(good, of_lesions, -1.0)
    return _best(goodness, several[0].thresholds, several[0].min_areas_px)


def _best(
    goodness: NDArray[np.float64], thresholds: Sequence[float], areas: Sequence[int]
) -> MaskRule:
    tried = [(threshold, area) for threshold in thresholds for area in areas]
    # Differences of equal ratios may differ in their last bits: those are ties too.
    order = [
        (-value, area, round(abs(threshold - 0.5), 12))
        for value, (threshold, area) in zip(goodness.ravel().round(12), tried, strict=True)
    ]
    threshold, area = tried[order.index(min(order))]
    return MaskRule(float(threshold), int(area))


def _drawn_by_rule(
    lesions: Sequence[NDArray[np.integer]],
    probs: NDArray[np.floating],
    thresholds: Sequence[float],
    areas: NDArray[np.integer],
) -> NDArray[np.int64]:
    """Returns what each rule draws on a slice, shape (4, classes, thresholds, areas).

    That is: pixels that are right, all pixels, lesions that are found, and false ones.

    Args:
        lesions: For each class the number of the true lesion of each pixel, 0 for none.
        probs: Shape (H, W, 3).
        thresholds: Thresholds to try.
        areas: Areas to try.
    """
    drawn = np.zeros((4, len(LESION_CLASSES), len(thresholds), len(areas)), dtype=np.int64)
    lesion = _lesion_probs(probs)
    candidates = (lesion >= min(thresholds)).view(np.int8)
    for box in ndimage.find_objects(candidates):  # one, or none: most of a slice is no lesion
        lesion, likelier = lesion[box], _likelier(probs[box])
        for row, kind in enumerate(LESION_CLASSES):
            of_kind, true = likelier == kind, lesions[row][box]
            for column, threshold in enumerate(thresholds):
                regions, sizes = _regions(of_kind & (lesion >= threshold))
                hits = np.bincount(regions[true > 0], minlength=len(sizes))
                hits[0] = 0
                kept = sizes[:, None] >= areas
                largest = np.zeros(true.max() + 1, np.int64)  # of the regions on each true lesion
                np.maximum.at(largest, true, sizes[regions])
                found = (largest[1:, None] >= np.maximum(areas, 1)).sum(axis=0)
                false = ((hits == 0) & (sizes > 0)) @ kept
                drawn[:, row, column] = hits @ kept, sizes @ kept, found, false
    return drawn


def _drop_small(mask: NDArray[np.uint8], min_area_px: int) -> None:
    """Makes small components of a mask background, in place."""
    for kind in LESION_CLASSES:
        regions, sizes = _regions(mask == kind)
        small = sizes < min_area_px
        small[0] = False
        mask[small[regions]] = StrokeType.NONE


def _regions(pixels: NDArray[np.bool_]) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Returns the number of each pixel's component and the area of each; 0 is no component."""
    regions, _ = ndimage.label(pixels, CORNERS)
    sizes = np.bincount(regions.ravel(), minlength=1)
    sizes[0] = 0
    return regions, sizes


def _lesion_probs(probs: NDArray[np.floating]) -> NDArray[np.floating]:
    return 1 - probs[..., StrokeType.NONE]


def _likelier(probs: NDArray[np.floating]) -> NDArray[np.uint8]:
    ischemia, hemorrhage = (np.uint8(kind) for kind in LESION_CLASSES)
    return np.where(probs[..., hemorrhage] > probs[..., ischemia], hemorrhage, ischemia)
