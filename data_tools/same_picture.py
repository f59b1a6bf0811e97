"""Checks whether a PNG or JPEG shows the slice of the DICOM file with the same id."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from data_tools.paint import explained

_SIDE = 128
_SAME, _SAME_RESIZED = 0.95, 0.9  # the next slice has 0.7 to 0.98, a mirrored one 0.6 to 0.98
_SURE = 0.99
_EDGES = np.concatenate(
    [np.arange(-1000, -200, 50), np.arange(-200, 300, 4), np.arange(300, 3000, 50)]
)
_BIN_OF_HU = np.searchsorted(_EDGES, np.arange(-(1 << 15), 1 << 15), side="right")


def check_same_picture(hu: np.ndarray, grey: np.ndarray, *, name: str) -> None:
    """Checks that a grey picture shows the slice, through any window.

    The measure is the correlation ratio: the share of the picture's variance that HU explain.

    Args:
        hu: int16 HU, shape (H, W).
        grey: uint8, the picture; another size is allowed, another shape is not.
        name: File name of the picture for error messages.

    Raises:
        ValueError: If HU explain too little of the picture, or more when mirrored or turned.
    """
    rows, columns = grey.shape
    if abs(rows * hu.shape[1] - columns * hu.shape[0]) > max(rows, columns):
        raise ValueError(
            f"{name}: must have the shape of its DICOM file, {hu.shape}. Received: {grey.shape}"
        )
    resized = grey.shape != hu.shape
    if resized:
        hu, grey = (
            cv2.resize(array, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA) for array in (hu, grey)
        )
    sample = _thin_out(grey)
    same = _explained(hu, sample)
    if same >= _SURE:
        return
    turned = {turn: _explained(view, sample) for turn, view in _turned(hu)}
    best = max(turned, key=lambda turn: turned[turn])
    if same < (_SAME_RESIZED if resized else _SAME) or turned[best] > same:
        hint = f", {turned[best]:.2f} {best}" if turned[best] > same else ""
        raise ValueError(
            f"{name}: must show the slice of its DICOM file, whose HU explain at least "
            f"{_SAME_RESIZED if resized else _SAME} of it. Received: {same:.2f}{hint}"
        )


def _turned(hu: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    yield "mirrored left to right", hu[:, ::-1]
    yield "upside down", hu[::-1]
    yield "turned by 180 degrees", hu[::-1, ::-1]
    if hu.shape[0] == hu.shape[1]:
        yield "turned by 90 degrees", hu.T[::-1]
        yield "turned by 270 degrees", hu.T[:, ::-1]
        yield "transposed", hu.T
        yield "transposed and turned", hu.T[::-1, ::-1]


def _explained(hu: np.ndarray, sample: np.ndarray) -> float:
    """Returns the share of the picture's variance between bins of HU, 0 to 1."""
    bins = _BIN_OF_HU[_thin_out(hu).astype(np.int32).ravel() + (1 << 15)]
    greys = sample.ravel().astype(np.float64)
    if np.ptp(greys) == 0:  # one grey shows air alone, or nothing
        return float(np.mean(hu < -200) > 0.99)
    return explained(bins, greys)


def _thin_out(picture: np.ndarray) -> np.ndarray:
    step = max(1, max(picture.shape) // _SIDE)
    return picture[step // 2 :: step, step // 2 :: step]
