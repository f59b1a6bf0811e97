"""The classifiers that audits fit, from a nearest neighbour to a frozen network."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from stroke_tf.audits.audit import Finding
from stroke_tf.audits.issues import groups_of_rarer
from stroke_tf.audits.quick import PARTS, fit_and_score
from stroke_tf.audits.relatives import rounds_of

Classifier = Callable[
    [NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]], NDArray[np.float64]
]
"""Takes features and truth of training slices and features of others; gives the others' scores."""


def small_pixels(images: NDArray[np.uint8], *, side: int) -> NDArray[np.float32]:
    """Returns pictures as rows of their pixels at a small size, shape (N, side * side)."""
    small = [cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA) for image in images]
    return np.stack(small).reshape(len(images), -1).astype(np.float32)


def nearest_neighbour(
    features: NDArray[np.float32], truth: NDArray[np.bool_], new: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Returns d0 / (d0 + d1) of each new slice: its distances to the nearest of either class."""
    nearest = []
    for of_class in (features[~truth], features[truth]):
        squares = (new**2).sum(1)[:, None] + (of_class**2).sum(1) - 2 * new @ of_class.T
        nearest.append(np.sqrt(squares.min(axis=1, initial=np.inf).clip(0)))
    none, some = nearest
    return np.where(none + some > 0, none / np.maximum(none + some, 1e-9), 0.5).astype(float)


def deal(truth: ArrayLike, groups: ArrayLike | None, *, seed: int) -> NDArray[np.str_]:
    """Returns folds of our own, stratified by class: by group, or slice by slice without groups.

    There are five, or as many as the rarer class has slices, or there are groups, but at least two.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    truth = np.asarray(truth, int)
    units = len(truth) if groups is None else len(np.unique(np.asarray(groups)))
    parts = max(2, min(PARTS, units, *np.bincount(truth, minlength=2)))
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    folds = np.zeros(len(truth), int)
    dealt = splitter(parts, shuffle=True, random_state=seed).split(truth, truth, groups)
    for fold, (_, held_out) in enumerate(dealt):
        folds[held_out] = fold
    return folds.astype(str)


def is_told(truth: NDArray[np.bool_], groups: NDArray, folds: NDArray[np.str_]) -> bool:
    """Returns whether classifiers can be judged: with a class in few groups an AUC says nothing.

    Each class must be in as many groups as there are parts, `PARTS`, and some fold must hold both
    classes and be tested against both: a classifier that saw one class scores all slices alike.
    """
    if groups_of_rarer(truth, groups) < PARTS:
        return False
    return any(has_both(truth[test]) and has_both(truth[seen]) for test, seen in rounds_of(folds))


def has_both(truth: NDArray[np.bool_]) -> bool:
    """Returns whether slices are of two classes."""
    return bool(truth.any() and not truth.all())


def untold(names: str) -> Finding:
    """Returns the finding that the classes of these names are not judged, see `is_told`."""
    text = f"each class must be in {PARTS} groups or more, and in training and test"
    return Finding("note", f"No classifier is scored for {names}: {text}.")


def are_parted(groups: NDArray, folds: NDArray) -> bool:
    """Returns whether slices of one group lie in several folds."""
    pairs = set(zip(groups.tolist(), folds.tolist(), strict=True))
    return len(pairs) > len(set(groups.tolist()))


def parts_by_group(
    dealt: NDArray | None, truth: NDArray[np.bool_], groups: NDArray, *, seed: int
) -> NDArray[np.str_]:
    """Returns parts that split no group: those dealt if they split none, else our own."""
    if dealt is None or are_parted(groups, dealt):
        return deal(truth, groups, seed=seed)
    return dealt.astype(str)


def held_out(
    features: NDArray[np.float32],
    truth: NDArray[np.bool_],
    folds: NDArray[np.str_],
    classifier: Classifier = fit_and_score,
) -> NDArray[np.float64]:
    """Returns the score of each slice by a classifier that may not see its fold, see `rounds_of`.

    0.5 where a slice is not tested, or where the training slices of its fold lack a class.
    """
    scores = np.full(len(truth), 0.5)
    for test, training in rounds_of(folds):
        if truth[training].any() and not truth[training].all():
            scores[test] = classifier(features[training], truth[training], features[test])
    return scores
