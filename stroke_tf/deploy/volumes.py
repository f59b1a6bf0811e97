"""Volumes of lesions in ml, and the lesions of a series in three dimensions.

Knows masks and where slices lie; neither files nor models.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial.distance import pdist

from stroke_tf.labels import StrokeType
from stroke_tf.reading.series import WIDEST_GAP, Geometry, Series

CLASS_NAMES = {StrokeType.ISCHEMIA: "ischaemia", StrokeType.HEMORRHAGE: "haemorrhage"}
"""Names of the classes that have a volume, by their ids in a mask."""

_NEIGHBOURS = np.ones((3, 3, 3), np.int8)
_CORNERS = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)])


@dataclass(frozen=True)
class Lesion:
    """Pixels of one class that touch, by faces, edges or corners, on slices that follow each other.

    Attributes:
        kind: Its class, "ischaemia" or "haemorrhage".
        ml: Its volume.
        first: Place in the series of its lowest slice, the first 0.
        last: Place of its highest slice.
        largest: Place of the slice on which its area is largest.
        diameter_mm: The longest way across it on one slice, from edge to edge of its pixels.
        centroid_mm: Its centre in the patient's axes: left, back and head are positive.
    """

    kind: str
    ml: float
    first: int
    last: int
    largest: int
    diameter_mm: float
    centroid_mm: tuple[float, float, float]


@dataclass(frozen=True)
class StudyVolumes:
    """The lesions of a series.

    Attributes:
        ml: Volume of each class of `CLASS_NAMES`, by name.
        slice_ml: The same for each slice.
        lesions: All lesions, the largest first.
        rule: How volumes were computed and how far they are to be trusted, in words.
    """

    ml: dict[str, float]
    slice_ml: tuple[dict[str, float], ...]
    lesions: tuple[Lesion, ...]
    rule: str


def study_volumes(series: Series, masks: Iterable[np.ndarray | None]) -> StudyVolumes | None:
    """Returns the volumes of a series; None where its slices have no places or pixel sizes.

    Masks may come one by one: only those of slices in a row that have a lesion are held.

    Args:
        series: The series.
        masks: For each of its slices, in order, uint8 class ids of shape (H, W); None for a slice
            without an answer, which counts as without lesion.

    Raises:
        ValueError: If there are not as many masks as slices.
    """
    geometry = series.geometry
    if geometry is None:
        return None
    slice_ml: list[dict[str, float]] = []
    lesions: list[Lesion] = []
    runs: dict[StrokeType, list[NDArray[np.bool_]]] = {kind: [] for kind in CLASS_NAMES}
    for place, mask in enumerate((*masks, None)):  # the last None ends all runs
        areas = {}
        for kind, run in runs.items():
            drawn = None if mask is None else mask == np.uint8(kind)
            areas[CLASS_NAMES[kind]] = 0 if drawn is None else int(np.count_nonzero(drawn))
            if drawn is not None and areas[CLASS_NAMES[kind]]:
                run.append(drawn)
            elif run:
                lesions += _lesions(CLASS_NAMES[kind], run, place - len(run), geometry)
                run.clear()
        if place < len(series.slices):
            ml = _pixel_ml(geometry, place)
            slice_ml.append({name: area * ml for name, area in areas.items()})
    if place != len(series.slices):
        raise ValueError(
            f"`masks` must be one for each slice, {len(series.slices)}. Received: {place}"
        )
    return StudyVolumes(
        ml={name: sum(areas_ml[name] for areas_ml in slice_ml) for name in CLASS_NAMES.values()},
        slice_ml=tuple(slice_ml),
        lesions=tuple(sorted(lesions, key=lambda lesion: -lesion.ml)),
        rule=" ".join(_rule(geometry)),
    )


def _pixel_ml(geometry: Geometry, place: int) -> float:
    return geometry.row_mm * geometry.column_mm * geometry.thickness_mm[place] / 1000


def _lesions(
    name: str, run: Sequence[NDArray[np.bool_]], first: int, geometry: Geometry
) -> Iterator[Lesion]:
    """Yields the lesions on slices in a row, laid over each other as they lie in the patient."""
    shifts = _shifts(geometry, first, len(run))
    (box,) = ndimage.find_objects(np.logical_or.reduce(run).astype(np.int8))
    drawn = np.stack([one[box] for one in run])
    volume = np.zeros(np.add(drawn.shape, (0, *shifts.max(axis=0))), bool)
    for plane, one, (down, right) in zip(volume, drawn, shifts, strict=True):
        plane[down : down + one.shape[0], right : right + one.shape[1]] = one
    labels, _ = ndimage.label(volume, _NEIGHBOURS)
    corner = np.array([box[0].start, box[1].start])
    for label, found in enumerate(ndimage.find_objects(labels), start=1):
        points = np.argwhere(labels[found] == label) + [axis.start for axis in found]
        points[:, 1:] += corner - shifts[points[:, 0]]
        yield _lesion(name, points + (first, 0, 0), geometry)


def _shifts(geometry: Geometry, first: int, count: int) -> NDArray[np.int64]:
    """Returns how many pixels each slice lies down and to the right of the others, from 0 on."""
    corners = np.array(geometry.corners_mm[first : first + count])
    across, down = np.array(geometry.axes[:3]), np.array(geometry.axes[3:])
    pixels = np.stack([corners @ down / geometry.row_mm, corners @ across / geometry.column_mm], 1)
    return np.rint(pixels - pixels.min(axis=0)).astype(np.int64)


def _lesion(name: str, points: NDArray[np.int64], geometry: Geometry) -> Lesion:
    """Returns a lesion of the pixels (place, row, column), shape (N, 3), sorted by place."""
    places, starts, areas = np.unique(points[:, 0], return_index=True, return_counts=True)
    layers = np.split(points[:, 1:], starts[1:])
    ml = areas * [_pixel_ml(geometry, int(place)) for place in places]
    centres = [
        _in_patient(geometry, int(place), layer.mean(axis=0))
        for place, layer in zip(places, layers, strict=True)
    ]
    x, y, z = np.average(centres, axis=0, weights=ml)
    return Lesion(
        kind=name,
        ml=float(ml.sum()),
        first=int(places[0]),
        last=int(places[-1]),
        largest=int(places[areas.argmax()]),
        diameter_mm=max(_diameter(layer, geometry) for layer in layers),
        centroid_mm=(float(x), float(y), float(z)),
    )


def _diameter(pixels: NDArray[np.int64], geometry: Geometry) -> float:
    """Returns the longest way across pixels (row, column), shape (N, 2), of a slice."""
    corners = (pixels[:, None] + _CORNERS).reshape(-1, 2) * (geometry.row_mm, geometry.column_mm)
    hull = cv2.convexHull(corners.astype(np.float32))[:, 0]
    return float(pdist(hull).max())


def _in_patient(geometry: Geometry, place: int, pixel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns where a pixel (row, column) of a slice lies, in the patient's axes."""
    across, down = np.array(geometry.axes[:3]), np.array(geometry.axes[3:])
    row, column = pixel * (geometry.row_mm, geometry.column_mm)
    return np.array(geometry.corners_mm[place]) + row * down + column * across


def _rule(geometry: Geometry) -> Iterator[str]:
    yield (
        "Approximate. A pixel counts its area times the thickness of its slice: half the distance "
        "to each neighbouring slice, at the ends of the series the whole distance to the one."
    )
    if geometry.is_assumed:
        yield "No header says positions: the nominal distance of slices stands for them."
    elif len(geometry.positions_mm) == 1:
        yield "There is one slice alone: it counts its nominal thickness."
    elif max(geometry.tilt_deg, geometry.shear_deg) > 0.5:
        yield "Distances are taken along the normal of the slices, not along the table."
    if geometry.is_uneven:
        yield (
            "Distances of slices are uneven: where slices are missing, their neighbours stand for "
            f"them, up to {WIDEST_GAP} usual distances."
        )
    yield "A lesion is what touches, by faces, edges or corners, on slices that follow each other."
