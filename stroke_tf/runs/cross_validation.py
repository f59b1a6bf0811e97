"""Five-fold cross-validation: pairs of the ten folds are the test folds of five runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd

from stroke_tf.evaluation.intervals import RESAMPLES, Gain, Metric, bootstrap, bootstrap_gain
from stroke_tf.evaluation.lesions import LesionCounts, lesion_metrics
from stroke_tf.evaluation.metrics import (
    accuracy,
    average_precision,
    count,
    f1,
    precision,
    roc_auc,
    sensitivity,
    sensitivity_at_90_specificity,
    specificity,
)
from stroke_tf.evaluation.segmentation import (
    SegmentationCounts,
    lesion_mean,
    segmentation_metrics,
)
from stroke_tf.evaluation.series import smooth_series
from stroke_tf.evaluation.slice_answers import type_answers
from stroke_tf.manifest import FOLDS, read_folds
from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun

PARTS = FOLDS // 2
Run = TypeVar("Run", bound=ClassifierRun | UnetRun)


@dataclass(frozen=True)
class CrossValidated:
    """Every slice scored by the one of five models that has not seen its fold.

    Attributes:
        protocol: Of the records.
        frame: A row for each slice: `id`, `group`, `part` (0 to 4), `truth`, `score`, and `called`,
            whether its part's own threshold calls it positive.
        seconds: Time of all runs together.
    """

    protocol: str
    frame: pd.DataFrame
    seconds: float

    def part_aucs(self) -> list[float]:
        """Returns the ROC AUC of each part."""
        return [roc_auc(part["truth"], part["score"]) for _, part in self.frame.groupby("part")]

    def smoothed(self, sigma: float) -> CrossValidated:
        """Returns the same with scores smoothed along each patient's slices.

        `called` is that of the scores as they were.
        """
        scores = smooth_series(
            self.frame["score"], self.frame["group"], ids=list(self.frame["id"]), sigma=sigma
        )
        return dataclasses.replace(self, frame=self.frame.assign(score=scores))

    def gain_over(
        self, other: CrossValidated, *, seed: int = 0, resamples: int = RESAMPLES
    ) -> Gain:
        """Returns the mean ROC AUC minus that of another model of the same slices and parts.

        Both are scored on the same resamples of patients.

        Raises:
            ValueError: If the other scored other slices, or in other parts.
        """
        frame = self.frame
        again = other.frame.set_index("id").reindex(frame["id"])
        if not np.array_equal(again["part"], frame["part"]):
            raise ValueError(
                "models can be compared on the same slices and parts only. Received: "
                f"{len(frame)} and {len(other.frame)} slices"
            )
        truth, groups = frame["truth"].to_numpy(bool), frame["group"]
        pair = frame["score"].to_numpy(), again["score"].to_numpy()
        parts = [part.index.to_numpy() for _, part in frame.groupby("part")]

        def difference(weights: np.ndarray) -> float:
            drawn = [np.repeat(part, weights[part]) for part in parts]
            mine, theirs = (_mean_auc(truth, scores, drawn) for scores in pair)
            return mine - theirs

        return bootstrap_gain(difference, groups, seed=seed, resamples=resamples)

    def metrics(self, *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Metric]:
        """Returns scores with 95 % intervals of a bootstrap over patients.

        `roc_auc`, `sensitivity_at_90_specificity` and `average_precision` are means over the five
        parts, since scores of different models share no scale. `accuracy`, `sensitivity`,
        `specificity`, `precision` and `f1` are from the counts of all slices, each at the threshold
        of its part's validation fold.
        """
        parts = [part.index.to_numpy() for _, part in self.frame.groupby("part")]
        truth, scores = self.frame["truth"].to_numpy(bool), self.frame["score"].to_numpy()
        called = self.frame["called"].to_numpy(bool)
        of_scores = (roc_auc, sensitivity_at_90_specificity, average_precision)
        ratios = (accuracy, sensitivity, specificity, precision, f1)

        def statistics(weights: np.ndarray) -> list[float]:
            drawn = [np.repeat(part, weights[part]) for part in parts]
            means = [
                float(np.mean([score(truth[part], scores[part]) for part in drawn]))
                for score in of_scores
            ]
            everything = np.concatenate(drawn)
            counts = count(truth[everything], called[everything])
            return [*means, *(ratio(counts) for ratio in ratios)]

        names = [score.__name__ for score in (*of_scores, *ratios)]
        values = bootstrap(statistics, self.frame["group"], seed=seed, resamples=resamples)
        return dict(zip(names, values, strict=True))


def _mean_auc(truth: np.ndarray, scores: np.ndarray, parts: Sequence[np.ndarray]) -> float:
    return float(np.mean([roc_auc(truth[part], scores[part]) for part in parts]))


@dataclass(frozen=True)
class CrossValidatedMasks:
    """Every slice segmented by the one of five networks that has not seen its fold.

    Pixels are on one scale whichever network drew them: all scores are from the counts of all
    slices together. A class that a part lacks is no hindrance then.

    Attributes:
        protocol: Of the records.
        frame: A row for each slice: `id`, `group`, `part` (0 to 4) and what a run keeps of it, see
            `Segmented.to_frame`.
        seconds: Time of all runs together.
    """

    protocol: str
    frame: pd.DataFrame
    seconds: float

    def of_slices(self, ids: Collection[str]) -> CrossValidatedMasks:
        """Returns the same of some slices alone."""
        chosen = self.frame[self.frame["id"].isin(ids)].reset_index(drop=True)
        return dataclasses.replace(self, frame=chosen)

    def part_dices(self) -> list[float]:
        """Returns the lesion Dice of each part, the mean of the classes in its truth."""
        parts = (SegmentationCounts.from_frame(part) for _, part in self.frame.groupby("part"))
        return [_lesion_dice(part.per_slice.sum(axis=0)) for part in parts]

    def gain_over(
        self, other: CrossValidatedMasks, *, seed: int = 0, resamples: int = RESAMPLES
    ) -> Gain:
        """Returns the lesion Dice minus that of another network of the same slices and parts.

        Both are scored on the same resamples of patients.

        Raises:
            ValueError: If the other segmented other slices, or in other parts.
        """
        mine, theirs = (
            set(it.frame[["id", "part"]].itertuples(index=False)) for it in (self, other)
        )
        if mine != theirs:
            raise ValueError(
                "networks can be compared on the same slices and parts only. Received: "
                f"{len(self.frame)} and {len(other.frame)} slices"
            )
        pair = [_cells_of_groups(it.frame) for it in (self, other)]

        def difference(weights: np.ndarray) -> float:
            first, second = (_lesion_dice(np.tensordot(weights, it, axes=1)) for it in pair)
            return first - second

        groups = np.arange(len(pair[0]))
        return bootstrap_gain(difference, groups, seed=seed, resamples=resamples)

    def metrics(self, *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Metric]:
        """Returns scores with 95 % intervals of a bootstrap over patients.

        They are those of `segmentation_metrics` and `lesion_metrics`.
        """
        counts, groups = SegmentationCounts.from_frame(self.frame), self.frame["group"]
        options = {"seed": seed, "resamples": resamples}
        return {
            **segmentation_metrics(counts, groups, **options),
            **lesion_metrics(counts, LesionCounts.from_frame(self.frame), groups, **options),
        }

    def types(self) -> CrossValidated | None:
        """Returns what a joint network says of the type of lesion slices; None of another one."""
        if "stroke_type" not in self.frame:
            return None
        answers = type_answers(self.frame).reset_index(drop=True)
        return CrossValidated(self.protocol, answers, self.seconds)


def _cells_of_groups(frame: pd.DataFrame) -> np.ndarray:
    """Returns the pixel counts of each group, sorted by its name."""
    sums = frame.drop(columns=["id"]).groupby("group").sum(numeric_only=True)
    return SegmentationCounts.from_frame(sums).per_slice


def _lesion_dice(cells: np.ndarray) -> float:
    """Returns `lesion_dice` of `segmentation_metrics` of the summed counts of some slices."""
    return lesion_mean(f1, SegmentationCounts(cells[None]).total())


def cross_validate(
    base: Run, run: Callable[[Run], RunMetrics]
) -> CrossValidated | CrossValidatedMasks:
    """Runs a row five times, each with two folds for test and the next one for validation.

    Args:
        base: The row; its folds are replaced.
        run: `run_classifier`, `run_unet`, or another that leaves such a predictions.csv in the
            run's folder.
    """
    groups = {row.source_id: row.group_id for row in read_folds(base.records)}
    frames, results = [], []
    for part in range(PARTS):
        config = part_of(base, part)
        results.append(run(config))
        folder = folder_of(config)
        frame = pd.read_csv(folder.predictions, dtype={"id": str})
        if isinstance(base, ClassifierRun):
            frame["called"] = frame["score"] >= results[-1].threshold
        frames.append(frame.assign(part=part, group=frame["id"].map(groups)))
    kind = CrossValidated if isinstance(base, ClassifierRun) else CrossValidatedMasks
    return kind(
        results[0].protocol,
        pd.concat(frames, ignore_index=True),
        sum(result.wall_seconds for result in results),
    )


def part_of(base: Run, part: int) -> Run:
    """Returns the run of one part of a row's cross-validation."""
    return dataclasses.replace(
        base,
        row=f"{base.row_name}-part{part}",
        test_folds=(2 * part, 2 * part + 1),
        val_folds=((2 * part + 2) % FOLDS,),
    )


def mean_of(several: Sequence[CrossValidated]) -> CrossValidated:
    """Returns the mean of the scores of several models for the same slices, such as of three seeds.

    A slice counts as called when most of the models call it.
    """
    frames = [it.frame.set_index("id") for it in several]
    first = frames[0]
    scores = np.mean([frame.loc[first.index, "score"] for frame in frames], axis=0)
    called = np.mean([frame.loc[first.index, "called"] for frame in frames], axis=0) > 0.5
    return CrossValidated(
        several[0].protocol,
        first.assign(score=scores, called=called).reset_index(),
        sum(it.seconds for it in several),
    )


def pooled(several: Sequence[CrossValidatedMasks]) -> CrossValidatedMasks:
    """Returns the slices of several networks, such as of three seeds, as if they were one's.

    Each slice is there once for each network, and is drawn with its patient.
    """
    return CrossValidatedMasks(
        several[0].protocol,
        pd.concat([it.frame for it in several], ignore_index=True),
        sum(it.seconds for it in several),
    )
