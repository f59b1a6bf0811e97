"""The files that hold a whole prediction: table, studies, faults and the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stroke_tf.deploy.outputs import SliceRow, write_csv, write_predictions
from stroke_tf.deploy.prediction_page import WARNING, write_page
from stroke_tf.deploy.studies import Study
from stroke_tf.files import write_json
from stroke_tf.zoo.shipped import listed

if TYPE_CHECKING:
    from stroke_tf.deploy.description import ModelDescription

FAULTS_NAME = "faults.csv"
_RULES: Mapping[str, str] = {
    "top": "the mean of its highest probabilities",
    "area": "the area that it draws",
    "lesion": "its surest lesion",
    "regression": "a regression on its highest probabilities, its area and its surest lesion",
}


@dataclass(frozen=True)
class PredictionResult:
    """The result of a prediction.

    Attributes:
        out: Its folder.
        studies: Each series.
        left_out: Name and reason of what is no input, such as localizers.
        faults: Name and reason of what could not be read.
        skipped: Slices that were done before.
        seconds: The time it took.
    """

    out: Path
    studies: tuple[Study, ...]
    left_out: tuple[tuple[str, str], ...]
    faults: tuple[tuple[str, str], ...]
    skipped: int = 0
    seconds: float = 0.0

    @property
    def rows(self) -> tuple[SliceRow, ...]:
        """Each slice, in the order of series."""
        return tuple(row for study in self.studies for row in study.rows)

    def summary(self) -> dict[str, Any]:
        """Returns the numbers, for machines."""
        done = [row for row in self.rows if not row.fault]
        return {
            "out": str(self.out),
            "slices": len(done),
            "skipped": self.skipped,
            "positive": sum(bool(row.positive) for row in done),
            "with_lesion": sum(any(row.lesion_px.values()) for row in done),
            "seconds": round(self.seconds, 1),
            "left_out": [{"file": name, "reason": reason} for name, reason in self.left_out],
            "faults": [{"file": name, "reason": reason} for name, reason in self.faults],
            "series": [study.to_json() for study in self.studies],
        }


def write_results(
    result: PredictionResult, *, identity: Mapping[str, Any], described: ModelDescription
) -> None:
    """Writes the files on the whole prediction, not on single slices.

    Args:
        result: What was found.
        identity: All that decides the result, except the inputs.
        described: The model.
    """
    out = result.out
    write_predictions(out / "predictions.csv", result.rows)
    told = {"warning": WARNING, **identity, "series": [study.to_json() for study in result.studies]}
    write_json(out / "studies.json", told)
    listed = [
        *((name, "fault", reason) for name, reason in result.faults),
        *((name, "left out", reason) for name, reason in result.left_out),
    ]
    if listed:
        write_csv(out / FAULTS_NAME, ("file", "kind", "reason"), listed)
    else:
        (out / FAULTS_NAME).unlink(missing_ok=True)
    write_page(out, result.studies, about=_about(result, identity, described))


def _about(
    result: PredictionResult, identity: Mapping[str, Any], described: ModelDescription
) -> dict[str, str]:
    """Returns the page's facts on the model and the settings."""
    networks, rule = len(described.networks), described.mask_score_rule
    runs = dict.fromkeys(
        f"{one.experiment}/{one.row}, seed {one.seed}" for one in described.trained_on
    )
    protocols = dict.fromkeys(f"{one.protocol} folds" for one in described.trained_on)
    trained = {"gray8": "8-bit grey", "hu16": "HU", "mixed": "8-bit grey and HU"}
    mirrored = ", each slice also mirrored" if identity["mirror"] else ""
    faults = f", {len(result.faults)} faults" if result.faults else ""
    limits = {"not for": listed(described.limits)} if described.limits else {}
    return {
        **limits,
        "slices": f"{len(result.rows)}{faults}",
        "task": f"{described.task}: {', '.join(described.classes)}",
        "model": f"{networks} network{'s' * (networks != 1)}{mirrored}; {'; '.join(runs)}".rstrip(
            "; "
        ),
        "trained on": ", ".join([trained.get(described.pixels, "not known"), *protocols]),
        **({"score": f"of the mask: {_RULES[rule]}"} if rule else {}),
        "threshold": "none" if described.threshold is None else f"{described.threshold:.3g}",
        "stroke_tf": str(identity["stroke_tf"]),
    }
