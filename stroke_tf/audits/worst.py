"""The slices that a run answers worst, drawn."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from stroke_tf.files import read_json
from stroke_tf.inference.predict import Predictor, segment_slices
from stroke_tf.manifest import read_folds, read_manifest
from stroke_tf.reporting.figures import figure_gallery, figure_segmentation
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import drawing_of, read_mask_rule, slices_tested

_MOST, _MOST_MASKS = 12, 6


def draw_wrong(
    frame: pd.DataFrame, images: NDArray[np.uint8], masks: NDArray[np.uint8]
) -> dict[str, Figure]:
    """Draws lesion slices that are not called, and others that are, the surest ones first.

    Args:
        frame: That of `Answers`.
        images: uint8 grey, shape (N, S, S), of its slices.
        masks: Class ids, shape (N, S, S), of their truth.
    """
    sure = frame["score"] if "score" in frame else (frame["tp"] + frame["fp"])
    wrong = {
        "lesions-missed-with-their-true-outlines": sure[
            frame["truth"] & ~frame["called"]
        ].sort_values(kind="stable"),
        "false-alarms": sure[~frame["truth"] & frame["called"]].sort_values(
            ascending=False, kind="stable"
        ),
    }
    what = "score {:.3f}" if "score" in frame else "{:.0f} pixels drawn"
    return {
        name: figure_gallery(
            images[chosen],
            [f"{frame['id'][at]}\n{what.format(sure[at])}" for at in chosen],
            masks=masks[chosen],
        )
        for name, ranked in wrong.items()
        if len(chosen := ranked.index[:_MOST].to_numpy())
    }


def draw_worst_masks(frame: pd.DataFrame, run: Path, records: Path) -> Figure | None:
    """Draws the lesion slices of least Dice, of equal ones the largest first, as the run does.

    Args:
        frame: That of `Answers` with masks.
        run: Folder of the finished run, with its network.
        records: Folder of its records.

    Returns:
        None where no slice has a lesion.
    """
    dice = 2 * frame["tp"] / (2 * frame["tp"] + frame["fp"] + frame["fn"])
    ranked = pd.DataFrame({"id": frame["id"], "dice": dice, "area": frame["tp"] + frame["fn"]})
    ranked = ranked[frame["truth"]].sort_values(["dice", "area"], ascending=[True, False])
    worst = ranked.head(_MOST_MASKS).set_index("id")["dice"]
    if worst.empty:
        return None
    ids = list(worst.index)
    settings = read_json(run / "config.json")
    folds = {row.fold for row in read_folds(records) if row.source_id in ids}
    view, smooth = settings.get("view", "windows"), settings.get("smooth_slices", 0.0)
    tested = UnetRun(
        records=records,
        image_size=settings["image_size"],
        lesions_only=settings["lesions_only"] or (view == "windows" and not smooth),
        view=view,
        smooth_slices=smooth,
    )
    slices = slices_tested(
        tested,
        tuple(fold.fold for fold in read_manifest(records).folds if str(fold.fold) in folds),
        ids,
    )
    network = keras.models.load_model(run / "model.keras", compile=False)
    predictor = Predictor(network, mirror=settings["mirror_test"])
    drawn = segment_slices(predictor, slices, rule=read_mask_rule(run), **drawing_of(tested))
    known = {name: place for place, name in reversed([*enumerate(drawn.ids)])}
    shown = sorted(known[name] for name in known if name in worst)  # the first of its copies
    titles = [f"{drawn.ids[place]}: Dice {worst[drawn.ids[place]]:.2f}" for place in shown]
    panels = (drawn.images[shown], drawn.truth[shown], drawn.predicted[shown])
    return figure_segmentation(*panels, titles)
