"""The figure of a cross-validated U-Net: worst, typical and best slices of each lesion class."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import keras
import numpy as np
from matplotlib.figure import Figure

from stroke_tf.inference.predict import Predictor, segment_slices
from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.reporting.figures import figure_segmentation
from stroke_tf.runs.cross_validation import CrossValidatedMasks
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.unet import drawing_of, read_mask_rule, slices_tested

_PLACES = {"worst": (0.0, 0.05), "typical": (0.45, 0.55), "best": (0.95, 1.0)}
"""Where in the order of their Dice slices are taken from: shares of the slices below."""


def draw_ranked(result: CrossValidatedMasks) -> Figure:
    """Draws slices of each lesion class by the Dice of that class, the worst ones first.

    Args:
        result: What `cross_validate` gave.
    """
    columns = [list(_ranked(result, kind)) for kind in LESION_CLASSES]
    beside = itertools.zip_longest(*(column for column in columns if column))
    chosen = {name: title for pair in beside for name, title in filter(None, pair)}
    panels = _segment(result, list(chosen))
    images, truth, predicted = zip(*(panels[name] for name in chosen), strict=True)
    return figure_segmentation(images, np.stack(truth), np.stack(predicted), list(chosen.values()))


def _ranked(result: CrossValidatedMasks, kind: StrokeType) -> Iterator[tuple[str, str]]:
    """Yields the id and the title of slices that show a lesion of a class."""
    name = kind.name.lower()
    tp, fp, fn = (result.frame[f"{name}_{cell}"] for cell in ("tp", "fp", "fn"))
    dice = (2 * tp / (2 * tp + fp + fn))[tp + fn > 0].sort_values(kind="stable")
    seen = set()
    for title, shares in _PLACES.items():
        for place in (round(share * (len(dice) - 1)) for share in shares):
            if place not in seen and len(dice):
                seen.add(place)
                source_id = result.frame["id"][dice.index[place]]
                yield source_id, f"{title}, {source_id}: Dice {dice.iloc[place]:.2f}"


def _segment(
    result: CrossValidatedMasks, ids: list[str]
) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Returns image, truth and prediction of slices by id, each by the network of its part."""
    chosen = result.frame[result.frame["id"].isin(ids)]
    panels: dict = {}
    for part in chosen["part"].unique():
        run = result.runs[part]
        folder = folder_of(run)
        model = keras.models.load_model(folder.model, compile=False)
        drawn = segment_slices(
            Predictor(model, mirror=run.mirror_test),
            slices_tested(run, run.test_folds, ids),
            rule=read_mask_rule(folder.path),
            **drawing_of(run),
        )
        parts = zip(drawn.ids, drawn.images, drawn.truth, drawn.predicted, strict=True)
        panels |= {name: tuple(pictures) for name, *pictures in parts}
    return panels
