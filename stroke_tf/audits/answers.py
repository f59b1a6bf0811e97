"""The answers of a run, or a cross-validation, on its test slices. Knows no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from stroke_tf.audits.tested_runs import PREDICTIONS, runs_of
from stroke_tf.evaluation.calibration import apply_temperature
from stroke_tf.evaluation.slice_answers import THRESHOLD
from stroke_tf.files import read_json
from stroke_tf.labels import Task
from stroke_tf.run_folder import read_metrics, read_predictions

_PIXELS = ("tp", "fp", "fn", "lesions", "found")
_LESIONS = ("no lesion", "lesion")
_TYPES = ("ischaemia", "haemorrhage")


@dataclass(frozen=True)
class Answers:
    """The answers on test slices.

    Attributes:
        frame: A row for each slice: `id`, `truth` and `called`, bool, and `part`, 0 for a run.
            `score` in [0, 1] where there is one, and `calibrated`, that by the temperature of its
            run's validation. Of masks the pixels `tp`, `fp` and `fn` of any lesion, the
            `lesions` and those of them `found`, and `drawn`, whether any pixel was.
        rule: When a slice is called, in words.
        labels: Names of the negative and the positive class.
        threshold: Score from which on a slice is called; None where parts have their own.
    """

    frame: pd.DataFrame
    rule: str
    labels: tuple[str, str] = _LESIONS
    threshold: float | None = None

    @property
    def is_of_types(self) -> bool:
        """Whether a positive slice is one of haemorrhage, a negative one of ischaemia."""
        return self.labels == _TYPES

    @property
    def has_scores(self) -> bool:
        """Whether each slice has a score."""
        return "score" in self.frame

    @property
    def has_masks(self) -> bool:
        """Whether each slice has a mask."""
        return "drawn" in self.frame


def read_answers(folder: Path, *, row: str | None = None) -> Answers:
    """Returns the answers in the predictions.csv of a finished run, or of a cross-validation.

    Rows of one slice, from several seeds or copies, become one row: scores are their mean, and the
    slice is called when more than half of its rows are.

    Args:
        folder: That of the run or cross-validation.
        row: Row of the cross-validation; None where it has one alone.

    Raises:
        OSError: If a file is missing.
        ValueError: If the folder is not one of a finished run or cross-validation, or has not that
            row, or several and none is given; names the file and the rows.
    """
    path = folder / PREDICTIONS
    frame = read_predictions(path)
    if "row" in frame or row is not None:
        frame = _of_row(frame, row, path)
    frame = frame.drop(columns=[*_PIXELS, "drawn"], errors="ignore")  # of a table shown beside it
    if "score" in frame:
        return _of_scores(_with_pixels(frame), folder, row)
    if "any_lesion_tp" not in frame:
        rule = "must have the column score or any_lesion_tp, as runs write it"
        raise ValueError(f"{path} {rule}. Received: {list(frame.columns)}")
    return _of_masks(frame)


def _of_row(frame: pd.DataFrame, row: str | None, path: Path) -> pd.DataFrame:
    rows = list(frame["row"].unique()) if "row" in frame else []
    row = rows[0] if row is None and len(rows) == 1 else row
    if row not in rows:
        raise ValueError(f"`row` must be one of the rows of {path}, {rows}. Received: {row}")
    frame = frame[frame["row"] == row]
    return frame.dropna(axis=1, how="all").infer_objects()  # rows of another kind stand beside it


def _of_scores(frame: pd.DataFrame, folder: Path, row: str | None) -> Answers:
    if "called" in frame:
        rule = "its score reaches the threshold of its part"
        runs = runs_of(folder, row=row)
        labels = _labels(runs[0] / "config.json") if runs else _LESIONS
        return Answers(_of_slices(frame), rule, labels)
    threshold = read_metrics(folder / "metrics.json").threshold
    called = frame["score"] >= threshold
    columns: dict[str, Any] = {"called": called}
    point = folder / "operating_point.json"
    if point.is_file():
        temperature = read_json(point)["temperature"]
        columns["calibrated"] = apply_temperature(frame["score"], temperature)
    rule = f"its score is at least {threshold:.3f}, chosen on other slices"
    labels = _labels(folder / "config.json")
    return Answers(_of_slices(frame.assign(**columns)), rule, labels, threshold)


def _labels(config: Path) -> tuple[str, str]:
    return _TYPES if read_json(config).get("task") == Task.TYPE else _LESIONS


def _of_masks(frame: pd.DataFrame) -> Answers:
    frame = _with_pixels(frame)
    if "p_none" not in frame:
        truth = frame["tp"] + frame["fn"] > 0
        frame = frame.assign(truth=truth, called=frame["drawn"])
        return Answers(_of_slices(frame), "any pixel of it is drawn as a lesion")
    score = 1 - frame["p_none"]
    frame = frame.assign(truth=frame["stroke_type"] > 0, score=score.clip(0, 1))
    frame = frame.assign(called=frame["score"] >= THRESHOLD)
    rule = f"a lesion has a probability of at least {THRESHOLD}"
    return Answers(_of_slices(frame), rule, threshold=THRESHOLD)


def _with_pixels(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns predictions with the pixels of any lesion by short names, if they have masks."""
    if "any_lesion_tp" not in frame:
        return frame
    frame = frame.rename(columns={f"any_lesion_{name}": name for name in _PIXELS})
    return frame.assign(drawn=frame["tp"] + frame["fp"] > 0)


def _of_slices(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns a row for each slice, the mean of its rows; other columns are left out."""
    frame = frame if "part" in frame else frame.assign(part=0)
    names = ["truth", "called", "part", "score", "calibrated", "drawn", *_PIXELS]
    means = frame.groupby("id", sort=False)[[name for name in names if name in frame]].mean()
    answers = [name for name in ("truth", "called", "drawn") if name in means]
    means[answers] = means[answers] > 0.5
    return means.astype({"part": int}).reset_index()
