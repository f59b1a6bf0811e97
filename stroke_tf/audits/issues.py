"""Labels that out-of-fold predictions contradict, ranked by confident learning."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

_CLIP = 1e-7
_PARTS = 5
_PENALTY = 1e6  # C of two coefficients: next to none


def rank_labels(truth: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> pd.DataFrame:
    """Ranks labels by how strongly the predictions of models that have not seen them contradict.

    Scores first become probabilities, by a logistic regression of the label on the score's logit,
    fitted to the slices of other groups. Without this the whole rarer class would be doubted where
    training weighted the classes. Then cleanlab judges the labels (Northcutt et al., 2021).

    Args:
        truth: Shape (N,), 0 or 1 (or bool): both classes, each in two groups at least.
        scores: Shape (N,), in [0, 1].
        groups: Shape (N,): the patient of each slice.

    Returns:
        One row a slice, the most doubtful first: `place`; `quality`, the probability of its own
        label; and `doubted`, whether cleanlab counts it among the wrong ones.

    Raises:
        ValueError: If a class is in fewer than two groups.
    """
    # Seconds to import, which the masks do not need.
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    labels = np.asarray(truth).astype(np.int64)
    probs = _calibrated(labels, np.asarray(scores, dtype=np.float64), np.asarray(groups))
    doubted = find_label_issues(labels, probs, n_jobs=1)
    quality = get_label_quality_scores(labels, probs)
    frame = pd.DataFrame({"place": np.arange(len(labels)), "quality": quality, "doubted": doubted})
    return frame.sort_values(["doubted", "quality"], ascending=[False, True], ignore_index=True)


def _calibrated(
    labels: NDArray[np.int64], scores: NDArray[np.float64], groups: NDArray
) -> NDArray[np.float64]:
    """Returns the probabilities of both classes, shape (N, 2)."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import LeaveOneGroupOut, StratifiedGroupKFold, cross_val_predict

    fewest = groups_of_rarer(labels, groups)
    if fewest < 2:
        raise ValueError(f"each class must be in two groups at least. Received: {fewest}")
    return cross_val_predict(
        LogisticRegression(C=_PENALTY),
        logit(scores.clip(_CLIP, 1 - _CLIP))[:, None],
        labels,
        groups=groups,
        cv=LeaveOneGroupOut() if fewest < _PARTS else StratifiedGroupKFold(_PARTS),
        method="predict_proba",
    )


def groups_of_rarer(truth: ArrayLike, groups: ArrayLike) -> int:
    """Returns the number of groups that hold a class, of the class that is in fewer of them."""
    truth, groups = np.asarray(truth, bool), np.asarray(groups)
    return min(len(np.unique(groups[of_class])) for of_class in (truth, ~truth))
