"""Copies of slices augmented before folding, as the SAUCIS paper made its data set (Tables 1-3).

Only the `as-published` protocol uses them: a copy in another fold than its original is a leak. The
paper gives the factors (x4 stroke and x2 none for detection, x6 for segmentation, originals
counted) and names five operations without their strengths; x6 is then the original and one copy for
each operation. Ours are the strengths of `AugmentStrength`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

from data_tools.options import CopiesFor
from stroke_tf.config import AugmentStrength
from stroke_tf.labels import LESION_CLASSES, StrokeType

# (none, stroke), SAUCIS Tables 1 and 3
_FACTORS: dict[CopiesFor | Literal["none"], tuple[int, int]] = {
    "none": (1, 1),
    "detect": (2, 4),
    "segment": (1, 6),
}
_DRAWS = 8  # the last one changes nothing


def copies_of(stroke_type: int, *, copies_for: CopiesFor | Literal["none"]) -> int:
    """Returns how many augmented copies a slice gets besides itself."""
    none, stroke = _FACTORS[copies_for]
    return (none if stroke_type == StrokeType.NONE else stroke) - 1


def augmented_copies(
    image: np.ndarray, mask: np.ndarray | None, *, count: int, source_id: str, seed: int
) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Returns `count` augmented copies of a slice, each by another of the five operations.

    A copy that lost the lesions of a class is drawn again, more weakly each time.

    Args:
        image: uint8 grey, shape (S, S).
        mask: uint8 class ids, shape (S, S), or None.
        count: 0 to 5.
        source_id: Id of the slice; with `seed` it fixes the operations and their strengths.
        seed: Seed of the conversion.
    """
    if not count:
        return []
    random = np.random.default_rng([seed, *source_id.encode()])
    names = sorted(random.choice(len(_OPERATIONS), size=count, replace=False))
    operations = list(_OPERATIONS.values())
    return [_draw(operations[name], (image, mask), random) for name in names]


_Slice = tuple[np.ndarray, np.ndarray | None]
"""Picture and mask."""
_Operation = Callable[[_Slice, np.random.Generator, AugmentStrength], _Slice]


def _draw(operation: _Operation, original: _Slice, random: np.random.Generator) -> _Slice:
    usual = AugmentStrength()
    for share in np.linspace(1, 0, _DRAWS):
        weaker = {"rotation_deg": share * usual.rotation_deg, "roi": share * usual.roi}
        copy = operation(original, random, dataclasses.replace(usual, **weaker))
        if _classes(copy[1]) == _classes(original[1]):
            break
    return copy


def _classes(mask: np.ndarray | None) -> list[bool]:
    return [bool(np.any(mask == kind)) for kind in LESION_CLASSES]


def _rotate(original: _Slice, random: np.random.Generator, strength: AugmentStrength) -> _Slice:
    height, width = original[0].shape
    angle = random.uniform(-strength.rotation_deg, strength.rotation_deg)
    centre = ((width - 1) / 2, (height - 1) / 2)
    return _warp(original, cv2.getRotationMatrix2D(centre, angle, 1.0))


def _contrast(original: _Slice, random: np.random.Generator, strength: AugmentStrength) -> _Slice:
    image, mask = original
    factor = random.uniform(1 - strength.contrast, 1 + strength.contrast)
    mean = float(image.mean())
    return _to_uint8((image - mean) * factor + mean), mask


def _brightness(original: _Slice, random: np.random.Generator, strength: AugmentStrength) -> _Slice:
    image, mask = original
    added = 255 * random.uniform(-strength.brightness, strength.brightness)
    return _to_uint8(image + added), mask


def _mirror(original: _Slice, random: np.random.Generator, strength: AugmentStrength) -> _Slice:
    image, mask = original
    return image[:, ::-1].copy(), None if mask is None else mask[:, ::-1].copy()


def _roi(original: _Slice, random: np.random.Generator, strength: AugmentStrength) -> _Slice:
    scale = 1 / random.uniform(1 - strength.roi, 1)
    shift = (np.array(original[0].shape[::-1]) - 1) * (1 - scale) * random.uniform(0, 1, 2)
    return _warp(original, np.array([[scale, 0, shift[0]], [0, scale, shift[1]]]))


_OPERATIONS: dict[str, _Operation] = {
    "rotate": _rotate,
    "contrast": _contrast,
    "brightness": _brightness,
    "mirror": _mirror,
    "roi": _roi,
}


def _warp(original: _Slice, matrix: np.ndarray) -> _Slice:
    image, mask = original
    size = (image.shape[1], image.shape[0])
    moved = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
    if mask is None:
        return moved, None
    return moved, cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_NEAREST)


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
