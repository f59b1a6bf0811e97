"""The tables of cross-validated rows: a line for each row and seed, against the first row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import pandas as pd

from stroke_tf.evaluation.comparisons import holm
from stroke_tf.evaluation.intervals import INTERVALS, Gain, p_text
from stroke_tf.page import markdown_table, plain_text
from stroke_tf.run_folder import RunMetrics, save_figure
from stroke_tf.runs.cross_validation import (
    CrossValidated,
    CrossValidatedMasks,
    cross_validate,
    mean_of,
    operating_point,
    pooled,
)
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables.columns import value_of
from stroke_tf.tables.settings import seeded
from stroke_tf.tables.table import Table

Run: TypeAlias = ClassifierRun | UnetRun
Found: TypeAlias = Mapping[str, Mapping[int, Any]]
"""The result of each row and seed: all of them CrossValidated, or all CrossValidatedMasks."""


@dataclass(frozen=True)
class View:
    """The layout of a table for rows of one kind.

    Attributes:
        title: Heading, where there are tables of both kinds.
        positive: Of a slice, whether it is of class 1, or shows a lesion.
        scores: Metrics, one column each.
        part_scores: Heading of the scores of the parts, and what gives them.
        gain: Heading of the difference from the first row.
        combine: Makes one result of those of several seeds.
        combined: What the line of that is called.
        note: What to know of the numbers.
    """

    title: str
    positive: Callable[[pd.DataFrame], pd.Series]
    scores: tuple[str, ...]
    part_scores: tuple[str, Callable[[Any], list[float]]]
    gain: str
    combine: Callable[[Sequence[Any]], Any]
    combined: str
    note: str


CLASSES = View(
    title="Classes of slices",
    positive=lambda frame: frame["truth"] > 0,
    scores=(
        *("roc_auc", "sensitivity_at_90_specificity", "average_precision"),
        *("accuracy", "sensitivity", "specificity", "precision", "f1"),
    ),
    part_scores=("AUC of the parts", CrossValidated.part_aucs),
    gain="AUC - first row",
    combine=mean_of,
    combined="mean",
    note=(
        "Areas are means of the parts that hold both classes, in each resample too, with 95 % "
        f"intervals of a bootstrap over patients (1000 resamples; {INTERVALS}); "
        "accuracy and what follows it are of all slices, at the threshold that each part chose "
        "elsewhere. The mean of several seeds is that of their scores; smoothed rows "
        "keep the calls of the scores as they were."
    ),
)
DETECTION = replace(CLASSES, title="Lesion or none, by the score of the slice")
MASKS = View(
    title="Masks",
    positive=lambda frame: frame["any_lesion_tp"] + frame["any_lesion_fn"] > 0,
    scores=(
        *("lesion_dice", "ischemia_dice", "ischemia_iou", "hemorrhage_dice", "hemorrhage_iou"),
        *("lesion_slice_dice", "any_lesion_lesionwise_recall"),
        *("any_lesion_false_lesions_per_slice", "normal_slice_false_rate"),
    ),
    part_scores=("lesion Dice of the parts", CrossValidatedMasks.part_dices),
    gain="lesion Dice - first row",
    combine=pooled,
    combined="pool",
    note=(
        "From the pixels of all slices together, each segmented by the one network that has not "
        "seen its fold, with 95 % intervals of a bootstrap over patients (1000 resamples; "
        f"{INTERVALS}). "
        "lesion_dice is the mean of the classes in the truth; a class that is drawn but not there "
        "has a Dice of 0; lesion_slice_dice is the mean of the slices that show a lesion. "
        "normal_slice_false_rate is the share of slices without a lesion on which "
        "one is drawn."
    ),
)
_ENOUGH = 2
"""Patients of a class in a part, on average: with fewer, intervals of areas are too narrow."""
_COMPARED = (
    " p is two-sided, of the same resamples, and corrected by Holm for the comparisons of this "
    "table ({}): of each row after the first, all its seeds together, against all of the first."
)


def cross_validated(
    rows: Mapping[str, Run],
    seeds: Sequence[int],
    *,
    parts: int,
    run: Callable[[Any], RunMetrics],
    attempt: Callable[[str, Callable[[], Any]], Any],
) -> dict[str, dict[int, Any]]:
    """Returns the result of each row and seed.

    `run` trains and tests one run. `attempt` returns the result of a function, or None if it
    failed, and notes the failure under a name.
    """
    found: dict[str, dict[int, Any]] = {}
    for name, row in rows.items():
        results = {}
        for seed in seeds:
            work = partial(cross_validate, seeded(row, seed), run, parts=parts)
            results[seed] = attempt(f"{row.row}-s{seed}", work)
        found[name] = {seed: result for seed, result in results.items() if result is not None}
    return found


def cross_tables(
    found: Found,
    table: Table,
    columns: Mapping[str, Mapping[str, str]],
    *,
    attempt: Callable[[str, Callable[[], Any]], Any],
) -> Iterator[str]:
    """Yields the parts of a table in Markdown, and leaves figures of masks beside it.

    `columns` holds the values of slices, by the name of a column such as hospital and then by the
    id of a slice. The slices of each value are shown apart too.
    A joint network stands among the masks and, for the type of lesion slices, among classifiers.
    Where masks detect, they stand beside the classifiers that detect.
    """
    masks = _each(
        found, lambda validated: validated if isinstance(validated, CrossValidatedMasks) else None
    )
    detect, others = _each(found, _detections), _each(found, _of_slices)
    if any(by_seed for name, by_seed in detect.items() if masks[name]):
        others = _each(
            found,
            lambda validated: (
                None if _detections(validated) is validated else _of_slices(validated)
            ),
        )
    else:
        detect = {}
    views = ((MASKS, masks), (DETECTION, detect), (CLASSES, others))
    shown = [(view, of_view) for view, of_view in views if any(of_view.values())]
    for view, of_view in shown:
        if len(shown) > 1:
            yield f"### {view.title}"
        yield _table(view, of_view, table.smoothed)
    results = [result for of_row in found.values() for result in of_row.values()]
    for warning in dict.fromkeys(text for result in results for text in result.warnings):
        yield f"**{warning}**"
    for column, values in columns.items():
        for view, of_view in shown:
            yield f"### {view.title} by {plain_text(column)}"
            yield _by_column(view, of_view, column, values)
    if len(found) == 1 and results:
        yield "### Parts"
        yield _parts_table(next(iter(found.values())))
    for name, of_row in masks.items():
        for seed, result in list(of_row.items())[:1]:
            stem = f"{name}-{result.protocol}-s{seed}"
            if path := attempt(f"figure of {name}", partial(_draw, stem, result)):
                yield f"![Worst, typical and best slices of {name}]({path})"


def _each(found: Found, answer: Callable[[Any], Any]) -> Found:
    """Returns `answer` of each result, without those for which it is None."""
    return {
        name: {
            seed: answered
            for seed, result in of_row.items()
            if (answered := answer(result)) is not None
        }
        for name, of_row in found.items()
    }


def _of_slices(result: Any) -> CrossValidated | None:
    return result.types() if isinstance(result, CrossValidatedMasks) else result


def _detections(result: Any) -> CrossValidated | None:
    """Returns a network's scores of lesion or none; None where it does not detect."""
    if isinstance(result, CrossValidatedMasks):
        return result.detections()
    return result if any(run.task == "detect" for run in result.runs[:1]) else None


def _table(view: View, found: Found, smoothed: Mapping[str, float]) -> str:
    """Returns a line for each row and seed, each compared with that of the first row.

    A seed stands against the same seed, and all seeds together against all of them: the mean of
    several models' scores is better than one of them, whatever the row.
    """
    lines: list[list[str]] = []
    compared: dict[int, float] = {}  # p values by the number of their line
    baseline: Mapping[int, Any] = {}
    of_baseline: Any = None

    def add(name: str, seed: str, result: Any, other: Any, *, is_compared: bool) -> None:
        gain = result.gain_over(other) if _is_comparable(result, other) else None
        if is_compared and gain is not None:
            compared[len(lines)] = gain.p_value
        lines.append(_line(view, name, seed, result, gain))

    for name, results in found.items():
        for seed, result in results.items():
            is_alone = len(results) == len(baseline) == 1
            add(name, str(seed), result, baseline.get(seed), is_compared=is_alone)
        if not results:
            continue
        several, title = _several(view, results)
        other = of_baseline if results.keys() == baseline.keys() else None
        if len(results) > 1:
            add(name, f"{title} of {len(results)}", several, other, is_compared=True)
        if not baseline:
            baseline, of_baseline, other = results, several, several
        if name in smoothed:
            again, sigma = several.smoothed(smoothed[name]), smoothed[name]
            add(f"{name}, smoothed {sigma:g}", title, again, other, is_compared=True)
    p_values = dict(zip(compared, map(p_text, holm([*compared.values()])), strict=True))
    lines = [[*line[:-1], p_values.get(at, "–"), line[-1]] for at, line in enumerate(lines)]
    header = (*_ABOUT, *view.scores, view.part_scores[0], view.gain, "p (Holm)", "minutes")
    note = view.note + (_COMPARED.format(len(compared)) if compared else "")
    few = (_few(result) for of_row in found.values() for result in of_row.values())
    warnings = dict.fromkeys(f"**{text}**" for text in few if text)
    return "\n\n".join([markdown_table(("row", "seed", *header), lines), note, *warnings])


def _few(result: Any) -> str:
    """Returns a warning of a class with so few patients that intervals of areas are too narrow."""
    if not isinstance(result, CrossValidated):
        return ""
    parts = result.frame["part"].nunique()
    truth, groups = result.frame["truth"].to_numpy(bool), result.frame["group"]
    patients = {kind: groups[truth == kind].nunique() for kind in (0, 1)}
    rarer = min(patients, key=lambda kind: patients[kind])
    if not 0 < patients[rarer] < _ENOUGH * parts:
        return ""
    return (
        f"few patients of class {rarer} for so many parts: {patients[rarer]} for "
        f"{parts}. Intervals of areas are narrower than they should be"
    )


def _is_comparable(result: Any, baseline: Any) -> bool:
    """Returns whether a baseline is there, for the same slices: not all masks are known."""
    return baseline is not None and set(result.frame["id"]) == set(baseline.frame["id"])


def _several(view: View, results: Mapping[int, Any]) -> tuple[Any, str]:
    """Returns the results of several seeds as one, and what that is called."""
    if len(results) > 1:
        return view.combine(list(results.values())), view.combined
    ((seed, result),) = results.items()
    return result, str(seed)


_ABOUT = ("n", "patients")


def _scores(view: View, result: Any) -> list[str]:
    """Returns the numbers of slices and patients, and the scores."""
    metrics = result.metrics()
    about = str(len(result.frame)), str(result.frame["group"].nunique())
    return [*about, *(metrics[score].text() for score in view.scores)]


def _line(view: View, name: str, seed: str, result: Any, gain: Gain | None) -> list[str]:
    return [
        *(name, seed, *_scores(view, result)),
        " ".join(f"{score:.3f}" for score in view.part_scores[1](result)),
        "–" if gain is None else gain.difference.text(sign=True),
        f"{result.seconds / 60:.1f}",
    ]


def _by_column(view: View, found: Found, column: str, values: Mapping[str, str]) -> str:
    """Returns a table with the slices of each value of a column apart."""
    lines: list[list[str]] = []
    warnings: dict[str, None] = {}
    for name, results in found.items():
        if not results:
            continue
        several, title = _several(view, results)
        of_slice = several.frame["id"].map(partial(value_of, values))
        for value in sorted(of_slice.unique()):
            apart = several.of_slices(several.frame["id"][of_slice == value])
            lines.append([name, title, plain_text(value), *_scores(view, apart)])
            if text := _few(apart):
                warnings[f"**{plain_text(value)}: {text}**"] = None
    header = ("row", "seed", plain_text(column), *_ABOUT, *view.scores)
    return "\n\n".join([markdown_table(header, lines), *warnings])


def _parts_table(results: Mapping[int, Any]) -> str:
    """Returns the table of the parts: their test slices and their operating points."""
    lines = []
    for seed, result in results.items():
        view = MASKS if isinstance(result, CrossValidatedMasks) else CLASSES
        for part, run in enumerate(result.runs):
            frame = result.frame[result.frame["part"] == part]
            test, val = (", ".join(map(str, folds)) for folds in (run.test_folds, run.val_folds))
            folds = test, val or "none: other parts"
            about = len(frame), frame["group"].nunique(), view.positive(frame).sum()
            lines.append([str(seed), str(part), *folds, *map(str, about), _chosen(run)])
    header = (
        "seed",
        "part",
        "test folds",
        "validation folds",
        *_ABOUT,
        "positive",
        "what is chosen",
    )
    return markdown_table(header, lines)


def _chosen(run: Run) -> str:
    """Returns the operating point of a run in words."""
    point = operating_point(run)
    told = {
        name: point[name]
        for name in ("threshold", "temperature", "pixel_threshold", "min_area_px")
        if name in point
    }
    return ", ".join(f"{name} {value:.3g}" for name, value in told.items()) or "nothing"


def _draw(name: str, result: CrossValidatedMasks) -> str:
    """Leaves a figure of a row beside the table and returns its name."""
    from stroke_tf.runs.ranked_slices import draw_ranked  # classifiers need no segmentation_models

    path = folder_of(result.runs[0]).path.with_name(f"{name}.png")
    save_figure(draw_ranked(result), path)
    return path.name
