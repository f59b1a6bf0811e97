"""The figures of a search: its trials side by side, what mattered, and how they learned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

from stroke_tf.search.spaces import Range, Space, Values
from stroke_tf.search.tuning import Trial

_MOST_TICKS = 6
_GREY, _BLUE = "#8a96a3", "#2166ac"


def searched(space: Space) -> dict[str, Values]:
    """Returns the parameters of a space that have more than one value."""
    return {
        name: values
        for name, values in space.items()
        if (values.low < values.high if isinstance(values, Range) else len(values) > 1)
    }


def place(values: Values, value: Any) -> float:
    """Returns the place of a value among all values of a parameter, from 0 to 1."""
    if not isinstance(values, Range):
        return values.index(value) / (len(values) - 1)
    if values.log:
        return math.log(value / values.low) / math.log(values.high / values.low)
    return (value - values.low) / (values.high - values.low)


def figure_parallel(space: Space, trials: Sequence[Trial]) -> Figure:
    """Draws a line for each of two or more trials over its parameters and its score.

    Each parameter has several values, each trial a score.
    """
    scores = np.array([trial.score for trial in trials])
    low, high = scores.min(), scores.max()
    shares = (scores - low) / (high - low) if high > low else np.ones(len(scores))
    figure = Figure(figsize=(1.3 * (len(space) + 1) + 1, 3.6), layout="constrained")
    axes = figure.subplots()
    for index in np.argsort(shares):  # the best on top
        heights = [place(values, trials[index].values[name]) for name, values in space.items()]
        colour = mpl.colormaps["viridis"](float(shares[index]))
        axes.plot([*heights, shares[index]], color=colour, linewidth=1 + shares[index])
    for position, values in enumerate(space.values()):
        _tick(axes, position, _ticks(values))
    _tick(axes, len(space), [(0.0, f"{low:.3f}"), (1.0, f"{high:.3f}")])
    axes.set(ylim=(-0.05, 1.05), yticks=[], xlim=(-0.2, len(space) + 0.5))
    axes.set_xticks(range(len(space) + 1), [*space, "score"], rotation=20, ha="right")
    axes.grid(axis="x")
    axes.spines[["left", "right", "top", "bottom"]].set_visible(False)
    return figure


def figure_importance(space: Space, trials: Sequence[Trial], *, seed: int = 0) -> Figure:
    """Draws how much the score depends on each parameter.

    A random forest is fitted to the trials, which all have a score; a parameter's importance is the
    loss in its R² when the parameter is shuffled among them. Each parameter has several values.
    """
    found = importance(space, trials, seed=seed)
    ranked = sorted(found, key=lambda name: found[name])
    figure = Figure(figsize=(5, 0.32 * len(ranked) + 0.9), layout="constrained")
    axes = figure.subplots()
    axes.barh(ranked, [found[name] for name in ranked], color=_BLUE)
    axes.set_xlabel("loss in R² when shuffled")
    axes.spines[["right", "top"]].set_visible(False)
    return figure


def importance(space: Space, trials: Sequence[Trial], *, seed: int = 0) -> dict[str, float]:
    """Returns the permutation importance of each parameter, see `figure_importance`."""
    inputs = np.array(
        [[place(values, trial.values[name]) for name, values in space.items()] for trial in trials]
    )
    scores = np.array([trial.score for trial in trials])
    forest = RandomForestRegressor(200, random_state=seed).fit(inputs, scores)
    result = permutation_importance(forest, inputs, scores, n_repeats=20, random_state=seed)
    return dict(zip(space, result.importances_mean.tolist(), strict=True))


def figure_curves(histories: Mapping[str, Path], *, best: str) -> Figure:
    """Draws the validation loss of each trial, from its history.csv; the best one stands out."""
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
    axes = figure.subplots()
    for name, path in sorted(histories.items(), key=lambda item: item[0] == best):
        history = pd.read_csv(path)
        style = {"color": _BLUE, "linewidth": 2.0} if name == best else {"color": _GREY}
        label = f"trial {name}, the best" if name == best else None
        axes.plot(history["epoch"] + 1, history["val_loss"], label=label, **style)
    axes.set(xlabel="epoch", ylabel="validation loss", yscale="log")
    axes.legend(frameon=False, loc="upper right")
    axes.spines[["right", "top"]].set_visible(False)
    return figure


def _ticks(values: Values) -> list[tuple[float, str]]:
    if isinstance(values, Range):
        return [(place(values, value), f"{value:.3g}") for value in (values.low, values.high)]
    if len(values) > _MOST_TICKS:
        values = values[:: -(-len(values) // _MOST_TICKS)]
    step = max(len(values) - 1, 1)
    return [(index / step, str(value)) for index, value in enumerate(values)]


def _tick(axes: Any, position: int, ticks: Sequence[tuple[float, str]]) -> None:
    for height, label in ticks:
        axes.annotate(
            label,
            (position, height),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8},
        )
