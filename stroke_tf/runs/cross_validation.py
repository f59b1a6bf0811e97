"""Cross-validation: each slice is answered by the one model that has not seen its fold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import pandas as pd

from stroke_tf.evaluation.calibration import apply_temperature
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
from stroke_tf.files import read_json, write_text
from stroke_tf.manifest import read_folds
from stroke_tf.run_folder import RunMetrics, read_predictions
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.parts import PARTS, check_parts, parts_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun

PREDICTIONS_NAME = "predictions.csv"


@dataclass(frozen=True)
class _OutOfFold:
    """Every slice answered by the one model that has not seen its fold.

    Attributes:
        protocol: Of the records.
        frame: A row for each slice: `id`, `group`, `part`, from 0 on, and the answer.
        seconds: Time of all runs together.
        runs: The run of each part.
        warnings: What to know of parts whose test slices lack a class.
    """

    protocol: str
    frame: pd.DataFrame
    seconds: float
    runs: tuple[Any, ...] = ()
    warnings: tuple[str, ...] = ()

    def of_slices(self, ids: Collection[str]) -> Self:
        """Returns the same result for some slices alone."""
        chosen = self.frame[self.frame["id"].isin(ids)].reset_index(drop=True)
        return dataclasses.replace(self, frame=chosen)


@dataclass(frozen=True)
class CrossValidated(_OutOfFold):
    """Every slice scored.

    The answers are `truth`, `score`, and `called`, whether its part's own threshold calls it
    positive; and `calibrated`, the score by its part's temperature, where runs leave one.
    """

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

        Both are scored on the same resamples of patients, and on the same parts of each.

        Raises:
            ValueError: If the other scored other slices, or in other parts.
        """
        frame = self.frame
        again = other.frame.set_index(slices_of(other.frame)).reindex(slices_of(frame))
        if not np.array_equal(again["part"], frame["part"]):
            raise ValueError(
                "models can be compared on the same slices and parts only. Received: "
                f"{len(frame)} and {len(other.frame)} slices"
            )
        truth, groups = frame["truth"].to_numpy(bool), frame["group"]
        pair = frame["score"].to_numpy(), again["score"].to_numpy()
        parts = self._parts()

        def difference(weights: np.ndarray) -> float:
            drawn = _drawn(parts, weights, truth)
            mine, theirs = (_mean_auc(truth, scores, drawn) for scores in pair)
            return mine - theirs

        return bootstrap_gain(difference, groups, seed=seed, resamples=resamples)

    def metrics(self, *, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Metric]:
        """Returns scores with 95 % intervals of a bootstrap over patients.

        `roc_auc`, `sensitivity_at_90_specificity` and `average_precision` are means over the parts
        that hold both classes, since scores of different models share no scale; NaN where none
        does. So they are in each resample, which may draw no positive patient of a part.
        `accuracy`, `sensitivity`, `specificity`, `precision` and `f1` are from the counts of all
        slices, each at the threshold that its part chose elsewhere.
        """
        truth, scores = self.frame["truth"].to_numpy(bool), self.frame["score"].to_numpy()
        parts = self._parts()
        called = self.frame["called"].to_numpy(bool)
        of_scores = (roc_auc, sensitivity_at_90_specificity, average_precision)
        ratios = (accuracy, sensitivity, specificity, precision, f1)

        def statistics(weights: np.ndarray) -> list[float]:
            drawn = _drawn(parts, weights, truth)
            means = [
                _mean([score(truth[part], scores[part]) for part in drawn]) for score in of_scores
            ]
            everything = np.repeat(np.arange(len(weights)), weights)
            counts = count(truth[everything], called[everything])
            return [*means, *(ratio(counts) for ratio in ratios)]

        names = [score.__name__ for score in (*of_scores, *ratios)]
        values = bootstrap(statistics, self.frame["group"], seed=seed, resamples=resamples)
        return dict(zip(names, values, strict=True))

    def _parts(self) -> list[np.ndarray]:
        return [part.index.to_numpy() for _, part in self.frame.groupby("part")]


def _drawn(parts: Sequence[np.ndarray], weights: np.ndarray, truth: np.ndarray) -> list[np.ndarray]:
    """Returns the drawn slices of each part in which both classes are drawn: areas need both.

    A resample counts if one part has both. If all parts needed both, only resamples with every
    positive patient could be left: their interval would not show what the choice of patients does.
    """
    drawn = (np.repeat(part, weights[part]) for part in parts)
    return [part for part in drawn if 0 < truth[part].sum() < len(part)]


def _mean_auc(truth: np.ndarray, scores: np.ndarray, parts: Sequence[np.ndarray]) -> float:
    return _mean([roc_auc(truth[part], scores[part]) for part in parts])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else float("nan")


@dataclass(frozen=True)
class CrossValidatedMasks(_OutOfFold):
    """Every slice segmented. The answers are the columns of `Segmented.to_frame`.

    All scores are from the pixel counts of all slices together, whichever network drew them. So a
    part may lack a class.
    """

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
            set(result.frame[["id", "part"]].itertuples(index=False)) for result in (self, other)
        )
        if mine != theirs:
            raise ValueError(
                "networks can be compared on the same slices and parts only. Received: "
                f"{len(self.frame)} and {len(other.frame)} slices"
            )
        pair = [_cells_of_groups(result.frame) for result in (self, other)]

        def difference(weights: np.ndarray) -> float:
            first, second = (_lesion_dice(np.tensordot(weights, cells, axes=1)) for cells in pair)
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

    def detections(self) -> CrossValidated | None:
        """Returns the scores of slices by their masks; None where the masks do not detect."""
        if "score" not in self.frame:
            return None
        return CrossValidated(self.protocol, self.frame, self.seconds, self.runs)

    def types(self) -> CrossValidated | None:
        """Returns a joint network's scores of the type of lesion slices; None of other networks."""
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


@overload
def cross_validate(
    base: UnetRun, run: Callable[..., RunMetrics], *, parts: int = PARTS
) -> CrossValidatedMasks: ...


@overload
def cross_validate(
    base: ClassifierRun, run: Callable[..., RunMetrics], *, parts: int = PARTS
) -> CrossValidated: ...


def cross_validate(
    base: ClassifierRun | UnetRun, run: Callable[..., RunMetrics], *, parts: int = PARTS
) -> CrossValidated | CrossValidatedMasks:
    """Runs a row once for each part, see `parts_of`.

    Args:
        base: The row; its folds are replaced.
        run: `run_classifier`, `run_unet`, or another that leaves such a predictions.csv in the
            run's folder; where the row chooses on other parts, it takes `chosen_on` as `run_unet`.
        parts: Number of parts.

    Raises:
        ValueError: If the folds cannot be dealt to so many parts, or a part lacks a class that it
            needs, see `check_parts`; before anything is trained.
    """
    groups = {row.source_id: row.group_id for row in read_folds(base.records)}
    configs = parts_of(base, parts)
    warnings = check_parts(configs)
    results = _each(configs, run)
    frames = [
        _answers_of(config, result).assign(part=part)
        for part, (config, result) in enumerate(zip(configs, results, strict=True))
    ]
    frame = pd.concat(frames, ignore_index=True)
    kind = CrossValidated if isinstance(base, ClassifierRun) else CrossValidatedMasks
    return kind(
        results[0].protocol,
        frame.assign(group=frame["id"].map(groups)),
        sum(result.wall_seconds for result in results),
        tuple(configs),
        tuple(warnings),
    )


def _each(configs: Sequence[Any], run: Callable[..., RunMetrics]) -> list[RunMetrics]:
    """Returns the result of each part, chosen on its own validation or on what the others say."""
    chooses = isinstance(configs[0], UnetRun) and configs[0].chooses_on_parts
    if not chooses or all(folder_of(config).is_done() for config in configs):
        return [run(config) for config in configs]
    from stroke_tf.runs.other_parts import answers_of_parts  # here: it loads TensorFlow

    answers = answers_of_parts(configs, run)
    return [
        run(config, chosen_on=[*answers[:part], *answers[part + 1 :]])
        for part, config in enumerate(configs)
    ]


def _answers_of(config: ClassifierRun | UnetRun, result: RunMetrics) -> pd.DataFrame:
    """Returns a run's answers for its test slices, by its own operating point."""
    frame = read_predictions(folder_of(config).predictions)
    if "score" not in frame:
        return frame
    frame["called"] = frame["score"] >= result.threshold
    if temperature := operating_point(config).get("temperature"):
        frame["calibrated"] = apply_temperature(frame["score"], temperature)
    return frame


def operating_point(config: ClassifierRun | UnetRun) -> dict[str, Any]:
    """Returns what a finished run chose on slices of no test: threshold, temperature, area.

    Where slices have a threshold, that of pixels is named `pixel_threshold`. The result is empty
    for a run that chose nothing, such as a network whose pixels take their likeliest class.
    """
    names, folder = ("mask_rule.json", "operating_point.json"), folder_of(config).path
    rule, point = (read_json(folder / name) if (folder / name).is_file() else {} for name in names)
    if rule and point:
        rule["pixel_threshold"] = rule.pop("threshold")
    return rule | point


def write_out_of_fold(
    folder: Path,
    results: Iterable[tuple[str, int, CrossValidated | CrossValidatedMasks]],
    columns: Mapping[str, Mapping[str, str]],
) -> Path:
    """Writes the answers for every slice as predictions.csv; returns its path.

    Args:
        folder: Folder of the experiment.
        results: Row, seed and result of each cross-validation.
        columns: Further columns, by the id of a slice, such as its hospital.
    """
    frames = [
        result.frame.assign(row=row, protocol=result.protocol, seed=seed)
        for row, seed, result in results
    ]
    frame = pd.concat(frames, ignore_index=True)
    for name, values in columns.items():
        frame[name] = frame["id"].map(values)
    order = [*_FIRST, *(name for name in frame if name not in _FIRST)]
    path = folder / PREDICTIONS_NAME
    write_text(path, frame[order].to_csv(index=False))
    return path


_FIRST = ["id", "group", "part", "seed", "row", "protocol"]


def read_out_of_fold(folder: Path | str, row: str | None = None) -> pd.DataFrame:
    """Returns the out-of-fold predictions that a cross-validation left: a line for each slice.

    Args:
        folder: Folder of the experiment, `OUT/EXPERIMENT`.
        row: The row of its table; None takes all.

    Returns:
        `id`, `group` (the patient), `part`, `seed`, `row`, `protocol`; of classifiers `truth` (0
        or 1), `score`, `called` by the part's own threshold and `calibrated` by its temperature; of
        networks with masks the counts of `Segmented.to_frame`, and those four too where masks
        detect; and the columns that were given.
        Of several seeds each slice has a line for each.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no such row.
    """
    path = Path(folder) / PREDICTIONS_NAME
    if not path.is_file():
        raise FileNotFoundError(f"{path} must exist: a finished cross-validation leaves it")
    frame = read_predictions(path)
    if row is None:
        return frame
    chosen = frame[frame["row"] == row].reset_index(drop=True)
    if chosen.empty:
        rows = sorted(frame["row"].unique())
        raise ValueError(f"{path}: `row` must be one of {rows}. Received: {row}")
    return chosen.infer_objects()  # beside rows of another kind, calls are objects


def slices_of(frame: pd.DataFrame) -> pd.MultiIndex:
    """Returns the name of each line of predictions: its id, and a number where copies share it.

    All models answer the slices of one folder, copies too, in the same order.
    """
    copies = frame.groupby("id").cumcount()
    return pd.MultiIndex.from_arrays([frame["id"], copies], names=["slice", "copy"])


def mean_of(several: Sequence[CrossValidated]) -> CrossValidated:
    """Returns the mean of the scores of several models for the same slices, such as of three seeds.

    A slice counts as called when most of the models call it.
    """
    frames = [result.frame.set_index(slices_of(result.frame)) for result in several]
    first = frames[0]
    scores = np.mean([frame.loc[first.index, "score"] for frame in frames], axis=0)
    called = np.mean([frame.loc[first.index, "called"] for frame in frames], axis=0) > 0.5
    return CrossValidated(
        several[0].protocol,
        first.assign(score=scores, called=called).reset_index(drop=True),
        sum(result.seconds for result in several),
    )


def pooled(several: Sequence[CrossValidatedMasks]) -> CrossValidatedMasks:
    """Returns the slices of several networks, such as of three seeds, as if they were one's.

    Each slice is there once for each network, and is drawn with its patient.
    """
    return CrossValidatedMasks(
        several[0].protocol,
        pd.concat([result.frame for result in several], ignore_index=True),
        sum(result.seconds for result in several),
    )
