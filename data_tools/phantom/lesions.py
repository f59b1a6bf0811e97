"""Puts a stroke into a slice drawn by `anatomy`.

A lesion is a field in mm that is low where the lesion sits, cut at the level that gives it the
wanted share of the brain's area, and limits (in mm, positive inside) that it must not cross.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from data_tools.phantom.anatomy import Anatomy, Head, enlarge, ramp
from data_tools.phantom.shapes import Fields, Floats, Waves, grid_mm
from stroke_tf.labels import StrokeType

_SHARE = (0.02, 0.13)  # of the brain's area, at the lesion's largest
_EXTRA_AXIAL_SHARE = (0.025, 0.07)  # about 14 mm of blood at most
_MIN_VENTRICLE_SHARE = 0.012  # smaller ventricles hold too little blood to be seen
# Angles from the front, radians, of the middle of each artery's territory on the surface.
_TERRITORIES = {"aca": (0.2, 0.45), "mca": (0.95, 1.9), "pca": (2.55, 2.95)}
_KINDS: dict[StrokeType, dict[str, float]] = {
    StrokeType.ISCHEMIA: {"mca": 0.6, "aca": 0.15, "pca": 0.25},
    StrokeType.HEMORRHAGE: {
        "intraparenchymal": 0.45,
        "subdural": 0.25,
        "epidural": 0.12,
        "intraventricular": 0.18,
    },
}
_Pair = tuple[Floats, Floats]


@dataclass(frozen=True)
class Lesion:
    """One patient's stroke.

    Attributes:
        stroke_type: ISCHEMIA or HEMORRHAGE.
        kind: Key of `_KINDS` of that type: an artery or a place.
        side: 1 or -1, the sign of x.
        angle: Direction from the front, radians, 0 to pi.
        eccentricity: Where a bleed in the brain is centred: 0 in the middle, 1 at the skull.
        inner_limit: Where a wedge ends towards the middle, as `eccentricity`.
        share: Share of the brain's area at the lesion's largest.
        change_hu: Density of blood, or what ischaemia takes away.
        oedema_hu: What oedema around a bleed in the brain takes away; 0 for none.
        outline: Waves that make the outline irregular.
    """

    stroke_type: StrokeType
    kind: str
    side: int
    angle: float
    eccentricity: float
    inner_limit: float
    share: float
    change_hu: float
    oedema_hu: float
    outline: Waves


def draw_lesion(rng: np.random.Generator, stroke_type: StrokeType) -> Lesion:
    """Returns a random lesion of a type, ISCHEMIA or HEMORRHAGE."""
    kinds = _KINDS[stroke_type]
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    shares = _EXTRA_AXIAL_SHARE if kind in ("subdural", "epidural") else _SHARE
    is_blood = stroke_type == StrokeType.HEMORRHAGE
    return Lesion(
        stroke_type=stroke_type,
        kind=kind,
        side=int(rng.choice([-1, 1])),
        angle=rng.uniform(*_TERRITORIES.get(kind, (0.5, 2.6))),
        eccentricity=rng.uniform(0.35, 0.7),
        inner_limit=rng.uniform(0.3, 0.6),
        share=float(np.exp(rng.uniform(*np.log(shares)))),
        change_hu=rng.uniform(56, 74) if is_blood else rng.uniform(6.5, 10),
        oedema_hu=rng.uniform(5, 9) * (rng.uniform() < 0.6),
        outline=Waves.draw(rng, 18, 60),
    )


def add_lesion(
    anatomy: Anatomy, head: Head, lesion: Lesion, *, scale: float
) -> tuple[Floats, Floats]:
    """Returns a slice with a lesion, and the place of the lesion.

    `scale` is the area of the lesion in this slice, divided by its largest area: 0 to 1.

    Returns:
        float32 (size, size) HU, and float32 (size, size): mm inside the lesion's outline, negative
        outside.
    """
    x = grid_mm(head.fov_mm, len(anatomy.fields["x"]))
    noise = lesion.outline.at(x, x[::-1], anatomy.z_mm)
    field, limit = _shape(lesion, anatomy.fields, noise)
    level = _level(field[limit > 0], scale * lesion.share * _brain(anatomy.fields).sum())
    size = len(anatomy.hu)
    inside = enlarge(np.minimum(level - field, limit), size)
    if lesion.stroke_type == StrokeType.ISCHEMIA:
        return _darken(anatomy.hu, lesion.change_hu * ramp(inside / 3)), inside
    hu = anatomy.hu
    if lesion.kind == "intraparenchymal":
        halo = ramp((enlarge(level - field, size) + 5) / 4) * ramp(enlarge(limit, size) / 2)
        hu = _darken(hu, lesion.oedema_hu * halo)
    blood = lesion.change_hu + 2.5 * enlarge(noise, size)
    return hu + (blood - hu) * ramp(inside / 1.5), inside


def _darken(hu: Floats, less_hu: Floats) -> Floats:
    return hu - less_hu * ramp((hu - 18) / 8)  # water does not swell, CSF stays as it is


def _brain(fields: Fields) -> Floats:
    return (fields["depth"] > 0) & (fields["bone"] > 0) & (fields["orbit"] > 0)


def _level(values: Floats, points: float) -> float:
    """Returns the level below which a field has so many of its points."""
    count = int(np.clip(points, 1, len(values)))
    return float(np.partition(values, count - 1)[count - 1])


def _shape(lesion: Lesion, fields: Fields, noise: Floats) -> _Pair:
    """Returns the field of a lesion and its limit, both in mm."""
    own_side = lesion.side * fields["x"]
    limit = np.minimum.reduce([fields["depth"], fields["bone"] - 1, fields["orbit"] - 1])
    if lesion.kind == "intraventricular":
        inside = np.minimum(limit, -fields["ventricle"])
        if (inside > 0).sum() > _MIN_VENTRICLE_SHARE * _brain(fields).sum():
            # Blood sinks: it fills the ventricles from the back.
            return 0.5 * fields["y"] + 3 * noise, inside
    shape = _SHAPES.get(lesion.kind, _wedge if lesion.kind in _TERRITORIES else _bleed)
    return shape(lesion, fields, noise, np.minimum(limit, own_side - 1.5))


def _bleed(lesion: Lesion, fields: Fields, noise: Floats, limit: Floats) -> _Pair:
    limit = np.minimum.reduce([limit, fields["depth"] - 3, fields["ventricle"]])
    x, y = _from_centre(lesion, fields, limit, lesion.eccentricity)
    return np.hypot(x, 1.3 * y) + 3.5 * noise, limit


def _subdural(lesion: Lesion, fields: Fields, noise: Floats, limit: Floats) -> _Pair:
    crescent = fields["depth"] + 6 * (fields["angle"] - lesion.angle) ** 2
    return crescent + 0.8 * noise, limit


def _epidural(lesion: Lesion, fields: Fields, noise: Floats, limit: Floats) -> _Pair:
    across, inward = _from_centre(lesion, fields, limit, 1.0)
    return np.hypot(across / 2.2, inward) + 0.6 * noise, limit


def _wedge(lesion: Lesion, fields: Fields, noise: Floats, limit: Floats) -> _Pair:
    beyond = (_eccentricity(fields) - lesion.inner_limit) * 60
    limit = np.minimum.reduce([limit - 1, fields["ventricle"] - 2, beyond])
    return 50 * np.abs(fields["angle"] - lesion.angle) + 3 * noise, limit


_SHAPES: dict[str, Callable[..., _Pair]] = {"subdural": _subdural, "epidural": _epidural}


def _eccentricity(fields: Fields) -> Floats:
    return fields["radius"] / np.maximum(fields["radius"] + fields["depth"], 1e-3)


def _from_centre(lesion: Lesion, fields: Fields, limit: Floats, eccentricity: float) -> _Pair:
    """Returns mm across and along the lesion's direction from the allowed point nearest to it."""
    miss = (fields["angle"] - lesion.angle) ** 2 + 4 * (_eccentricity(fields) - eccentricity) ** 2
    centre = np.argmin(np.where(limit > 0, miss, np.inf))
    x, y = fields["x"] - fields["x"].flat[centre], fields["y"] - fields["y"].flat[centre]
    sine, cosine = lesion.side * np.sin(lesion.angle), np.cos(lesion.angle)
    return cosine * x - sine * y, sine * x + cosine * y
