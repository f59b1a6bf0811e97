"""A network as a .keras file, its weights in 32 bits or in 16."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np

_WEIGHTS_NAME = "model.weights.h5"
_STAMP = (1980, 1, 1, 0, 0, 0)  # of every file inside: equal networks give equal bytes


def save_network(network: keras.Model, path: Path, *, half: bool = False) -> None:
    """Writes a network as Keras does, or with float16 for each float32 among its weights.

    Keras loads both kinds: it gives every weight the type that its layer has, float32 again.

    Args:
        network: The network.
        path: The file, which ends in .keras.
        half: Whether weights are stored as float16, each to within 1 part in 2,000.

    Raises:
        ValueError: If a weight is too large for float16, beyond 65,504; names it.
    """
    network.save(path)
    if not half:
        return
    with zipfile.ZipFile(path) as file:
        parts = {name: file.read(name) for name in file.namelist()}
    parts[_WEIGHTS_NAME] = _halved(parts[_WEIGHTS_NAME], name=network.name)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in parts.items():
            file.writestr(zipfile.ZipInfo(name, _STAMP), data, zipfile.ZIP_DEFLATED)


def _halved(data: bytes, *, name: str) -> bytes:
    """Returns an HDF5 file with its float32 arrays in float16; groups and attributes stay."""
    written = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as whole, h5py.File(written, "w") as half:
        half.attrs.update(whole.attrs)

        def copy(place: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Group):
                made = half.create_group(place)
            else:
                made = half.create_dataset(place, data=_half(item[()], f"{name}, {place}"))
            made.attrs.update(item.attrs)

        whole.visititems(copy)
    return written.getvalue()


def _half(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    if (np.isinf(half) & ~np.isinf(values)).any():
        largest = np.abs(values).max()
        raise ValueError(f"weights must be below 65504 for float16. Received: {largest} in {name}")
    return half
