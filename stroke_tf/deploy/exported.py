"""The files of an export and `sidecar.json`, which describes the steps before and after them."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stroke_tf.deploy.description import ModelDescription
from stroke_tf.deploy.model import SCORES
from stroke_tf.deploy.raw_pixels import RawModel
from stroke_tf.evaluation.mask_score import TOP_SHARE
from stroke_tf.fast.runtimes import FORMATS, IMAGE, Compute, load_litert, write_litert
from stroke_tf.files import write_bytes, write_json
from stroke_tf.labels import MASK, SLICE
from stroke_tf.records import AIR_HU

SIDECAR_NAME = "sidecar.json"
SIDECAR_SCHEMA_VERSION = 1
INT8 = "litert-int8"
"""The folder of the LiteRT file of whole numbers; those of the others have the format's name."""

_TAKEN = {
    "windows": "the slice",
    "neighbours": "the slice between those before and after, as channels; at the ends itself again",
    "upright": "the head upright and centred, its brain at one grey, in 8-bit grey three times",
}
_SQUARE = (
    "Pad the slice with {air} to a square about its centre; of an odd margin the smaller half "
    "comes before it. Resize it to {size} x {size}: by the mean of areas if it shrinks, bilinearly "
    "with pixel centres if it grows."
)
_UNDO = (
    "Resize `mask` to the side of the square in the same way, cut the margins off, and only then "
    "choose the class of each pixel. {rule}"
)
_TURN_BACK = "`mask` lies as the upright view does: turn it back as the slice was turned. "
_RULE = (
    "A pixel is lesion where 1 - p(background) >= {threshold}, of the likelier of the two classes; "
    "components of one class, joined at corners too, of fewer than {area} pixels at {size} x "
    "{size} are dropped: times (side of the square / {size})^2 at the slice's own size."
)
_LIKELIEST = "Each pixel takes its likeliest class."
_CALIBRATED = "1 / (1 + exp(-logit(score) / temperature)); the threshold is of the score as given."

_MASK_SCORE = (
    "The threshold and the temperatures are of a score of `mask`, by the rule of mask_scores: of "
    f"1 - p(background) top is the mean of the highest, {TOP_SHARE:.4g} of all pixels; "
    "stroke_tf.evaluation.mask_score states the others."
)


def write_files(
    raw: RawModel, out: Path, formats: Sequence[str], *, calibration: Sequence[np.ndarray]
) -> None:
    """Writes a folder for each format; each file is whole or not there.

    Args:
        raw: The networks.
        out: The export's folder.
        formats: Keys of FORMATS, or INT8.
        calibration: Inputs, shape (1, S, S, C), that the ranges of INT8 are taken from.
    """
    for name in formats:
        write: Callable[[RawModel, Path], None] = (
            partial(write_litert, calibration=calibration) if name == INT8 else FORMATS[name].write  # type: ignore[index]
        )
        with tempfile.TemporaryDirectory() as folder:
            write(raw, Path(folder))
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    write_bytes(out / name / path.relative_to(folder), path.read_bytes())


def load_file(out: Path, name: str) -> Compute:
    """Returns a function that computes one format of an export."""
    load = load_litert if name == INT8 else FORMATS[name].load  # type: ignore[index]
    return load(out / name)


def files_of(out: Path, name: str) -> list[dict[str, Any]]:
    """Returns name, SHA-256 and bytes of each file of one format."""
    return [
        {
            "name": str(path.relative_to(out)),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "bytes": path.stat().st_size,
        }
        for path in sorted((out / name).rglob("*"))
        if path.is_file()
    ]


def write_sidecar(
    raw: RawModel, out: Path, formats: Sequence[str], model: ModelDescription
) -> None:
    """Writes what a program needs to use the files without this package."""
    size, rule = model.image_size, model.mask_rule
    told = (
        _RULE.format(threshold=rule.threshold, area=rule.min_area_px, size=size)
        if rule
        else _LIKELIEST
    )
    back = _TURN_BACK if model.view == "upright" else ""
    is_hu = model.pixels == "hu16" and model.view != "upright"
    outputs: dict[str, Any] = {}
    if model.draws_masks:
        outputs[MASK] = {"shape": [None, size, size, 3], "probability_of": model.classes}
    if scores := SCORES[model.task]:
        outputs[SLICE] = {"shape": [None, len(scores)], "probability_of": scores}
    values = {
        "schema_version": SIDECAR_SCHEMA_VERSION,
        "input": {
            "name": IMAGE,
            "dtype": "float32",
            "shape": raw.input_shape,
            "pixels": "HU" if is_hu else "grey, 0 to 255",
            "channels": _TAKEN[model.view],
            "square": _SQUARE.format(air=f"{AIR_HU} HU" if is_hu else "0", size=size),
            "windows_inside": model.windows if is_hu else [],
            "window_for_hu": [] if is_hu else model.windows[:1],
        },
        "outputs": outputs,
        "after": {
            "mask": back + _UNDO.format(rule=told) if model.draws_masks else None,
            "mask_rule": rule,
            "mask_scores": model.mask_scores,
            "mask_score": _MASK_SCORE if model.mask_scores else None,
            "threshold": model.threshold,
            "temperatures": model.temperatures,
            "calibrated": _CALIBRATED if model.temperatures else None,
        },
        "not_inside": {"mirror": model.mirror, "smooth_slices": model.smooth_slices},
        "batch": {name: 1 if name.startswith("litert") else "any" for name in formats},
        "files": {name: files_of(out, name) for name in formats},
        "model": model.to_json(),
    }
    write_json(out / SIDECAR_NAME, values)
