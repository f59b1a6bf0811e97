"""NIfTI volumes as axial slices, turned as DICOM shows them: front on top, left on the right.

A volume holds HU, grey values of 8 bits, or class ids. The last ones read are kept, for the slices
of one volume are read one after the other.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from stroke_tf.reading.hu_values import hu_of_volume

SUFFIXES = {".nii", ".nii.gz"}


@dataclass(frozen=True)
class Volume:
    """One volume.

    Attributes:
        values: Shape (slices, H, W), from the feet upwards.
        affine: Shape (4, 4): from voxels to mm, right, front and head being positive.
        spacing_mm: Distance of rows, of columns and of slices.
        sha256: Hash of the file's bytes.
    """

    values: np.ndarray
    affine: np.ndarray
    spacing_mm: tuple[float, float, float]
    sha256: bytes


def count_planes(path: Path, *, name: str) -> int:
    """Returns the number of axial slices of a volume, from its header alone.

    Raises:
        ValueError: If it is no NIfTI volume of three axes.
    """
    import nibabel

    image = _load(path, name=name)
    axis = [code in ("S", "I") for code in nibabel.aff2axcodes(image.affine)].index(True)
    return int(image.shape[axis])


def read_volume(path: Path, *, name: str) -> Volume:
    """Returns a volume; `name` is how messages call the file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no NIfTI volume of three axes, or damaged.
    """
    stat = path.stat()
    return _read(path, name, stat.st_size, stat.st_mtime_ns)


def read_plane(path: Path, plane: int, *, name: str) -> np.ndarray:
    """Returns one slice: int16 HU or uint8 grey, shape (H, W).

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not such a volume.
    """
    volume = read_volume(path, name=name)
    return _as_pixels(volume.sha256, path, name)[plane]


def check_same_place(mask: Volume, image: Volume, *, name: str) -> None:
    """Raises ValueError if a mask does not lie where its volume does."""
    same = mask.values.shape == image.values.shape
    if not same or not np.allclose(mask.affine, image.affine, atol=0.01):
        raise ValueError(
            f"{name}: must have the shape and place of its volume, {image.values.shape}. "
            f"Received: {mask.values.shape}" + (", elsewhere" if same else "")
        )


@lru_cache(maxsize=2)
def _read(path: Path, name: str, size: int, time: int) -> Volume:
    import nibabel

    image = nibabel.as_closest_canonical(_load(path, name=name))
    try:
        values = np.asanyarray(image.dataobj)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{name}: a volume must be whole. Received: {error}") from error
    values = values.reshape(values.shape[:3])[::-1, ::-1].transpose(2, 1, 0)
    column, row, plane = (float(zoom) for zoom in image.header.get_zooms()[:3])
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").digest()
    return Volume(np.ascontiguousarray(values), image.affine, (row, column, plane), sha256)


@lru_cache(maxsize=1)
def _as_pixels(sha256: bytes, path: Path, name: str) -> np.ndarray:
    values = read_volume(path, name=name).values
    if values.min() >= 0 and values.max() <= 255 and np.array_equal(values, np.rint(values)):
        return values.astype(np.uint8)
    return hu_of_volume(values, name=name)


def _load(path: Path, *, name: str) -> Any:
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(path)
    except (ImageFileError, EOFError, ValueError) as error:
        raise ValueError(f"{name}: must be a NIfTI volume. Received: {error}") from error
    if len(image.shape) < 3 or any(length != 1 for length in image.shape[3:]):
        raise ValueError(f"{name}: a volume must have three axes. Received: shape {image.shape}")
    if None in nibabel.aff2axcodes(image.affine):
        raise ValueError(f"{name}: a volume's axes must have directions. Received: none for one")
    return image
