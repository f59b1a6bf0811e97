"""Scans a drawn slice: position of the head, blur, noise, head rest.

Knows nothing of what the slice shows. Nothing here may depend on whether there is a lesion.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from data_tools.phantom.anatomy import COARSE, Head, enlarge
from data_tools.phantom.shapes import Floats, Waves, grid_mm
from stroke_tf.config import Window
from stroke_tf.records import AIR_HU

_BLUR_MM = 0.45  # of a standard head kernel
_ELASTIC_MM = 1.2
_REST_HU = 180


@dataclass(frozen=True)
class Position:
    """How one patient lies in the scanner.

    Attributes:
        rotation_deg: Rotation of the head.
        shift_mm: Shift of the head in x and y.
        elastic: Waves in x and y that make the head asymmetrical.
        rest_mm: Radius of the head rest, and its lowest point below the centre.
        noise_hu: Standard deviation of the noise.
    """

    rotation_deg: float
    shift_mm: tuple[float, float]
    elastic: tuple[Waves, Waves]
    rest_mm: tuple[float, float]
    noise_hu: float


def draw_position(rng: np.random.Generator) -> Position:
    """Returns a random position."""
    return Position(
        rotation_deg=rng.normal(0, 4.5),
        shift_mm=(rng.normal(0, 4), rng.normal(0, 3)),
        elastic=(Waves.draw(rng, 70, 180), Waves.draw(rng, 70, 180)),
        rest_mm=(rng.uniform(105, 150), rng.uniform(106, 112)),
        noise_hu=rng.uniform(2.6, 4.2),
    )


def draw_window(rng: np.random.Generator) -> Window:
    """Returns the display window (centre, width) in HU of one slice."""
    return round(rng.uniform(28, 48)), round(rng.uniform(60, 140))


def scan(
    hu: Floats,
    inside_lesion: Floats,
    *,
    head: Head,
    position: Position,
    z_mm: float,
    rng: np.random.Generator,
) -> tuple[Floats, Floats]:
    """Returns a drawn slice as scanned, and its lesion.

    The slice is float32 (size, size), of an upright head, and so is `inside_lesion`: mm inside the
    lesion's outline, negative outside.

    Returns:
        int16 (size, size) HU, and bool (size, size): the lesion.
    """
    size = len(hu)
    maps = _maps(head, position, z_mm, size=size)
    posed = cv2.remap(hu, *maps, cv2.INTER_LINEAR, borderValue=AIR_HU)
    lesion = cv2.remap(inside_lesion, *maps, cv2.INTER_LINEAR, borderValue=-1) > 0
    pixel_mm = head.fov_mm / size
    posed = _add_head_rest(posed, position, pixel_mm)
    blurred = cv2.GaussianBlur(posed, (0, 0), max(_BLUR_MM / pixel_mm, 0.2))
    noisy = blurred + position.noise_hu * _noise(rng, size)
    return np.clip(np.rint(noisy), -1024, 3071).astype(np.int16), lesion


def _maps(head: Head, position: Position, z_mm: float, *, size: int) -> tuple[Floats, Floats]:
    """Returns the columns and rows of the upright slice to look up for each pixel."""
    axis = grid_mm(head.fov_mm, COARSE)
    x, y = np.meshgrid(axis - position.shift_mm[0], axis[::-1] - position.shift_mm[1])
    angle = np.deg2rad(position.rotation_deg)
    cosine, sine = np.cos(angle), np.sin(angle)
    bend_x, bend_y = (_ELASTIC_MM * wave.at(axis, axis[::-1], z_mm) for wave in position.elastic)
    upright_x, upright_y = cosine * x - sine * y + bend_x, sine * x + cosine * y + bend_y
    per_mm = size / head.fov_mm
    columns, rows = upright_x * per_mm + size / 2 - 0.5, size / 2 - 0.5 - upright_y * per_mm
    return enlarge(columns, size), enlarge(rows, size)


def _add_head_rest(hu: Floats, position: Position, pixel_mm: float) -> Floats:
    axis = grid_mm(pixel_mm * len(hu), len(hu)).astype(np.float32)
    radius, lowest = position.rest_mm
    y = axis[::-1, None]
    ring = np.hypot(axis[None], y + lowest - radius) - radius
    rest = (np.abs(ring) < 1.5) & (y < -35) & (hu < -900)
    return np.where(rest, np.float32(_REST_HU), hu)


def _noise(rng: np.random.Generator, size: int) -> Floats:
    """Returns noise of standard deviation 1, correlated as by a standard kernel."""
    white = rng.standard_normal((size, size), dtype=np.float32)
    band = cv2.GaussianBlur(white, (0, 0), 0.8) - 0.7 * cv2.GaussianBlur(white, (0, 0), 2.4)
    return band / band.std()
