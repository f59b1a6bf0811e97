"""The figure of Grad-CAM heatmaps, following the conventions of `stroke_tf.reporting.figures`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

_COLUMNS = 3
_HEAT = ListedColormap(["#ff7f0e"])  # one hue: the palette of a saved figure shows it smoothly
_LINE = "#ffb347"
_LEVELS: dict[float, Any] = {0.5: (0, (3, 2)), 0.8: "-"}


def figure_grad_cam(
    images: Sequence[NDArray[np.generic]] | NDArray[np.generic],
    heatmaps: ArrayLike,
    titles: Sequence[str],
) -> Figure:
    """Draws each slice twice: plain, and with its heatmap over it.

    Args:
        images: N slices, as for `figure_predictions`.
        heatmaps: Shape (N, H, W), in [0, 1], from `grad_cam`.
        titles: One title for each slice.

    Raises:
        ValueError: If there is not one heatmap and one title for each slice.
    """
    heatmaps = np.asarray(heatmaps)
    if not len(images) == len(heatmaps) == len(titles):
        received = len(images), len(heatmaps), len(titles)
        raise ValueError(f"Images, heatmaps and titles must be as many. Received: {received}")
    columns = min(_COLUMNS, max(1, len(titles)))
    rows = -(-max(1, len(titles)) // columns)
    figure = Figure(figsize=(3.6 * columns, 1.9 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, 3 * columns, squeeze=False, width_ratios=(1, 1, 0.08) * columns)
    for axes in grid.flat:
        axes.set_axis_off()
    for image, heatmap, title, (plain, overlaid, _) in zip(
        images, heatmaps, titles, grid.reshape(-1, 3), strict=False
    ):
        pixels = image[..., 0] if image.ndim == 3 else image
        for axes in (plain, overlaid):
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
        # Opaque in proportion to the heat: what is cold stays a plain CT slice.
        overlaid.imshow(heatmap, cmap=_HEAT, alpha=0.5 * heatmap, interpolation="antialiased")
        _outline(overlaid, heatmap)
        plain.set_title(title, fontsize=8, loc="left")
    lines = [
        Line2D([], [], color=_LINE, linestyle=style, label=f"{level:.0%} of the slice's maximum")
        for level, style in _LEVELS.items()
    ]
    figure.legend(handles=lines, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return figure


def _outline(axes: Axes, heatmap: NDArray[np.floating]) -> None:
    for level, style in _LEVELS.items():
        if heatmap.min() < level < heatmap.max():
            axes.contour(heatmap, levels=[level], colors=_LINE, linestyles=[style], linewidths=1.1)
