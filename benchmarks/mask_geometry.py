"""Masks stored at a smaller size, against the area that they cover.

    python -m benchmarks.mask_geometry --data ct_ich

For each mask of PhysioNet CT-ICH and each size, the Dice of two resized masks against the pixels
that the lesion covers by half or more (OpenCV's INTER_AREA, before anything is kept):

- ours: `stroke_tf.square.fit_mask`.
- nearest: OpenCV's INTER_NEAREST, which takes a pixel's first corner instead of its centre.

One line of JSON for each size, with the number of masks that were lost whole.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tyro

from benchmarks._side_by_side import dice, open_data
from stroke_tf.square import fit_mask


@dataclass(frozen=True)
class Settings:
    """Where the masks are and what sizes they get.

    Attributes:
        data: Folder of CT-ICH; by default that of STROKE_TF_OPEN_DATA.
        sizes: Sides in pixels.
    """

    data: Path = open_data("ct_ich")
    sizes: tuple[int, ...] = (512, 256, 128)


def main(settings: Settings) -> None:
    """Prints the mean Dice of both ways at each size."""
    paths = sorted(settings.data.glob("Patients_CT/*/brain/*_HGE_Seg.jpg"))
    if not paths:
        raise SystemExit(f"{settings.data} must hold masks of CT-ICH. Received: none")
    masks = [np.uint8(2) * (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) >= 128) for path in paths]
    for size in settings.sizes:
        scores: dict[str, float] = {}
        for name, shrink in {"ours": fit_mask, "nearest": _nearest}.items():
            made = [shrink(mask, size=size) for mask in masks]
            pairs = zip(made, masks, strict=True)
            found = [dice(small > 0, _majority(mask, size)) for small, mask in pairs]
            scores[name] = round(float(np.mean(found)), 4)
            scores[f"{name}_lowest"] = round(min(found), 4)
            scores[f"{name}_lost"] = sum(not small.any() for small in made)
        print(json.dumps({"name": "mask_geometry", "size": size, "masks": len(masks), **scores}))


def _majority(mask: np.ndarray, size: int) -> np.ndarray:
    share = cv2.resize((mask > 0).astype(float), (size, size), interpolation=cv2.INTER_AREA)
    return share >= 0.5


def _nearest(mask: np.ndarray, *, size: int) -> np.ndarray:
    return cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.mask_geometry", description=__doc__))
