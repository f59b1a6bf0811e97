"""Slices seen as a series: a lesion spans neighbouring slices, noise does not."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d

from stroke_tf.evaluation.intervals import check_groups
from stroke_tf.manifest import natural_key


def smooth_series(
    scores: ArrayLike, groups: ArrayLike, *, ids: Sequence[str], sigma: float
) -> NDArray[np.float64]:
    """Smooths scores with a Gaussian along the slices of each patient.

    Slices follow each other as their ids do, numbers in them by value ("s-10" follows "s-9"). An
    id that is missing leaves no gap. Beyond a patient's first and last slice their scores repeat.

    Args:
        scores: Shape (N,).
        groups: Shape (N,): the patient of each slice.
        ids: The N ids of the slices.
        sigma: Standard deviation in slices; 0 leaves the scores as they are.

    Returns:
        float64, shape (N,), in the order of `scores` and within the range of each patient's scores.

    Raises:
        ValueError: If `sigma` is negative or the shapes differ.
    """
    if not 0 <= sigma < np.inf:
        raise ValueError(f"`sigma` must be >= 0 and finite. Received: {sigma}")
    smoothed = np.array(scores, dtype=np.float64)
    members = check_groups(groups, len(ids))
    if smoothed.shape != members.shape:
        raise ValueError(f"`scores` must have shape ({len(ids)},). Received: {smoothed.shape}")
    if sigma == 0:  # which SciPy would divide by
        return smoothed
    for places in _series(members, ids):
        values = smoothed[places]
        filtered = gaussian_filter1d(values, sigma, mode="nearest")
        # Rounding may carry a weighted mean of ones beyond 1, which is no score any more.
        smoothed[places] = filtered.clip(values.min(), values.max())
    return smoothed


def beside_in_series(groups: ArrayLike, *, ids: Sequence[str]) -> NDArray[np.int64]:
    """Returns where the slices before and after each slice of a patient are.

    Args:
        groups: Shape (N,): the patient of each slice.
        ids: The N ids of the slices, which they follow each other by, see `smooth_series`.

    Returns:
        int64, shape (N, 3): the slice before, itself, the slice after. The first and the last slice
        of a patient stand in for what they lack.

    Raises:
        ValueError: If there is not one group for each slice.
    """
    members = check_groups(groups, len(ids))
    beside = np.empty((len(ids), 3), np.int64)
    for places in _series(members, ids):
        before, after = [places[0], *places[:-1]], [*places[1:], places[-1]]
        beside[places] = np.stack([before, places, after], axis=1)
    return beside


def _series(members: NDArray[Any], ids: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    """Yields the places of each patient's slices as they follow each other."""
    in_order = np.array(sorted(range(len(ids)), key=lambda i: natural_key(ids[i])), dtype=np.int64)
    for group in np.unique(members):
        yield in_order[members[in_order] == group]


def smooth_along(probs: Iterable[NDArray], *, sigma: float) -> Iterator[NDArray]:
    """Yields the probabilities of a series smoothed as `smooth_series` smooths scores.

    Only so many slices are held as reach into one: 8 `sigma` and one.

    Args:
        probs: Arrays of one shape and floating dtype, one of each slice of a series in its order.
        sigma: Standard deviation in slices, > 0.

    Raises:
        ValueError: If `sigma` is not above 0.
    """
    if not 0 < sigma < np.inf:
        raise ValueError(f"`sigma` must be > 0 and finite. Received: {sigma}")
    reach = int(4 * sigma + 0.5)  # as SciPy cuts the Gaussian off
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    around: deque[NDArray] = deque(maxlen=len(weights))
    for one in _with_ends(probs, reach):
        around.append(one)
        if len(around) == len(weights):
            mean = sum(weight * near for weight, near in zip(weights, around, strict=True))
            yield np.clip(mean, 0, 1).astype(one.dtype)  # rounding may carry it beyond 1


def _with_ends(arrays: Iterable[NDArray], times: int) -> Iterator[NDArray]:
    """Yields arrays, the first and the last of them so many times more."""
    last = None
    for one in arrays:
        if last is None:
            yield from itertools.repeat(one, times)
        yield one
        last = one
    if last is not None:
        yield from itertools.repeat(last, times)
