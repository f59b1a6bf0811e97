"""The figures of a run. Each function returns a Matplotlib figure.

No pyplot: figures hold no global state and need no display.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from stroke_tf.config import AugmentStrength
from stroke_tf.evaluation.calibration import reliability
from stroke_tf.evaluation.metrics import (
    Counts,
    check_scored,
    count,
    roc_auc,
    sensitivity,
    specificity,
)
from stroke_tf.labels import StrokeType

if TYPE_CHECKING:
    import tensorflow as tf

    from stroke_tf.evaluation.intervals import Metric

_INK, _GRID, _BLUE, _ORANGE, _GREY = "#1f2933", "#dfe4ea", "#2166ac", "#d95f02", "#8a96a3"
_OUTLINES: dict[StrokeType, tuple[str, str, Any]] = {
    # The hues of the MASK colours, lightened to stand out from dark tissue.
    StrokeType.ISCHEMIA: ("ischaemia", "#55a8ff", "-"),
    StrokeType.HEMORRHAGE: ("haemorrhage", "#3ee06f", (0, (2, 1))),
}
_AUGMENTED = 6
_NOT_SCORES = ("epoch", "learning_rate")
_STYLE: Any = {
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GREY,
    "axes.titlesize": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _GRID,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "lines.markersize": 4,
}


@mpl.rc_context(_STYLE)
def figure_history(history: pd.DataFrame) -> Figure:
    """Draws loss and scores of training and validation over the epochs.

    Args:
        history: One row an epoch: `epoch` from 0, `loss`, any scores, and `val_…` of each.
    """
    names = sorted(
        set(name.removeprefix("val_") for name in history.columns) - set(_NOT_SCORES),
        key=lambda name: (name != "loss", name),
    )
    columns = min(3, max(1, len(names)))
    rows = -(-max(1, len(names)) // columns)
    figure = _figure(3.1 * columns, 2.5 * rows)
    epochs = history["epoch"] + 1
    marker = "o" if len(history) < 15 else ""
    for name, axes in zip(names, _grid(figure, rows, columns).flat, strict=False):
        lines = {"training": (name, _GREY, "--"), "validation": (f"val_{name}", _BLUE, "-")}
        for label, (column, color, style) in lines.items():
            if column in history:
                axes.plot(epochs, history[column], style, color=color, label=label, marker=marker)
        axes.set(title=name.replace("_", " "), xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_visible(True)
    if names:
        figure.axes[0].legend(loc="best")
    return figure


def draw_scores(
    truth: NDArray[np.bool_],
    scores: NDArray[np.floating],
    *,
    threshold: float,
    labels: tuple[str, str],
) -> dict[str, Figure]:
    """Draws the figures of slices' scores: "confusion", "roc" and "reliability".

    Args:
        truth: bool, shape (N,).
        scores: Shape (N,), in [0, 1].
        threshold: A score at or above it is called positive.
        labels: Names of the negative and the positive class.
    """
    return {
        "confusion": figure_confusion(count(truth, scores >= threshold), labels),
        "roc": figure_roc(truth, scores, threshold),
        "reliability": figure_reliability(reliability(truth, scores)),
    }


@mpl.rc_context(_STYLE)
def figure_confusion(counts: Counts, labels: tuple[str, str]) -> Figure:
    """Draws a confusion matrix: counts, and their share of the true class.

    Args:
        counts: The counts.
        labels: Names of the negative and the positive class.
    """
    table = np.array([[counts.tn, counts.fp], [counts.fn, counts.tp]])
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    figure = _figure(3.6, 3.1)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(table):
        color = "white" if share[row, column] > 0.55 else _INK
        place: dict[str, Any] = {"ha": "center", "color": color}
        axes.text(column, row, f"{number}", va="bottom", fontsize=15, **place)
        axes.text(column, row + 0.06, f"{share[row, column]:.1%}", va="top", **place)
    axes.set(xticks=(0, 1), yticks=(0, 1), xticklabels=labels, yticklabels=labels)
    axes.set(xlabel="predicted", ylabel="truth")
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


@mpl.rc_context(_STYLE)
def figure_roc(truth: ArrayLike, scores: ArrayLike, threshold: float) -> Figure:
    """Draws the ROC curve with the operating point; no curve when a class is absent.

    Args:
        truth: Shape (N,), 0 or 1.
        scores: Shape (N,), in [0, 1].
        threshold: A score at or above it is called positive.
    """
    truth, scores = check_scored(truth, scores)
    figure = _figure(3.6, 3.4)
    axes = figure.subplots()
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.plot((0, 1), (0, 1), ":", color=_GREY, label="chance")
    if not truth.any() or truth.all():
        axes.text(0.5, 0.5, "undefined: one class only", ha="center", va="center")
        return figure
    false_alarms, recall, _ = roc_curve(truth, scores)
    axes.plot(false_alarms, recall, color=_BLUE, label=f"AUC {roc_auc(truth, scores):.3f}")
    counts = count(truth, scores >= threshold)
    point, label = (1 - specificity(counts), sensitivity(counts)), f"threshold {threshold:.3f}"
    axes.plot(*point, "o", color=_ORANGE, label=label, zorder=3)
    axes.legend(loc="lower right")
    return figure


@mpl.rc_context(_STYLE)
def figure_reliability(table: pd.DataFrame) -> Figure:
    """Draws how often slices of a score are positive, and how many slices have it.

    Args:
        table: What `stroke_tf.evaluation.calibration.reliability` returns.
    """
    figure = _figure(3.6, 3.6)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], "--", color=_GREY, label="perfectly calibrated")
    above.plot(table["mean_score"], table["positive_share"], "-o", color=_BLUE, label="test slices")
    above.set(xlim=(0, 1), ylim=(-0.02, 1.02), ylabel="share of class 1")
    above.legend(loc="upper left")
    middle, width = (table["low"] + table["high"]) / 2, table["high"] - table["low"]
    below.bar(middle, table["n"], width=0.9 * width, color=_GREY)
    below.set(xlabel="score", ylabel="slices", yscale="log", ylim=(0.5, None))  # 1 shows too
    return figure


@mpl.rc_context(_STYLE)
def figure_predictions(
    images: Sequence[NDArray[np.generic]] | NDArray[np.generic],
    truth: ArrayLike,
    scores: ArrayLike,
    *,
    threshold: float,
    labels: tuple[str, str],
    columns: int = 6,
) -> Figure:
    """Draws a gallery of wrongly and rightly classified slices, the surest answers first.

    Args:
        images: N slices in [0, 255], each (H, W), (H, W, 1) or (H, W, 3), whose first channel
            is shown.
        truth: Shape (N,), 0 or 1.
        scores: Shape (N,), in [0, 1].
        threshold: A score at or above it is called positive.
        labels: Names of the negative and the positive class.
        columns: Most slices of each kind.

    Raises:
        ValueError: If there is not one image for each score.
    """
    truth, scores = check_scored(truth, scores)
    if len(images) != len(truth):
        raise ValueError(f"`images` must hold {len(truth)} slices. Received: {len(images)}")
    called = scores >= threshold
    kinds = {
        "missed": truth & ~called,
        "false alarm": ~truth & called,
        f"{labels[1]},\nfound": truth & called,
        f"{labels[0]},\npassed": ~truth & ~called,
    }
    surest_first = np.argsort(-np.abs(scores - threshold), kind="stable")
    rows = {
        kind: [index for index in surest_first if chosen[index]][:columns]
        for kind, chosen in kinds.items()
    }
    figure = _figure(1.25 * columns + 0.9, 1.5 * len(rows))
    grid = _grid(figure, len(rows), columns)
    for line, (kind, indices) in zip(grid, rows.items(), strict=True):
        for axes, index in zip(line, indices, strict=False):
            _show(axes, images[index])
            axes.set_title(f"{labels[int(truth[index])]} / {scores[index]:.2f}", fontsize=8)
        _label_row(line[0], kind if indices else f"{kind}:\nnone")
    return figure


@mpl.rc_context(_STYLE)
def figure_segmentation(
    images: Sequence[NDArray[np.generic]] | NDArray[np.generic],
    true_masks: ArrayLike,
    predicted_masks: ArrayLike,
    titles: Sequence[str],
) -> Figure:
    """Draws each slice three times: plain, with the true outlines, with the predicted ones.

    Args:
        images: N slices, as for `figure_predictions`.
        true_masks: Class ids, shape (N, H, W) or (N, H, W, 1).
        predicted_masks: The same for the prediction.
        titles: One title for each slice.
    """
    columns = min(2, len(titles))
    rows = -(-len(titles) // columns)
    figure = _figure(5.2 * columns, 1.95 * rows + 0.3)
    grid = _grid(figure, rows, 4 * columns, widths=(1, 1, 1, 0.1) * columns)
    slices = zip(images, np.asarray(true_masks), np.asarray(predicted_masks), titles, strict=True)
    for (image, true_mask, predicted_mask, title), (*panels, _) in zip(
        slices, grid.reshape(-1, 4), strict=False
    ):
        for axes, mask in zip(panels, (None, true_mask, predicted_mask), strict=True):
            _show(axes, image)
            if mask is not None:
                _outline(axes, mask)
        for axes, text in zip(panels, (title, "truth", "prediction"), strict=True):
            axes.set_title(text, fontsize=8)
    lines = [
        Line2D([], [], color=color, linestyle=style, label=name)
        for name, color, style in _OUTLINES.values()
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=2)
    return figure


@mpl.rc_context(_STYLE)
def figure_gallery(
    images: Sequence[NDArray[np.generic]] | NDArray[np.generic],
    titles: Sequence[str],
    *,
    masks: ArrayLike | None = None,
    columns: int = 4,
) -> Figure:
    """Draws slices below their titles, with the outlines of their masks where given.

    Args:
        images: N slices, N >= 1, as for `figure_predictions`.
        titles: One title for each slice.
        masks: Class ids, shape (N, H, W) or (N, H, W, 1), or None.
        columns: Slices in a row.
    """
    rows = -(-len(titles) // columns)
    figure = _figure(1.9 * columns, 2.2 * rows)
    axes_of = _grid(figure, rows, columns).flat
    for number, (axes, image, title) in enumerate(zip(axes_of, images, titles, strict=False)):
        _show(axes, image)
        axes.set_title(title, fontsize=8)
        if masks is not None:
            _outline(axes, np.asarray(masks)[number])
    return figure


def draw_augmentations(dataset: tf.data.Dataset, *, strength: AugmentStrength, seed: int) -> Figure:
    """Draws the first slices of a data set as they are and after each operation alone.

    Operations that change nothing, being switched off, are left out.

    Args:
        dataset: Batches of (images, labels), not augmented.
        strength: Strength of the operations; the mirror image is shown for every slice.
        seed: Seed of the run.
    """
    import tensorflow as tf

    from stroke_tf.data import AUGMENTATIONS  # here, for figures that need no TensorFlow

    images = next(iter(dataset))[0][:_AUGMENTED]
    shown = dataclasses.replace(strength, mirror=float(strength.mirror > 0))
    rows = {"as it is": images.numpy()}
    for number, (name, operation) in enumerate(AUGMENTATIONS.items()):
        changed, _ = operation(images, None, shown, tf.constant([seed, number]))
        if not np.array_equal(changed, images):
            rows[name] = changed.numpy()
    return figure_augmentations(rows)


@mpl.rc_context(_STYLE)
def figure_augmentations(rows: Mapping[str, Sequence[NDArray[np.generic]]]) -> Figure:
    """Draws one row of slices for each operation.

    Args:
        rows: Name of the operation to its slices, as for `figure_predictions`.
    """
    columns = max(len(images) for images in rows.values())
    figure = _figure(1.25 * columns + 0.9, 1.3 * len(rows))
    grid = _grid(figure, len(rows), columns)
    for line, (name, images) in zip(grid, rows.items(), strict=True):
        for axes, image in zip(line, images, strict=False):
            _show(axes, image)
        _label_row(line[0], name)
    return figure


@mpl.rc_context(_STYLE)
def figure_by_count(
    lines: Mapping[str, Mapping[int, Metric]], *, counted: str, score: str
) -> Figure:
    """Draws a score against how much there was to learn from, with its intervals.

    Args:
        lines: Name of each line to its points: the count and the score.
        counted: What is counted.
        score: Name of the score.
    """
    figure = _figure(4.4, 3.2)
    axes = figure.subplots()
    for place, ((name, points), color) in enumerate(
        zip(lines.items(), (_GREY, _BLUE, _ORANGE, _INK) * len(lines), strict=False)
    ):
        at = np.array([*points]) * 1.015**place  # side by side: intervals would cover each other
        value, low, high = np.array([*points.values()]).T
        axes.errorbar(
            at, value, (value - low, high - value), fmt="o-", color=color, label=name, capsize=3
        )
    counts = sorted({count for points in lines.values() for count in points})
    axes.set(xscale="log", xlabel=counted, ylabel=score)
    axes.set_xticks(counts, [str(count) for count in counts])
    axes.minorticks_off()
    axes.legend(loc="lower right")
    return figure


def _figure(width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    return Figure(figsize=(width, height), layout=layout)


def _grid(
    figure: Figure, rows: int, columns: int, *, widths: Sequence[float] | None = None
) -> NDArray[Any]:
    """Returns invisible axes, shape (rows, columns): what is drawn on is then shown."""
    grid: NDArray[Any] = figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_visible(False)
    return grid


def _show(axes: Axes, image: NDArray[np.generic]) -> None:
    pixels = np.asarray(image)
    first = pixels[..., 0] if pixels.ndim == 3 else pixels
    axes.imshow(first, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_visible(True)
    axes.set(xticks=(), yticks=())
    axes.grid(False)
    axes.spines[:].set_visible(False)


def _label_row(axes: Axes, text: str) -> None:
    _bare(axes)
    axes.set_ylabel(text, rotation=0, ha="right", va="center", labelpad=6)


def _outline(axes: Axes, mask: NDArray[np.generic]) -> None:
    ids = mask[..., 0] if mask.ndim == 3 else mask
    for kind, (_, color, style) in _OUTLINES.items():
        if (ids == kind).any():
            axes.contour(
                ids == kind, levels=[0.5], colors=color, linestyles=[style], linewidths=1.1
            )
