"""Numbers of the masks of slices, gathered batch by batch: all that their scores need of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stroke_tf.config import MaskScoreName
from stroke_tf.data import NamedBatch
from stroke_tf.evaluation.mask_score import MaskScore, fit_mask_score, mask_numbers


class SliceNumbers:
    """The numbers that a rule makes of slices, and their patients; no probabilities are kept.

    Args:
        rule: A key of MASK_SCORES.
    """

    def __init__(self, rule: MaskScoreName) -> None:
        self._rule = rule
        self._ids: list[str] = []
        self._groups: list[str] = []
        self._stroke_types: list[NDArray[np.integer]] = []
        self._numbers: list[NDArray[np.float64]] = []

    @classmethod
    def joined(cls, several: Sequence[SliceNumbers]) -> SliceNumbers:
        """Returns the numbers of one rule of all slices of several."""
        joined = cls(several[0]._rule)
        for one in several:
            joined._ids += one._ids
            joined._groups += one._groups
            joined._stroke_types += one._stroke_types
            joined._numbers += one._numbers
        return joined

    def add(self, batch: NamedBatch, probs: NDArray[np.floating]) -> None:
        """Takes the numbers of a batch.

        Args:
            batch: The slices.
            probs: The probabilities of their pixels, shape (B, S, S, 3).
        """
        self._ids += batch.ids
        self._groups += batch.groups
        self._stroke_types.append(batch.stroke_types)
        self._numbers.append(mask_numbers(self._rule, probs))

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Whether each slice shows a lesion, shape (N,)."""
        return np.concatenate(self._stroke_types) > 0

    def scores(self, score: MaskScore) -> NDArray[np.float64]:
        """Returns the scores of the slices by a rule, shape (N,), in [0, 1]."""
        return score.scores(np.concatenate(self._numbers), self._groups, ids=self._ids)

    def fitted(self, *, of_series: bool) -> tuple[MaskScore, NDArray[np.float64]]:
        """Returns the rule, fitted to these slices, and their scores, see `fit_mask_score`."""
        return fit_mask_score(
            self._rule,
            np.concatenate(self._numbers),
            self.truth,
            self._groups,
            ids=self._ids,
            of_series=of_series,
        )
