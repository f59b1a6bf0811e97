"""Slices in their order: a series sorted along the normal of its planes, and where its slices lie.

Knows what a header says of place and order. How files are found stands in `inputs.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stroke_tf.manifest import natural_key
from stroke_tf.reading.input_slice import InputSlice, PlacedSlice

SAME_PLACE_MM = 0.01
_EVEN_MM = 0.1
WIDEST_GAP = 4
"""A wider gap counts as so many usual distances of slices: nobody knows what lies in it."""

_STRAIGHT_DEG = 0.5
_SHOWN = 3  # examples in a note


@dataclass(frozen=True)
class Geometry:
    """Where the slices of a series lie, in mm.

    Attributes:
        row_mm: Distance of rows.
        column_mm: Distance of columns.
        positions_mm: Of each slice along the normal of its plane, ascending.
        thickness_mm: Of each slice, for volumes: half the distance to each neighbour. An end slice
            reaches as far outwards as inwards, slices at one position share theirs, and where
            slices are missing their neighbours stand for them, up to `WIDEST_GAP` usual distances.
        corners_mm: The centre of the first pixel of each slice, in the patient's axes.
        axes: Directions of a row and of a column, three numbers each, in the patient's axes.
        tilt_deg: Angle between the planes and the patient's axial plane.
        shear_deg: Angle between the steps from slice to slice and the normal.
        is_uneven: Whether distances differ by more than 0.1 mm.
        is_assumed: Whether no header says positions, so that the nominal distance stands for them.
    """

    row_mm: float
    column_mm: float
    positions_mm: tuple[float, ...]
    thickness_mm: tuple[float, ...]
    corners_mm: tuple[tuple[float, ...], ...]
    axes: tuple[float, ...]
    tilt_deg: float
    shear_deg: float
    is_uneven: bool
    is_assumed: bool = False


@dataclass(frozen=True)
class Series:
    """Slices that belong together.

    Attributes:
        name: `series-001` and so on, by the first file; safe as a file name.
        slices: From the feet to the head; loose pictures by name, numbers in it by value.
        geometry: Where they lie; None where unknown.
        notes: What is out of the ordinary, in words, without text of a header.
        is_series: Whether the order means something; False for loose pictures.
    """

    name: str
    slices: tuple[InputSlice, ...]
    geometry: Geometry | None
    notes: tuple[str, ...]
    is_series: bool


def pictures_as_series(name: str, slices: Sequence[InputSlice]) -> Series:
    """Returns loose pictures, sorted by name."""
    ordered = sorted(slices, key=lambda slice_: natural_key(slice_.name))
    return Series(name, tuple(ordered), None, (), is_series=False)


def stack_as_series(name: str, stack: Sequence[PlacedSlice], notes: Sequence[str] = ()) -> Series:
    """Returns the slices of a stack as a series, sorted along the normal of their planes.

    Args:
        name: Name of the series.
        stack: Slices that fit each other.
        notes: What is known already.
    """
    first = stack[0]
    normal = _normal(first.axes)
    if normal is None or not first.corner_mm:
        ordered = sorted(stack, key=lambda placed: (placed.number, natural_key(placed.slice.name)))
        geometry, told = _assumed(ordered)
        return Series(
            name, tuple(placed.slice for placed in ordered), geometry, (*notes, *told), True
        )
    heights = {id(placed): float(np.dot(normal, placed.corner_mm)) for placed in stack}
    ordered = sorted(
        stack,
        key=lambda placed: (
            round(heights[id(placed)], 2),
            placed.number,
            natural_key(placed.slice.name),
        ),
    )
    positions = [heights[id(placed)] for placed in ordered]
    slices = tuple(
        replace(placed.slice, position_mm=position)
        for placed, position in zip(ordered, positions, strict=True)
    )
    geometry, told = _measured(ordered, np.maximum.accumulate(positions), normal)
    return Series(name, slices, geometry, (*notes, *told), is_series=True)


def split_repeats(stack: Sequence[PlacedSlice]) -> list[list[PlacedSlice]]:
    """Returns the stacks that a stack consists of, each with one slice at a position.

    There are several if all positions have the same number of slices: phases or reconstructions
    under one SeriesInstanceUID, told apart by InstanceNumber. Any other stack is returned whole.
    """
    normal = _normal(stack[0].axes)
    if normal is None or not stack[0].corner_mm:
        return [[*stack]]
    places: dict[int, list[PlacedSlice]] = {}
    for one in sorted(stack, key=lambda placed: (placed.number, natural_key(placed.slice.name))):
        height = float(np.dot(normal, one.corner_mm))
        places.setdefault(round(height / SAME_PLACE_MM), []).append(one)
    if len({len(slices) for slices in places.values()}) > 1 or len(places) == 1:
        return [[*stack]]
    return [[*one] for one in zip(*places.values(), strict=True)]


def thickness_of(positions_mm: NDArray[np.float64], nominal_mm: float) -> NDArray[np.float64]:
    """Returns the thickness of each slice along the normal, see `Geometry.thickness_mm`.

    Args:
        positions_mm: Shape (N,), ascending.
        nominal_mm: What one position alone stands for.
    """
    place = np.cumsum(np.diff(positions_mm, prepend=positions_mm[0]) > SAME_PLACE_MM)
    places = positions_mm[np.unique(place, return_index=True)[1]]
    steps = np.diff(places)
    if len(steps):
        steps = np.minimum(steps, WIDEST_GAP * _usual(steps))
        each = (np.concatenate([steps[:1], steps]) + np.concatenate([steps, steps[-1:]])) / 2
    else:
        each = np.array([nominal_mm])
    return each[place] / np.bincount(place)[place]


def _normal(axes: tuple[float, ...]) -> NDArray[np.float64] | None:
    """Returns the unit normal that points to the head; None where there are no two axes."""
    if len(axes) != 6:
        return None
    normal = np.cross(axes[:3], axes[3:])
    length = np.linalg.norm(normal)
    if length < 0.5:
        return None
    return normal / length * (1 if normal[2] >= 0 else -1)


def _assumed(ordered: Sequence[PlacedSlice]) -> tuple[Geometry | None, list[str]]:
    """Returns a geometry of nominal distances, for slices without positions."""
    notes = ["no ImagePositionPatient: in the order of InstanceNumber, then of names"]
    nominal = [placed.nominal_mm or 0.0 for placed in ordered]
    if not ordered[0].spacing_mm or min(nominal) <= 0:
        return None, [*notes, "no volumes: PixelSpacing or a distance of slices is missing"]
    notes.append(
        "volumes take the nominal distance of slices (SpacingBetweenSlices, SliceThickness)"
    )
    positions = np.cumsum(nominal) - nominal[0]
    row, column = ordered[0].spacing_mm
    return (
        Geometry(
            row_mm=row,
            column_mm=column,
            positions_mm=tuple(map(float, positions)),
            thickness_mm=tuple(nominal),
            corners_mm=tuple((0.0, 0.0, float(position)) for position in positions),
            axes=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
            tilt_deg=0.0,
            shear_deg=0.0,
            is_uneven=bool(np.ptp(nominal) > _EVEN_MM),
            is_assumed=True,
        ),
        notes,
    )


def _measured(
    ordered: Sequence[PlacedSlice], positions: NDArray[np.float64], normal: NDArray[np.float64]
) -> tuple[Geometry | None, list[str]]:
    """Returns the geometry that the headers say, and what is out of the ordinary."""
    steps = np.diff(positions)
    apart = steps[steps > SAME_PLACE_MM]
    uneven = bool(len(apart) and np.ptp(apart) > _EVEN_MM)
    tilt = float(np.degrees(np.arccos(min(abs(normal[2]), 1.0))))
    shear = _shear(ordered, normal)
    mirrored = np.cross(ordered[0].axes[:3], ordered[0].axes[3:])[2] < 0
    notes = [
        *(["mirrored: seen from the head, not from the feet"] if mirrored else []),
        *_notes_of_tilt(tilt, shear, ordered[0].gantry_deg),
        *_notes_of_steps(ordered, steps, uneven),
    ]
    nominal = ordered[0].nominal_mm
    if not ordered[0].spacing_mm or (not len(apart) and not nominal):
        return None, [*notes, "no volumes: PixelSpacing or a distance of slices is missing"]
    row, column = ordered[0].spacing_mm
    geometry = Geometry(
        row_mm=row,
        column_mm=column,
        positions_mm=tuple(map(float, positions)),
        thickness_mm=tuple(map(float, thickness_of(positions, nominal or 0.0))),
        corners_mm=tuple(placed.corner_mm for placed in ordered),
        axes=ordered[0].axes,
        tilt_deg=tilt,
        shear_deg=shear,
        is_uneven=uneven,
    )
    return geometry, notes


def _shear(ordered: Sequence[PlacedSlice], normal: NDArray[np.float64]) -> float:
    way = np.subtract(ordered[-1].corner_mm, ordered[0].corner_mm)
    along = float(np.dot(way, normal))
    across = float(np.linalg.norm(way - along * normal))
    return float(np.degrees(np.arctan2(across, along))) if along > SAME_PLACE_MM else 0.0


def _notes_of_tilt(tilt: float, shear: float, gantry: float) -> list[str]:
    notes = []
    if tilt > _STRAIGHT_DEG:
        notes.append(f"tilted by {tilt:.1f} degrees: distances are taken along the normal")
    if shear > _STRAIGHT_DEG:
        notes.append(f"sheared by {shear:.1f} degrees: each slice lies shifted against the next")
    if abs(gantry) > _STRAIGHT_DEG >= tilt:
        notes.append(
            f"GantryDetectorTilt says {gantry:.1f} degrees, the planes are upright: believed are "
            "the planes; volumes may be too large by "
            f"{100 / np.cos(np.radians(gantry)) - 100:.0f} %"
        )
    return notes


def _notes_of_steps(
    ordered: Sequence[PlacedSlice], steps: NDArray[np.float64], uneven: bool
) -> list[str]:
    apart = steps[steps > SAME_PLACE_MM]
    notes = []
    if uneven:
        notes.append(f"spacing is uneven: {apart.min():.2f} to {apart.max():.2f} mm")
    usual = _usual(apart) if len(apart) else 0.0
    gaps = []
    for place, step in enumerate(steps):
        if missing := _missing(float(step), usual, ordered[place], ordered[place + 1]):
            what = "1 slice is" if missing == 1 else f"{missing} slices are"
            gaps.append(f"{what} missing between slices {place + 1} and {place + 2}")
    names = [placed.slice.name for placed in ordered]
    twice = [
        f"{names[place]} and {names[place + 1]} lie at one position"
        for place in np.flatnonzero(steps <= SAME_PLACE_MM)
    ]
    return [*notes, *_some(gaps), *_some(twice)]


def _usual(steps: NDArray[np.float64]) -> float:
    """Returns the median distance of slices, of two middle ones the smaller: gaps are larger."""
    return float(np.sort(steps)[(len(steps) - 1) // 2])


def _missing(step: float, usual: float, below: PlacedSlice, above: PlacedSlice) -> int:
    """Returns how many slices would fill a step: none where the slices themselves are as thick."""
    if usual <= 0 or step < 1.5 * max(usual, below.thickness_mm or 0, above.thickness_mm or 0):
        return 0
    count = step / usual
    return round(count) - 1 if abs(count - round(count)) < 0.2 else 0


def _some(notes: list[str]) -> list[str]:
    more = len(notes) - _SHOWN
    return [*notes[:_SHOWN], f"and {more} more like the last"] if more > 0 else notes
