"""The tables of cross-validated rows: a line for each row and seed, against the first row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import pandas as pd

from stroke_tf.page import markdown_table
from stroke_tf.run_folder import RunMetrics, save_figure
from stroke_tf.runs.cross_validation import (
    CrossValidated,
    CrossValidatedMasks,
    cross_validate,
    mean_of,
    pooled,
)
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables.settings import seeded

Run: TypeAlias = ClassifierRun | UnetRun
Found: TypeAlias = Mapping[str, Mapping[int, Any]]
"""What is shown of each row and seed: all of them CrossValidated, or all CrossValidatedMasks."""


@dataclass(frozen=True)
class View:
    """What a table shows of rows of one kind.

    Attributes:
        title: Heading, where there are tables of both kinds.
        about: Columns about the slices, and what gives each of them.
        scores: Metrics, one column each.
        part_scores: Heading of the scores of the parts, and what gives them.
        gain: Heading of the difference from the first row.
        combine: Makes one result of those of several seeds.
        combined: What the line of that is called.
        note: What to know of the numbers.
    """

    title: str
    about: Mapping[str, Callable[[pd.DataFrame], int]]
    scores: tuple[str, ...]
    part_scores: tuple[str, Callable[[Any], list[float]]]
    gain: str
    combine: Callable[[Sequence[Any]], Any]
    combined: str
    note: str


CLASSES = View(
    title="Classes of slices",
    about={"n": len},
    scores=(
        *("roc_auc", "sensitivity_at_90_specificity", "average_precision"),
        *("accuracy", "sensitivity", "specificity", "precision", "f1"),
    ),
    part_scores=("AUC of the parts", CrossValidated.part_aucs),
    gain="AUC - first row",
    combine=mean_of,
    combined="mean",
    note=(
        "Areas are means of five parts, with 95 % intervals of a bootstrap over patients (1000 "
        "resamples); accuracy and what follows it are of all slices, at the threshold of each "
        "part's validation fold. The mean of several seeds is that of their scores; smoothed rows "
        "keep the calls of the scores as they were."
    ),
)
MASKS = View(
    title="Masks",
    about={"n": len, "patients": lambda frame: frame["group"].nunique()},
    scores=(
        *("lesion_dice", "ischemia_dice", "ischemia_iou", "hemorrhage_dice", "hemorrhage_iou"),
        *("any_lesion_lesionwise_recall", "normal_slice_false_rate"),
    ),
    part_scores=("lesion Dice of the parts", CrossValidatedMasks.part_dices),
    gain="lesion Dice - first row",
    combine=pooled,
    combined="pool",
    note=(
        "From the pixels of all slices together, each segmented by the one network of five that "
        "has not seen its fold, with 95 % intervals of a bootstrap over patients (1000 resamples). "
        "lesion_dice is the mean of the classes in the truth; a class that is drawn but not there "
        "has a Dice of 0. normal_slice_false_rate is the share of slices without a lesion on which "
        "one is drawn."
    ),
)


def cross_validated_tables(
    rows: Mapping[str, Run],
    seeds: Sequence[int],
    *,
    run: Callable[[Any], RunMetrics],
    attempt: Callable[[str, Callable[[], Any]], Any],
    smoothed: Mapping[str, float],
    strata: Mapping[str, str],
) -> Iterator[str]:
    """Yields the parts of a table in Markdown, and leaves figures of masks beside it.

    A joint network stands among the masks and, for the type of lesion slices, among classifiers.
    `run` trains and tests one run; `attempt` gives what a function does, or None if it failed,
    which is noted under a name; the rest is as for `run_table`.
    """
    found: dict[str, dict[int, Any]] = {}
    for name, row in rows.items():
        results = {
            seed: attempt(f"{row.row}-s{seed}", partial(cross_validate, seeded(row, seed), run))
            for seed in seeds
        }
        found[name] = {seed: result for seed, result in results.items() if result is not None}
    masks = {name: results for name, results in found.items() if isinstance(rows[name], UnetRun)}
    classes = {
        name: {seed: of_it for seed, it in results.items() if (of_it := _of_slices(it)) is not None}
        for name, results in found.items()
    }
    views = [(MASKS, masks), (CLASSES, classes)]
    shown = [(view, of_view) for view, of_view in views if any(of_view.values())]
    for view, of_view in shown:
        if len(shown) > 1:
            yield f"### {view.title}"
        yield _table(view, of_view, smoothed)
    for stratum in sorted(set(strata.values())) if any(masks.values()) else ():
        ids = [name for name, of_slice in strata.items() if of_slice == stratum]
        apart = {
            name: {seed: result.of_slices(ids) for seed, result in results.items()}
            for name, results in masks.items()
        }
        yield f"### Slices of {stratum} alone"
        yield _table(MASKS, apart, {}, brief=True)
    for name, results in masks.items():
        for seed, result in list(results.items())[:1]:
            draw = partial(_draw, seeded(rows[name], seed), result)
            if path := attempt(f"figure of {name}", draw):
                yield f"![Worst, typical and best slices of {name}]({path})"


def _of_slices(result: Any) -> CrossValidated | None:
    return result.types() if isinstance(result, CrossValidatedMasks) else result


def _table(view: View, found: Found, smoothed: Mapping[str, float], *, brief: bool = False) -> str:
    lines, baseline = [], None
    for name, results in found.items():
        lines += [_line(view, name, str(s), it, baseline, brief) for s, it in results.items()]
        if not results:
            continue
        first, *others = results.values()
        baseline = baseline or first
        several, title = first, str(next(iter(results)))
        if others:
            several, title = view.combine(list(results.values())), view.combined
            label = f"{title} of {len(results)}"
            lines.append(_line(view, name, label, several, baseline, brief))
        if name in smoothed:
            again, sigma = several.smoothed(smoothed[name]), smoothed[name]
            lines.append(_line(view, f"{name}, smoothed {sigma:g}", title, again, baseline, brief))
    ends = () if brief else (view.part_scores[0], view.gain, "minutes")
    table = markdown_table(("row", "seed", *view.about, *view.scores, *ends), lines)
    return table if brief else f"{table}\n\n{view.note}"


def _line(
    view: View, name: str, seed: str, result: Any, baseline: Any | None, brief: bool
) -> list[str]:
    metrics = result.metrics()
    line = [
        name,
        seed,
        *(str(about(result.frame)) for about in view.about.values()),
        *(metrics[score].text() for score in view.scores),
    ]
    if brief:
        return line
    return [
        *line,
        " ".join(f"{score:.3f}" for score in view.part_scores[1](result)),
        "–" if baseline is None else result.gain_over(baseline).difference.text(sign=True),
        f"{result.seconds / 60:.1f}",
    ]


def _draw(config: UnetRun, result: CrossValidatedMasks) -> str:
    """Leaves a figure of a row beside the table and returns its name."""
    from stroke_tf.runs.ranked_slices import draw_ranked  # classifiers need no segmentation_models

    run = folder_of(config).path
    path = run.with_name(f"{run.name}.png")
    save_figure(draw_ranked(config, result), path)
    return path.name
