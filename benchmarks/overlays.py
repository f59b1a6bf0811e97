"""Dice of the masks that two rules recover from painted overlays, against the true masks.

    python -m benchmarks.overlays --data <open_stroke_ct>

Ours is `difference`; the other is the red-hue rule of the USTH report (section II-B).
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from data_tools.options import MaskMethod
from data_tools.overlays import mask_from_overlay
from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.reading.mask_pictures import mask_from_colours

FOLDERS = {StrokeType.ISCHEMIA: "ISKEMI", StrokeType.HEMORRHAGE: "KANAMA"}
METHODS: tuple[MaskMethod, MaskMethod] = ("difference", "usth-hsv")


@dataclass(frozen=True)
class Config:
    """What to compare.

    Attributes:
        data: Folder that holds `TRAINING/{ISKEMI,KANAMA}/{PNG,MASK,OVERLAY}`.
        quick: Only every fourth slice.
    """

    data: Path = Path(os.environ.get("STROKE_TF_OPEN_DATA", ".")) / "open_stroke_ct"
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


@dataclass(frozen=True)
class Score:
    """How one rule did on one slice: Dice of the lesion's class, and CPU time in milliseconds."""

    stroke_type: StrokeType
    method: MaskMethod
    dice: float
    milliseconds: float


def compare(config: Config) -> list[Score]:
    """Returns a score for each slice and rule.

    Raises:
        FileNotFoundError: If the folder holds no overlays.
    """
    files = [
        (stroke_type, file)
        for stroke_type, folder in FOLDERS.items()
        for file in sorted((config.data / "TRAINING" / folder / "OVERLAY").glob("*.png"))
    ][:: 4 if config.quick else 1]
    if not files:
        raise FileNotFoundError(
            f"`data` must hold TRAINING/*/OVERLAY/*.png. Received: {config.data}"
        )
    return [score for stroke_type, file in files for score in _scores(file, stroke_type)]


def _scores(file: Path, stroke_type: StrokeType) -> list[Score]:
    overlay = _read_rgb(file)
    picture = _read_rgb(file.parents[1] / "PNG" / file.name)[..., 0]
    truth = mask_from_colours(_read_rgb(file.parents[1] / "MASK" / file.name), name=file.name)
    scores = []
    for method in METHODS:
        start = time.process_time()
        mask = mask_from_overlay(
            overlay, picture, method=method, stroke_type=stroke_type, name=file.name
        )
        elapsed = 1e3 * (time.process_time() - start)
        scores.append(Score(stroke_type, method, _dice(mask, truth, stroke_type), elapsed))
    return scores


def _read_rgb(file: Path) -> np.ndarray:
    bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if bgr is None:
        raise FileNotFoundError(f"{file} must be a picture that can be read")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def _dice(mask: np.ndarray, truth: np.ndarray, class_id: int) -> float:
    found, real = mask == class_id, truth == class_id
    return 2 * np.count_nonzero(found & real) / (np.count_nonzero(found) + np.count_nonzero(real))


def _table(scores: list[Score]) -> Table:
    table = Table(title="Masks from overlays, Dice against the true masks")
    for column in ("class", "rule", "slices", "mean", "min", "CPU ms (median)"):
        table.add_column(column, justify="left" if column in ("class", "rule") else "right")
    for classes in ((LESION_CLASSES[0],), (LESION_CLASSES[1],), LESION_CLASSES):
        for method in METHODS:
            of = [s for s in scores if s.method == method and s.stroke_type in classes]
            dice = [score.dice for score in of]
            table.add_row(
                " + ".join(one.name.lower() for one in classes),
                method,
                str(len(of)),
                f"{np.mean(dice):.4f}" if of else "-",
                f"{min(dice):.4f}" if of else "-",
                f"{np.median([score.milliseconds for score in of]):.1f}" if of else "-",
            )
    return table


def main(config: Config) -> None:
    """Prints the table and, last, one line of JSON."""
    scores = compare(config)
    Console().print(_table(scores))
    ours, other = (
        float(np.mean([score.dice for score in scores if score.method == method]))
        for method in METHODS
    )
    result = {"name": "overlays", "ours": round(ours, 5), "other": round(other, 5)}
    result |= {"ratio": round(ours / other, 4), "unit": "Dice", "n": len(scores) // len(METHODS)}
    print(json.dumps(result))


if __name__ == "__main__":
    main(tyro.cli(Config, prog="python -m benchmarks.overlays", description=__doc__))
