"""Draws one axial slice of a made-up head in Hounsfield units.

Owns the anatomy: skull, scalp, brain, ventricles. Knows nothing of lesions, scanners or files.

Coordinates are millimetres of the patient: x to one side, y to the front, z to the vertex from a
plane just below the skull base. Smooth fields are computed on a coarse grid of `COARSE` points a
side, whatever the size of the slice, and enlarged: that is what makes a slice take milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data_tools.paint import bounding_box
from data_tools.phantom.shapes import (
    EQUATOR_MM,
    FAR_MM,
    SHAPE_HALF_AXES_MM,
    SHAPES,
    Fields,
    Floats,
    Waves,
    distance_mm,
    grid_mm,
)
from stroke_tf.records import AIR_HU

COARSE = 160
_SULCI = 20  # on the outer surface of one hemisphere
_MEDIAL_SPACING_MM = 13.0


@dataclass(frozen=True)
class Head:
    """One patient's anatomy. Lengths in mm, densities in HU.

    Attributes:
        fov_mm: Side of the square that is scanned.
        half_axes_mm: Half width, half length and height above the equator of the inner table.
        taper: How much narrower the front is, 0 to 0.2.
        harmonics: (3, 2) amplitude and phase of the outline's departures from an ellipse.
        skull_mm: Mean thickness of the skull.
        scalp_mm: Mean thickness of the scalp.
        ventricle_scale: Size of the ventricles, 1 for a usual one.
        atrophy: Width of sulci and CSF rim, 1 for a usual one.
        calcified: Whether the pineal gland and the choroid plexus are calcified.
        grey_hu: Density of grey matter.
        white_hu: Density of white matter.
        csf_hu: Density of CSF.
        cupping_hu: Beam hardening: what is added at the inner table.
        sulci: (128, 2) uniform numbers: depth and width of each sulcus.
        waves: Smooth noise by name: `wobble_x` and `wobble_y` (shape), `texture` and `fine`.
    """

    fov_mm: float
    half_axes_mm: tuple[float, float, float]
    taper: float
    harmonics: Floats
    skull_mm: float
    scalp_mm: float
    ventricle_scale: float
    atrophy: float
    calcified: bool
    grey_hu: float
    white_hu: float
    csf_hu: float
    cupping_hu: float
    sulci: Floats
    waves: dict[str, Waves]


@dataclass(frozen=True)
class Anatomy:
    """One slice before it is posed and scanned.

    Attributes:
        hu: float32 (size, size).
        fields: float32 (COARSE, COARSE) each, in mm: `x`, `y`, `depth` below the inner table,
            `angle` from the front (radians, 0 to pi on both sides), `radius` from the centre,
            and `ventricle` and `bone`, distances that are negative inside.
        z_mm: Height of the slice.
    """

    hu: Floats
    fields: Fields
    z_mm: float


def draw_head(rng: np.random.Generator) -> Head:
    """Returns a random head."""
    scale = rng.uniform(0.94, 1.05)
    shape = rng.uniform(0.97, 1.03)
    width, length, height = SHAPE_HALF_AXES_MM
    half_axes = (width * scale / shape, length * scale * shape, height * scale)
    age = rng.uniform()  # widens ventricles and sulci together
    amplitudes = rng.normal(0, 0.008, 3)
    return Head(
        fov_mm=rng.uniform(225, 245),
        half_axes_mm=half_axes,
        taper=rng.uniform(0.06, 0.14),
        harmonics=np.stack([amplitudes, rng.uniform(0, 2 * np.pi, 3)], axis=1),
        skull_mm=rng.uniform(5.5, 8.5),
        scalp_mm=rng.uniform(4.0, 7.5),
        ventricle_scale=0.85 + 0.65 * age * rng.uniform(0.6, 1.0),
        atrophy=0.6 + 0.9 * age,
        calcified=bool(rng.uniform() < 0.6),
        grey_hu=rng.normal(37, 0.7),
        white_hu=rng.normal(29, 0.7),
        csf_hu=rng.uniform(5, 8),
        cupping_hu=rng.uniform(4, 9),
        sulci=rng.uniform(size=(128, 2)).astype(np.float32),
        waves={
            "wobble_x": Waves.draw(rng, 28, 70),
            "wobble_y": Waves.draw(rng, 28, 70),
            "texture": Waves.draw(rng, 20, 80),
            "fine": Waves.draw(rng, 4, 9),
        },
    )


def enlarge(field: Floats, size: int) -> Floats:
    """Returns a coarse field at (size, size), linearly interpolated, float32."""
    return cv2.resize(field.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR)


def ramp(value: Floats) -> Floats:
    """Returns 0 below -0.5, 1 above 0.5 and a straight line between."""
    return np.clip(value + 0.5, 0, 1)


def draw_anatomy(head: Head, z_mm: float, *, size: int) -> Anatomy:
    """Draws the slice of a head at a height, noiseless and upright, `size` pixels a side."""
    x = grid_mm(head.fov_mm, COARSE)
    fields = _outline(head, x, z_mm) | _parts(head, x, z_mm)
    fields["fissure"] = _fissure(head, fields, z_mm)
    hu = np.full((size, size), AIR_HU, np.float32)
    box = bounding_box(enlarge(fields["skin"], size) > 0) or np.s_[:0, :0]
    full = {
        name: enlarge(field, size)[box]
        for name, field in fields.items()
        if name not in SHAPES or field.min() < FAR_MM  # parts that this slice cuts
    }
    brain = _paint_brain(head, full, z_mm)
    brain = _add_beam_hardening(head, brain, full, z_mm)
    hu[box] = _paint_shell(brain, full)
    return Anatomy(hu=hu, fields=fields, z_mm=z_mm)


def _profile(z_mm: float, height_mm: float) -> float:
    """Returns the scale of the axial section at a height; 1 at the equator."""
    above = (z_mm - EQUATOR_MM) / height_mm
    if above < 0:
        return 1 - 0.35 * above**2
    return max(1 - above**2.3, 1e-3) ** (1 / 2.3)


def _outline(head: Head, x: Floats, z: float) -> Fields:
    """Returns the depths in mm below the inner table, the outer table and the skin, and axes."""
    width, length, height = head.half_axes_mm
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), x[::-1].astype(np.float32))
    angle, radius = np.arctan2(grid_x, grid_y), np.hypot(grid_x, grid_y) + 1e-6
    narrowing = 1 - head.taper * np.clip(grid_y / length, -1.3, 1.3)
    rho = (np.abs(grid_x / (width * narrowing)) ** 2.25 + np.abs(grid_y / length) ** 2.25) ** (
        1 / 2.25
    )
    for order, (amplitude, phase) in enumerate(head.harmonics, start=2):
        rho *= 1 + amplitude * np.cos(order * angle + phase)
    unit = radius / rho
    skull = head.skull_mm * (1 + 0.22 * np.cos(2 * angle) + 0.1 * np.cos(5 * angle + z / 15))
    temporal = np.exp(-(((np.abs(angle) - 1.25) / 0.4) ** 2)) * ramp(np.array((60 - z) / 20))
    scalp = head.scalp_mm * (1 + 0.25 * np.cos(angle + 2.6)) + 5 * temporal
    outer = (_profile(z, height + head.skull_mm) - rho) * unit + skull
    skin = (_profile(z, height + head.skull_mm + head.scalp_mm) - rho) * unit + skull + scalp
    inner = (_profile(z, height) - rho) * unit
    # The crest inside the forehead and the occipital protuberance
    inner -= 2.5 * np.exp(-((grid_x / 4) ** 2)) * (np.abs(grid_y) > 30)
    names = ("x", "y", "angle", "radius", "depth", "outer", "skin", "temporal")
    values = (grid_x, grid_y, np.abs(angle), radius, inner, outer, skin, temporal)
    return dict(zip(names, values, strict=True))


def _parts(head: Head, x: Floats, z: float) -> Fields:
    """Returns the head's noises, and the distance in mm to each entry of SHAPES."""
    noise = {name: wave.at(x, x[::-1], z) for name, wave in head.waves.items()}
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), x[::-1].astype(np.float32))
    scales = np.array(head.half_axes_mm) / SHAPE_HALF_AXES_MM
    point = (
        np.abs((grid_x + noise["wobble_x"]) / float(scales[0])),
        (grid_y + noise["wobble_y"]) / float(scales[1]),
        EQUATOR_MM + (z - EQUATOR_MM) / float(scales[2]),
    )
    sizes = {"ventricle": head.ventricle_scale}
    return noise | {name: distance_mm(name, point, sizes.get(name, 1.0)) for name in SHAPES}


def _fissure(head: Head, fields: Fields, z: float) -> Floats:
    """Returns the distance in mm to the fissure between the hemispheres, large where none is."""
    callosum = np.hypot((fields["y"] + 2) / 40, (z - 56) / 22)
    closed = np.maximum(1.1 - callosum, 0) * 40
    if z < 40:
        closed = closed + np.clip(25 - fields["y"], 0, 20)
    half_width = 0.5 * head.atrophy * (1 + 0.02 * np.abs(fields["y"]))
    return np.abs(fields["x"] + 0.5 * fields["wobble_x"]) - half_width + closed


def _paint_brain(head: Head, full: Fields, z: float) -> Floats:
    surface = _distance_to_surface(head, full)
    grey = ramp((3.6 - surface) / 2.4)
    if "grey" in full:
        grey = np.maximum(grey, ramp(-full["grey"] / 1.2))
    tissue = head.white_hu + (head.grey_hu - head.white_hu) * grey + 0.5 * full["texture"]
    hu = tissue + (head.csf_hu - tissue) * ramp(-surface / 0.8)
    hu = _paint_posterior_fossa(head, hu, full, z)
    for name, value in (
        ("cistern", head.csf_hu),
        ("stem", head.white_hu + 2),
        ("ventricle", head.csf_hu),
    ):
        if name in full:
            hu += (value - hu) * ramp(-full[name])
    falx = ramp((0.2 - np.maximum(full["fissure"], -0.6)) / 0.8)
    falx *= ramp((0.7 - np.abs(full["x"] + 0.5 * full["wobble_x"])) / 0.5)
    hu += (50 - hu) * falx
    sinus = ramp((4 - full["depth"] - np.abs(full["x"])) / 1.5) * (full["y"] < 0)
    hu += (56 - hu) * sinus
    if head.calcified and "calcification" in full:
        hu += (140 - hu) * ramp(-full["calcification"])
    return hu


def _distance_to_surface(head: Head, full: Fields) -> Floats:
    """Returns the distance in mm to the nearest CSF outside the brain; negative in it."""
    x = full["x"] + 5 * full["wobble_x"]
    y = full["y"] + 5 * full["wobble_y"] + 2 * full["texture"]
    side = (full["x"] > 0) * np.int32(32)
    phase = np.arctan2(np.abs(x), y) * (_SULCI / np.pi)
    spacing = np.hypot(x, y) * (np.pi / _SULCI)
    outer = _sulci(head, phase, spacing, 0.8 * full["depth"], side)
    medial_phase = y / _MEDIAL_SPACING_MM + 12
    medial = _sulci(head, medial_phase, _MEDIAL_SPACING_MM, 1.5 * full["fissure"], side + 64)
    rim = full["depth"] - 0.3 - 0.8 * head.atrophy
    surface = np.minimum.reduce([rim, full["fissure"], outer, medial])
    if "sylvian" in full:
        surface = np.minimum(surface, full["sylvian"] + 0.6 - 0.6 * head.atrophy)
    return surface


def _sulci(
    head: Head, phase: Floats, spacing: Floats | float, depth: Floats, offset: Floats
) -> Floats:
    """Returns the distance in mm to clefts of one per unit of `phase`, open at depth 0."""
    number = np.floor(phase)
    index = (number.astype(np.int32) + offset) % np.int32(len(head.sulci))
    deep, wide = head.sulci[:, 0][index], head.sulci[:, 1][index]
    sideways = (phase - number - 0.5) * spacing
    below = np.maximum(depth - 4 - 14 * deep, 0)
    return np.sqrt(sideways**2 + below**2) - head.atrophy * (0.05 + 0.9 * wide**2)


def _paint_posterior_fossa(head: Head, hu: Floats, full: Fields, z: float) -> Floats:
    size = np.sqrt(np.clip((42 - z) / 18, 0, 1))
    if size == 0:
        return hu
    x, y = full["x"], full["y"]
    inside = (1 - np.hypot(x / (52 * size), (y + 46) / (37 * size))) * 40 * size
    ripple = 2 * full["wobble_x"] + 1.5 * full["texture"] + full["fine"]
    folia = np.sin(np.hypot(0.8 * x, y + 15) * (2 * np.pi / 4.5) + ripple)
    cerebellum = head.grey_hu - 3 + 1.2 * folia * ramp((np.abs(x) - 5) / 4)
    rim = full["depth"] - 0.5 - 0.6 * head.atrophy
    cerebellum += (head.csf_hu - cerebellum) * ramp(-rim)
    hu = hu + (cerebellum - hu) * ramp(inside)
    tentorium = ramp((0.7 - np.abs(inside)) / 0.6) * (np.abs(x) > 12)
    return hu + (44 - hu) * tentorium


def _add_beam_hardening(head: Head, hu: Floats, full: Fields, z: float) -> Floats:
    hu = hu + head.cupping_hu * np.exp(-np.maximum(full["depth"], 0) / 7)
    between_petrous = np.exp(-(((full["y"] + 6) / 7) ** 2)) * np.exp(-((full["x"] / 34) ** 2))
    return hu - 1.2 * head.cupping_hu * between_petrous * np.exp(-(((z - 16) / 8) ** 2))


def _paint_shell(hu: Floats, full: Fields) -> Floats:
    """Paints bone, orbits, scalp and air over everything outside the brain."""
    depth, outer, fine = full["depth"], full["outer"], full["fine"]
    diploe = ramp((-depth - 2.0) / 1.2) * ramp((outer - 2.2) / 1.2)
    hu = np.where(depth < 0, 1350 - (750 + 180 * fine) * diploe, hu)
    if "bone" in full:
        base = (full["bone"] < 0) & (outer > 1)
        mastoid_cells = (np.abs(full["x"]) > 34) & (fine > 0.2) & (full["bone"] < -2)
        hu = np.where(base, np.where(mastoid_cells, -700, 900 + 200 * fine), hu)
    if "orbit" in full:
        wall, inside = (full["orbit"] < 0) & (outer > 2), (full["orbit"] < -2.5) & (outer > 2)
        hu = np.where(wall, np.where(inside, -80 + 8 * full["texture"], 900), hu)
        if "globe" in full:
            hu = np.where(inside & (full["globe"] < 0), 12, hu)
    if "sinus" in full:
        hu = np.where((full["sinus"] < 0) & (outer > 2) & (depth < -1), -950, hu)
    return np.where(outer < 0, _scalp(full), hu)


def _scalp(full: Fields) -> Floats:
    """Returns HU: skin, fat, and muscle on the bone, thickest at the temples; air outside."""
    muscle = ramp(full["outer"] + 2 + 6 * full["temporal"])
    skin = ramp((1.6 - full["skin"]) / 0.8)
    soft = -95 + 145 * np.maximum(muscle, skin) + 3 * full["fine"]
    return np.where(full["skin"] < 0, AIR_HU, soft)
