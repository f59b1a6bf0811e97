"""The results of a prediction for each series as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stroke_tf.deploy.outputs import SliceRow, WrittenMasks
from stroke_tf.deploy.volumes import StudyVolumes, study_volumes
from stroke_tf.reading.inputs import Series

if TYPE_CHECKING:
    from stroke_tf.deploy.model import StrokeModel
    from stroke_tf.records import Pixels


@dataclass(frozen=True)
class Study:
    """One series.

    Attributes:
        series: Its name.
        is_series: Whether the order of its slices means something.
        rows: Its slices.
        notes: What is out of the ordinary about the series, or was done for the model.
        volumes: Its lesions in three dimensions; None without masks or places of slices.
    """

    series: str
    is_series: bool
    rows: tuple[SliceRow, ...]
    notes: tuple[str, ...]
    volumes: StudyVolumes | None

    @property
    def matter(self) -> tuple[int, ...]:
        """The places of slices that are positive or have a lesion."""
        return tuple(place for place, row in enumerate(self.rows) if row.matters)

    def to_json(self) -> dict[str, Any]:
        """Returns the series as studies.json has it; slices are counted from 1."""
        return {
            "series": self.series,
            "is_series": self.is_series,
            "slices": len(self.rows),
            "slices_that_matter": [
                {"slice": place + 1, "file": self.rows[place].file} for place in self.matter
            ],
            "notes": self.notes,
            **_volumes_to_json(self.volumes),
        }


def study_of(series: Series, rows: Sequence[SliceRow], *, out: Path, model: StrokeModel) -> Study:
    """Returns the results of a series whose slices are done; reads its masks again."""
    notes = (*series.notes, *_notes(series, rows, model))
    draws = model.description.draws_masks
    volumes = study_volumes(series, WrittenMasks(out, rows)) if draws else None
    return Study(series.name, series.is_series, tuple(rows), notes, volumes)


def model_notes(series: Series, model: StrokeModel) -> tuple[str, ...]:
    """Returns notes for the user on how a model answers the slices of a series."""
    kind: Pixels = "gray8" if series.slices[0].frame is None else "hu16"
    return model.notes_for(kind, series=series.is_series)


def _volumes_to_json(volumes: StudyVolumes | None) -> dict[str, Any]:
    if volumes is None:
        return {"volumes_ml": None}
    return {
        "volumes_ml": {name: round(ml, 3) for name, ml in volumes.ml.items()},
        "volumes_rule": volumes.rule,
        "lesions": [
            {
                "class": one.kind,
                "ml": round(one.ml, 3),
                "first_slice": one.first + 1,
                "last_slice": one.last + 1,
                "largest_on_slice": one.largest + 1,
                "diameter_mm": round(one.diameter_mm, 1),
                "centroid_mm": [round(value, 1) for value in one.centroid_mm],
            }
            for one in volumes.lesions
        ],
    }


def _notes(series: Series, rows: Sequence[SliceRow], model: StrokeModel) -> Iterator[str]:
    yield from model_notes(series, model)
    if repaired := sum(bool(row.note) for row in rows):
        yield f"{repaired} slices were read otherwise than their headers say: predictions.csv"
    if unread := sum(bool(row.fault) for row in rows):
        yield f"{unread} slices could not be read: they count as without lesion"
