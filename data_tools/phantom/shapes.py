"""The parts inside a head as simple solids, and smooth noise to make them irregular.

Coordinates are millimetres of the patient: x to one side, y to the front, z to the vertex from a
plane just below the skull base.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[Any]
Fields = dict[str, Floats]

EQUATOR_MM = 45.0
"""Height of the largest axial section."""
SHAPE_HALF_AXES_MM = (66.0, 84.0, 66.0)
"""Half width, half length and height above the equator of the head that SHAPES fit in."""
FAR_MM = 3.0
"""A part this far from every point of a slice leaves no trace in it."""

# Each part: two end points (x, y, z), the radii there, and half the height over which the part
# keeps its section. x is mirrored. Listed for a head of the half-axes above.
_Part = tuple[tuple[float, float, float], tuple[float, float, float], float, float, float]
SHAPES: dict[str, tuple[_Part, ...]] = {
    "ventricle": (
        ((4, 10, 54), (12, 31, 57), 2.6, 3.6, 4),  # frontal horn
        ((11, 29, 61), (6, 12, 63), 3.0, 3.4, 4),
        ((6, 12, 64), (8, -8, 67), 3.4, 3.6, 4),  # body
        ((8, -8, 67), (16, -28, 66), 3.6, 4.6, 4),
        ((16, -28, 65), (24, -38, 58), 4.4, 5.2, 4),  # atrium
        ((24, -38, 57), (20, -60, 55), 4.6, 1.6, 3),  # occipital horn
        ((27, -36, 52), (33, -12, 36), 3.4, 1.6, 2),  # temporal horn
        ((33, -12, 35), (31, 2, 31), 1.6, 1.0, 3),
        ((0, 5, 49), (0, -13, 49), 1.2, 1.5, 6),  # third
        ((0, -34, 20), (2, -38, 19), 4.2, 4.4, 7),  # fourth
    ),
    "grey": (
        ((12, 22, 55), (15, 8, 60), 5.5, 4.5, 5),  # caudate
        ((15, 8, 64), (20, -18, 68), 4.0, 2.5, 2),
        ((20, 17, 50), (29, -9, 50), 5.0, 5.0, 8),  # lentiform
        ((8, -4, 52), (14, -20, 53), 5.5, 7.5, 5),  # thalamus
    ),
    "sylvian": (
        ((68, 14, 44), (42, 9, 48), 1.2, 1.5, 12),
        ((42, 21, 48), (43, -13, 49), 0.7, 0.9, 12),  # along the insula
    ),
    "cistern": (
        ((0, 13, 33), (0, 4, 33), 7.0, 6.0, 5),  # suprasellar
        ((0, 13, 34), (15, 21, 34), 2.5, 1.5, 4),
        ((6, -11, 37), (3, -20, 39), 9.2, 10.0, 5),  # around the midbrain
        ((0, 3, 20), (9, 0, 20), 3.0, 3.0, 9),  # before the pons
    ),
    "stem": (
        ((6, -11, 37), (3, -18, 38), 8.0, 8.8, 6),
        ((5, -10, 20), (5, -17, 20), 9.5, 10.5, 10),
    ),
    "bone": (
        ((68, -16, 13), (14, 3, 15), 14.0, 4.5, 3),  # petrous
        ((62, 33, 24), (13, 18, 20), 4.5, 3.0, 4),  # sphenoid ridge
        ((7, 15, 23), (8, 11, 23), 2.2, 2.2, 4),  # clinoids
        ((0, 5, 21), (7, 6, 22), 2.0, 2.0, 4),
    ),
    "orbit": (((27, 82, 7), (21, 58, 8), 17.0, 7.0, 4),),
    "globe": (((29, 84, 8), (29, 84, 8), 11.0, 11.0, 4),),
    "sinus": (((0, 88, 22), (11, 86, 22), 4.0, 3.0, 9),),
    "calcification": (
        ((0, -25, 50), (0, -26, 50), 1.3, 1.0, 4),  # pineal
        ((23, -37, 57), (22, -40, 57), 1.0, 1.2, 4),  # choroid plexus
    ),
}


@dataclass(frozen=True)
class Waves:
    """A smooth random function of space: a sum of plane waves, mean 0, variance about 1."""

    vectors: Floats  # (K, 3) radians per mm
    phases: Floats  # (K,)

    @classmethod
    def draw(cls, rng: np.random.Generator, shortest_mm: float, longest_mm: float) -> Waves:
        """Returns waves of random directions with wavelengths between the two, in mm."""
        lengths = rng.uniform(shortest_mm, longest_mm, size=(14, 1))
        directions = rng.normal(size=(14, 3)) * (1, 1, 0.7)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        return cls(directions * 2 * np.pi / lengths, rng.uniform(0, 2 * np.pi, 14))

    def at(self, x: Floats, y: Floats, z: float) -> Floats:
        """Returns float32 (len(y), len(x)): the values on a grid at height z (mm)."""
        kx, ky, kz = self.vectors.T
        rows = np.exp(1j * (np.outer(y, ky) + kz * z + self.phases))
        # einsum and not `@`: a threaded BLAS may add in another order.
        values = np.einsum("yk,kx->yx", rows, np.exp(1j * np.outer(kx, x))).real
        return (values * np.sqrt(2 / len(self.phases))).astype(np.float32)


def grid_mm(fov_mm: float, size: int) -> Floats:
    """Returns float64 (size,): the x of pixel centres; y is its reverse."""
    return ((np.arange(size) + 0.5) / size - 0.5) * fov_mm


def distance_mm(name: str, point: tuple[Floats, Floats, float], scale: float) -> Floats:
    """Returns float32 (H, W): the distance to the nearest part of a kind, negative inside.

    Args:
        name: Key of SHAPES.
        point: |x|, y (float32, (H, W)) and z, mm.
        scale: Factor of the parts' radii.
    """
    each = [_distance(part, point, scale) for part in SHAPES[name]]
    return np.broadcast_to(functools.reduce(np.minimum, each), point[0].shape)


def _distance(part: _Part, point: tuple[Floats, Floats, float], scale: float) -> Floats | float:
    start, end, radius, end_radius, half_height = part
    low, high = sorted((start[2], end[2]))
    clearance = max(low - point[2], point[2] - high) - half_height - scale * max(radius, end_radius)
    if clearance > FAR_MM:
        return clearance  # less than the distance, but the slice does not come near
    along = np.subtract(end, start)
    x, y, z = point[0] - start[0], point[1] - start[1], point[2] - start[2]
    t = (x * along[0] + y * along[1] + z * along[2]) / max((along**2).sum(), 1e-6)
    t = np.clip(t, 0, 1)
    gap_z = np.maximum(np.abs(z - t * along[2]) - half_height, 0)
    squares = (x - t * along[0]) ** 2 + (y - t * along[1]) ** 2 + gap_z**2
    return np.sqrt(squares) - scale * (radius + t * (end_radius - radius))
