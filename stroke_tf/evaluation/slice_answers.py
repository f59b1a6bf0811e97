"""The answers of a joint network for whole slices: stroke or none, and its type."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from stroke_tf.evaluation.intervals import Metric, bootstrap
from stroke_tf.evaluation.metrics import classification_metrics
from stroke_tf.labels import LESION_CLASSES, MASK_CLASSES, StrokeType

_PROBS = tuple(f"p_{kind.name.lower()}" for kind in MASK_CLASSES)
_SHOWN = ("roc_auc", "accuracy", "sensitivity", "specificity")
_TINY = 1e-12  # both lesion classes can vanish beside a sure "none"
THRESHOLD = 0.5
"""Of the score for haemorrhage and of that for stroke: the likelier of two answers."""


def slice_frame(stroke_types: ArrayLike, probs: NDArray[np.floating]) -> pd.DataFrame:
    """Returns one row a slice: `stroke_type`, `p_none`, `p_ischemia`, `p_hemorrhage`.

    Args:
        stroke_types: Shape (N,), what each slice is: values of StrokeType.
        probs: Shape (N, 3), in [0, 1]: none, ischaemia, haemorrhage.
    """
    frame = pd.DataFrame(probs.astype(np.float64), columns=list(_PROBS))
    frame.insert(0, "stroke_type", np.asarray(stroke_types))
    return frame


def type_answers(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns the lesion slices of `slice_frame` as a classifier of their type answers them.

    Returns:
        The frame's rows of lesion slices with `truth` (1 haemorrhage, 0 ischaemia), `score`, the
        share of haemorrhage in the probability of a lesion, and `called`.
    """
    lesions = frame[frame["stroke_type"].isin(LESION_CLASSES)]
    ischemia, hemorrhage = (lesions[_PROBS[kind]] for kind in LESION_CLASSES)
    score = (hemorrhage + _TINY) / (ischemia + hemorrhage + 2 * _TINY)
    truth = (lesions["stroke_type"] == StrokeType.HEMORRHAGE).astype(int)
    return lesions.assign(truth=truth, score=score, called=score >= THRESHOLD)


def slice_metrics(frame: pd.DataFrame, groups: ArrayLike, *, seed: int = 0) -> dict[str, Metric]:
    """Scores the answers for whole slices, with a bootstrap over groups.

    Args:
        frame: What `slice_frame` returns.
        groups: Shape (N,): the patient of each slice, or what else belongs together.
        seed: Seed of the bootstrap.

    Returns:
        - `slice_accuracy`: share of slices whose likeliest of the three classes is theirs.
        - `type_...`: roc_auc, accuracy, sensitivity and specificity of haemorrhage against
          ischaemia, lesion slices alone.
        - `stroke_...`: the same of any stroke against none.
    """
    groups = np.asarray(groups)
    right = frame[list(_PROBS)].to_numpy().argmax(axis=1) == frame["stroke_type"].to_numpy()
    (accuracy,) = bootstrap(
        lambda weights: [float(np.average(right, weights=weights))], groups, seed=seed
    )
    types = type_answers(frame.reset_index(drop=True))
    questions = {
        "type": (types["truth"], types["score"], groups[types.index]),
        "stroke": (frame["stroke_type"] > 0, 1 - frame["p_none"], groups),
    }
    metrics = {"slice_accuracy": accuracy}
    for name, (truth, scores, of_patients) in questions.items():
        found = classification_metrics(
            truth, scores.clip(0, 1), threshold=THRESHOLD, groups=of_patients, seed=seed
        )
        metrics |= {f"{name}_{score}": found[score] for score in _SHOWN}
    return metrics
