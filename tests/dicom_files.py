"""DICOM files of a phantom head, as bytes, for tests."""

import io
import warnings
from functools import cache

import numpy as np
import pydicom
from pydicom import uid

from data_tools.phantom.anatomy import draw_anatomy, draw_head
from data_tools.phantom.scanner import draw_position, scan


@cache
def phantom_hu(size: int = 96, *, seed: int = 0, z_mm: float = 60.0) -> np.ndarray:
    """int16 HU, shape (size, size), of a slice: air around, skull, brain."""
    rng = np.random.default_rng(seed)
    head, position = draw_head(rng), draw_position(rng)
    drawn = draw_anatomy(head, z_mm, size=size).hu
    outside = np.full_like(drawn, -1)
    hu, _ = scan(drawn, outside, head=head, position=position, z_mm=z_mm, rng=rng)
    hu.flags.writeable = False
    return hu


def head(dtype: type = np.int16) -> np.ndarray:
    """The phantom as stored values of 12 bits: signed HU, or unsigned HU + 1024."""
    hu = phantom_hu()
    return (hu if np.dtype(dtype).kind == "i" else hu + 1024).astype(dtype)


def head_with_metal() -> np.ndarray:
    """The phantom with a clip of metal in its middle: int16 HU up to 7,000, beyond 12 bits."""
    y, x = np.mgrid[-48:48, -48:48]
    return (head() + np.rint(7000 * np.exp(-(x**2 + y**2) / 50))).astype(np.int16)


def make_header(stored: np.ndarray, **values: object) -> pydicom.Dataset:
    """A CT image of the given stored values; `values` are elements to set, None to leave out.

    Unsigned values have the intercept -1024, signed ones 0.
    """
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = uid.CTImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.SOPClassUID, header.SOPInstanceUID = uid.CTImageStorage, "1.2.3"
    signed = stored.dtype.kind == "i"
    defaults: dict[str, object] = {
        "Modality": "CT",
        "PatientID": "P-17",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelRepresentation": int(signed),
        "BitsAllocated": stored.itemsize * 8,
        "BitsStored": stored.itemsize * 8,
        "HighBit": stored.itemsize * 8 - 1,
        "RescaleSlope": 1,
        "RescaleIntercept": 0 if signed else -1024,
    }
    header.Rows, header.Columns = stored.shape[-2:]
    if stored.ndim == 3:
        header.NumberOfFrames = len(stored)
    for keyword, value in (defaults | values).items():
        if value is not None:
            setattr(header, keyword, value)
    header.PixelData = stored.tobytes()
    header["PixelData"].VR = "OW" if stored.itemsize == 2 else "OB"
    return header


def to_bytes(header: pydicom.Dataset, **how: object) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header.save_as(file, **({"enforce_file_format": True} | how))
    return file.getvalue()


def item(**values: object) -> pydicom.Dataset:
    """An item of a sequence; its elements."""
    dataset = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset
