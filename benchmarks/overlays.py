"""Dice of the masks that two rules recover from painted overlays, against the true masks.

    python -m benchmarks.overlays --data <open_stroke_ct>

Ours is `difference`; the other is the red-hue rule of the USTH report (section II-B).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import cv2
import numpy as np
import tyro

from benchmarks._side_by_side import dice, open_data, tell, timed
from data_tools.options import MaskMethod
from data_tools.overlays import mask_from_overlay
from stroke_tf.labels import StrokeType
from stroke_tf.reading.mask_pictures import mask_from_colours

if TYPE_CHECKING:
    import pandas as pd

FOLDERS = {StrokeType.ISCHEMIA: "ISKEMI", StrokeType.HEMORRHAGE: "KANAMA"}
METHODS: tuple[MaskMethod, MaskMethod] = ("difference", "usth-hsv")


@dataclass(frozen=True)
class Config:
    """Settings of the comparison.

    Attributes:
        data: Folder that holds `TRAINING/{ISKEMI,KANAMA}/{PNG,MASK,OVERLAY}`.
        quick: Only every fourth slice.
    """

    data: Path = open_data("open_stroke_ct")
    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False


def compare(config: Config) -> pd.DataFrame:
    """Returns a row for each slice and rule: class, method, Dice of that class, CPU milliseconds.

    Raises:
        FileNotFoundError: If the folder holds no overlays.
    """
    import pandas as pd

    files = [
        (stroke_type, file)
        for stroke_type, folder in FOLDERS.items()
        for file in sorted((config.data / "TRAINING" / folder / "OVERLAY").glob("*.png"))
    ][:: 4 if config.quick else 1]
    if not files:
        raise FileNotFoundError(
            f"`data` must hold TRAINING/*/OVERLAY/*.png. Received: {config.data}"
        )
    return pd.DataFrame([row for stroke_type, file in files for row in _scores(file, stroke_type)])


def _scores(file: Path, stroke_type: StrokeType) -> Iterator[dict[str, Any]]:
    overlay = _read_rgb(file)
    picture = _read_rgb(file.parents[1] / "PNG" / file.name)[..., 0]
    truth = mask_from_colours(_read_rgb(file.parents[1] / "MASK" / file.name), name=file.name)
    for method in METHODS:
        options = {"method": method, "stroke_type": stroke_type, "name": file.name}
        took = timed(lambda: mask_from_overlay(overlay, picture, **options))  # noqa: B023
        of_class = dice(took.value == stroke_type, truth == stroke_type)
        name = stroke_type.name.lower()
        yield {"class": name, "method": method, "dice": of_class, "ms": 1e3 * took.cpu}


def _read_rgb(file: Path) -> np.ndarray:
    bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
    if bgr is None:
        raise FileNotFoundError(f"{file} must be a picture that can be read")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


def main(config: Config) -> None:
    """Prints the table and, last, one line of JSON."""
    import pandas as pd

    scores = compare(config)
    both = scores.assign(**{"class": " + ".join(scores["class"].unique())})
    parts = pd.concat([scores, both]) if scores["class"].nunique() > 1 else scores
    rows = [
        (
            *of,
            f"{len(part)}",
            f"{part.dice.mean():.4f}",
            f"{part.dice.min():.4f}",
            f"{part.ms.median():.1f}",
        )
        for of, part in parts.groupby(["class", "method"], sort=False)
    ]
    ours, other = scores.groupby("method")["dice"].mean()[list(METHODS)]
    result = {"name": "overlays", "ours": round(ours, 5), "other": round(other, 5)}
    result |= {"ratio": round(ours / other, 4), "unit": "Dice", "n": len(scores) // len(METHODS)}
    heading = ("class", "rule", "slices", "mean", "min", "CPU ms (median)")
    tell("Masks from overlays, Dice against the true masks", heading, rows, result)


if __name__ == "__main__":
    main(tyro.cli(Config, prog="python -m benchmarks.overlays", description=__doc__))
