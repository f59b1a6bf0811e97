"""The classifier to show beside every network: it sees how many pixels are how grey, not where."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

HISTOGRAM_BINS = 32


def histogram_features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Returns the grey histogram of each slice, shape (N, 32), its rows summing to 1.

    Args:
        images: uint8, shape (N, H, W).

    Raises:
        ValueError: If the slices are not uint8 of that shape.
    """
    if images.dtype != np.uint8 or images.ndim != 3 or not images[:1].size:
        raise ValueError(
            "`images` must be uint8 of shape (N, H, W) and not empty. "
            f"Received: {images.dtype} of shape {images.shape}"
        )
    levels = np.stack([np.bincount(image.ravel(), minlength=256) for image in images])
    return levels.reshape(len(images), HISTOGRAM_BINS, -1).sum(axis=2) / images[0].size


def fit_histogram_baseline(features: NDArray[np.float64], truth: ArrayLike) -> Pipeline:
    """Fits a logistic regression to the grey histograms of slices, classes weighted equally.

    Nothing in it is random, so that it takes no seed.

    Args:
        features: Shape (N, 32), those of `histogram_features`.
        truth: Shape (N,), 0 or 1 (or bool); both must occur.

    Returns:
        A fitted pipeline whose `predict_proba` takes such features, shape (M, 32), and gives
        (M, 2); `[:, 1]` is the score of class 1.

    Raises:
        ValueError: If truth does not fit to the features.
    """
    baseline = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=1.0, class_weight="balanced", max_iter=1000),
    )
    return baseline.fit(features, np.asarray(truth))
