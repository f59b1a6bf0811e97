"""One score of a slice from the probabilities of its pixels: masks detect strokes too.

Knows arrays alone: what a network is and how slices are read is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.special import expit, logit

from stroke_tf.config import MaskScoreName
from stroke_tf.evaluation.intervals import check_groups
from stroke_tf.evaluation.mask_rule import check_probs
from stroke_tf.evaluation.operating_point import OperatingPoint
from stroke_tf.evaluation.series import beside_in_series
from stroke_tf.labels import StrokeType

TOP_SHARE = 40 / 192**2
"""Share of a slice's pixels that `top_score` takes: 40 of a slice of 192 x 192."""
CALLED = 0.5
"""Probability of a lesion from which on `area_score` counts a pixel."""
CANDIDATE = 0.1
"""Probability of a lesion from which on `lesion_score` takes a pixel for part of one."""
SMALL_SHARE = 10 / 192**2
"""Share of a slice's pixels at which `lesion_score` takes half of a lesion's mean probability."""

Number: TypeAlias = Callable[[NDArray[np.floating]], NDArray[np.float64]]
"""Makes a number in [0, 1] of each slice: of lesion probabilities, (B, H, W), shape (B,)."""

_AROUND = 3  # the slice before, itself, the slice after
_IN_SLICE = np.zeros((3, 3, 3), np.int8)
_IN_SLICE[1] = 1  # pixels touch at corners too, and never those of another slice
_CLIP = 1e-4  # how sure a number can be: beyond, its logit would outweigh all others
_MOST_PARTS = 5


def top_score(lesion: NDArray[np.floating], *, share: float = TOP_SHARE) -> NDArray[np.float64]:
    """Returns the mean of a slice's highest lesion probabilities.

    Args:
        lesion: Probabilities of a lesion, shape (B, H, W), in [0, 1].
        share: Share of the slice's pixels that are taken.

    Returns:
        float64, shape (B,), in [0, 1]. At least one pixel is taken.
    """
    flat = lesion.reshape(len(lesion), -1)
    count = max(1, round(share * flat.shape[1]))
    return np.partition(flat, -count, axis=1)[:, -count:].mean(axis=1, dtype=np.float64)


def area_score(lesion: NDArray[np.floating], *, half: float = TOP_SHARE) -> NDArray[np.float64]:
    """Returns a slice's share `s` of pixels called lesion, as s / (s + half).

    So `half` gives 0.5, no pixel gives 0, and more pixels always give more.

    Args:
        lesion: Probabilities of a lesion, shape (B, H, W), in [0, 1].
        half: A share of the slice's pixels.

    Returns:
        float64, shape (B,), in [0, 1).
    """
    share = (lesion >= CALLED).mean(axis=(1, 2))
    return share / (share + half)


def lesion_score(lesion: NDArray[np.floating], *, half: float = SMALL_SHARE) -> NDArray[np.float64]:
    """Returns the score of a slice's surest lesion.

    A lesion is a connected component of pixels of a probability of `CANDIDATE`; pixels that touch
    at a corner are connected. Its score is its mean probability times s / (s + half), where `s` is
    its share of the slice's pixels: a few pixels are more often noise.

    Args:
        lesion: Probabilities of a lesion, shape (B, H, W), in [0, 1].
        half: A share of the slice's pixels.

    Returns:
        float64, shape (B,), in [0, 1); 0 without such a pixel.
    """
    scores, pixels = np.zeros(len(lesion)), lesion[0].size if len(lesion) else 1
    candidates = lesion >= CANDIDATE
    places = np.flatnonzero(candidates)
    regions = ndimage.label(candidates, _IN_SLICE)[0].ravel()[places]
    sizes = np.bincount(regions)[1:]
    sums = np.bincount(regions, weights=lesion.ravel()[places])[1:]
    slice_of = np.zeros(len(sizes) + 1, np.int64)
    slice_of[regions] = places // pixels
    share = sizes / pixels
    np.maximum.at(scores, slice_of[1:], sums / sizes * share / (share + half))
    return scores


_ALL: tuple[Number, ...] = (top_score, area_score, lesion_score)
MASK_SCORES: dict[MaskScoreName, tuple[Number, ...]] = {
    "top": (top_score,),
    "area": (area_score,),
    "lesion": (lesion_score,),
    "regression": _ALL,
}
"""The rules by name, and the numbers of each. One number is the score itself. Several are weighed
by a logistic regression, with those of the slices before and after where patients are known."""


@dataclass(frozen=True)
class MaskScore:
    """How a slice's score comes from the probabilities of its pixels.

    Attributes:
        rule: A key of MASK_SCORES.
        coefficients: Of the regression: the weights of the logits of a slice's numbers; or of those
            of the slice before, then its own, then of the slice after. Empty of the other rules.
        intercept: Of the regression.

    Raises:
        ValueError: If the rule is unknown, or the coefficients do not fit it.
    """

    rule: MaskScoreName
    coefficients: tuple[float, ...] = ()
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if self.rule not in MASK_SCORES:
            raise ValueError(f"`rule` must be one of {[*MASK_SCORES]}. Received: {self.rule!r}")
        count = len(MASK_SCORES[self.rule])
        fitting = (count, _AROUND * count) if count > 1 else (0,)
        if len(self.coefficients) not in fitting:
            raise ValueError(
                f"`coefficients` of {self.rule} must be as many as one of {fitting}. "
                f"Received: {len(self.coefficients)}"
            )

    @property
    def of_series(self) -> bool:
        """Whether the score of a slice depends on those beside it."""
        return len(self.coefficients) > len(MASK_SCORES[self.rule])

    def numbers(self, probs: ArrayLike) -> NDArray[np.float64]:
        """Returns the numbers of the rule, see `mask_numbers`."""
        return mask_numbers(self.rule, probs)

    def combined(self, around: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the scores of slices.

        Args:
            around: Shape (N, 3, K): the numbers of the slice before, of each slice, and of the
                slice after; of a slice that stands alone its own three times.

        Returns:
            float64, shape (N,), in [0, 1].
        """
        if not self.coefficients:
            return around[:, 1, 0]
        inputs = _inputs(around, of_series=self.of_series)
        return expit(inputs @ np.array(self.coefficients) + self.intercept)

    def scores(
        self, numbers: NDArray[np.float64], groups: ArrayLike, *, ids: Sequence[str]
    ) -> NDArray[np.float64]:
        """Returns the scores of slices, shape (N,), in [0, 1].

        Args:
            numbers: Shape (N, K): those of each slice.
            groups: Shape (N,): the patient of each slice.
            ids: The N ids of the slices, which they follow each other by.
        """
        return self.combined(numbers[beside_in_series(groups, ids=ids)])


@dataclass(frozen=True)
class Detector:
    """How masks detect: the rule of a slice's score, and its threshold and temperature."""

    score: MaskScore
    point: OperatingPoint


def mask_score_of_json(values: Mapping[str, Any]) -> MaskScore:
    """Returns the rule that JSON holds; raises TypeError or ValueError if it is none."""
    return MaskScore(**{**values, "coefficients": tuple(map(float, values["coefficients"]))})


def mask_numbers(rule: MaskScoreName, probs: ArrayLike) -> NDArray[np.float64]:
    """Returns the numbers that a rule makes of some slices.

    Args:
        rule: A key of MASK_SCORES.
        probs: Shape (B, H, W, 3), in [0, 1]: none, ischaemia, haemorrhage.

    Returns:
        float64, shape (B, K), in [0, 1]: the numbers of MASK_SCORES, in their order.

    Raises:
        ValueError: If the probabilities are of another shape.
    """
    lesion = (1 - check_probs(probs)[..., StrokeType.NONE]).clip(0, 1)
    return np.stack([number(lesion) for number in MASK_SCORES[rule]], axis=1)


def fit_mask_score(
    rule: MaskScoreName,
    numbers: NDArray[np.float64],
    truth: ArrayLike,
    groups: ArrayLike,
    *,
    ids: Sequence[str],
    of_series: bool = False,
) -> tuple[MaskScore, NDArray[np.float64]]:
    """Returns a rule for validation slices, fitted to them where it is a regression, and scores.

    Scores of the slices that a regression was fitted to are too good to choose a threshold on. So
    each validation slice is scored by a regression that was fitted without its patient: up to five
    parts, patients whole in each. Where too few patients show a lesion for that, the fitted
    regression itself scores them.

    Args:
        rule: A key of MASK_SCORES.
        numbers: What `mask_numbers` gives of the slices, shape (N, K).
        truth: Shape (N,), 0 or 1 (or bool): whether a slice shows a lesion.
        groups: Shape (N,): the patient of each slice.
        ids: The N ids of the slices, which they follow each other by.
        of_series: Whether a regression looks at the slices beside each one too: groups are patients
            then, and their series whole.

    Returns:
        The rule, and the scores of the slices, float64, shape (N,), in [0, 1].

    Raises:
        ValueError: If a regression has slices of one class alone.
    """
    known, members = np.asarray(truth, dtype=bool), check_groups(groups, len(ids))
    if len(MASK_SCORES[rule]) == 1:
        score = MaskScore(rule)
        return score, score.scores(numbers, members, ids=ids)
    if known.all() or not known.any():
        raise ValueError(
            "validation slices must hold some with a lesion and some without. "
            f"Received: {known.sum()} with one of {len(known)}"
        )
    # Here: half a second that reading a finished run should not cost.
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    around = numbers[beside_in_series(members, ids=ids)]
    inputs = _inputs(around, of_series=of_series)
    fitted = LogisticRegression().fit(inputs, known)
    score = MaskScore(rule, tuple(map(float, fitted.coef_[0])), float(fitted.intercept_[0]))
    parts = _parts(known, members)
    if not parts:
        return score, score.combined(around)
    unseen = cross_val_predict(
        LogisticRegression(), inputs, known, cv=parts, method="predict_proba"
    )
    return score, unseen[:, 1]


def _parts(
    truth: NDArray[np.bool_], groups: NDArray
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Returns places to fit to and to score, patients whole; none where a class would be absent."""
    from sklearn.model_selection import StratifiedGroupKFold

    count = min(_MOST_PARTS, *(len(np.unique(groups[truth == kind])) for kind in (True, False)))
    if count < 2:
        return []
    parts = list(StratifiedGroupKFold(count).split(truth, truth, groups))
    return parts if all(0 < truth[fit].sum() < len(fit) for fit, _ in parts) else []


def _inputs(around: NDArray[np.float64], *, of_series: bool) -> NDArray[np.float64]:
    """Returns the inputs of a regression, shape (N, K) or (N, 3 K): logits."""
    seen = around if of_series else around[:, 1:2]
    return logit(seen.clip(_CLIP, 1 - _CLIP)).reshape(len(around), -1)
