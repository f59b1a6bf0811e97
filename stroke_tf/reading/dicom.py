"""One CT slice out of a DICOM file, in Hounsfield units.

Only the tags listed here are read. Names and dates are never parsed, and no text of a header
leaves this module: not in results, errors, warnings or logs. It must not know of folders, records
on disk or TensorFlow.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pydicom
from pydicom import uid
from pydicom.pixels import get_decoder
from scipy import ndimage

from stroke_tf.records import AIR_HU

LOWEST_HU = -1024  # nothing measured lies below; padding often does (-1500, -2000)
MAX_PIXELS = 4096 * 4096

_NATIVE = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
)
# The decoder of each compressed syntax is fixed, so a file reads alike wherever it is read. Not
# pylibjpeg for RLE: it panics on damaged data, which no `except Exception` holds. No JPEG-LS: the
# one decoder at hand ends the process when the stream is smaller than the header says.
_DECODERS: dict[str, str] = {
    uid.RLELossless: "pydicom",
    uid.JPEG2000Lossless: "pylibjpeg",
    uid.JPEG2000: "pylibjpeg",
    uid.JPEGLossless: "gdcm",
    uid.JPEGLosslessSV1: "gdcm",
}
_EMBEDDED_OVERLAY = pydicom.tag.Tag(0x6000, 0x0102)  # OverlayBitPosition: 0 when not in the pixels
_TAGS: list[Any] = [
    *("SOPClassUID", "Modality", "PatientID", "Rows", "Columns", "NumberOfFrames"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PixelData"),
    _EMBEDDED_OVERLAY,
]
# What stands in PatientID once it was taken out. Shared by everyone, it would make one patient of
# all. Compared in lower case, letters and digits only; a row of zeros or x counts as well.
_PLACEHOLDERS = frozenset(
    "anon anonym anonymous anonymized anonymised anonymizedpatient anonymouspatient deidentified "
    "removed deleted redacted masked hidden none null na nan unknown unspecified patient "
    "patientid id notavailable".split()
)

_T = TypeVar("_T")


@dataclass(frozen=True)
class Header:
    """What a DICOM file says besides its pixels.

    Attributes:
        windows: Every window the header gives, as (centre, width) in HU; empty if it gives none.
        patient: 16 hex digits that stand for the patient, equal for all slices of one and not to
            be turned back without the key; None where the header names no patient.
    """

    windows: tuple[tuple[float, float], ...]
    patient: str | None


@dataclass(frozen=True)
class HuSlice(Header):
    """One CT slice.

    Attributes:
        hu: int16, shape (H, W), in HU. What was padding is air, -1000.
    """

    hu: np.ndarray


def read_dicom(data: bytes, *, name: str, key: bytes) -> HuSlice:
    """Returns the CT slice held by a DICOM file.

    Stored values become HU by slope and intercept (1 and 0 where missing). Bits above BitsStored
    that are in use show that BitsStored is wrong: then all bits allocated count. Padding becomes
    air: whatever lies below -1024 HU, and the declared padding value where it reaches the edge of
    the slice in one piece. The same value inside the head is left alone, because a declared
    padding of, say, 0 HU is also that of fluid. MONOCHROME1 does not touch HU; only where there
    is neither slope nor intercept are the values taken as a display's, and inverted.

    Args:
        data: Content of the file, with or without preamble; uncompressed, deflated, RLE, JPEG
            lossless or JPEG 2000.
        name: File name for the error messages.
        key: Secret for `HuSlice.patient`, at least one byte.

    Raises:
        ValueError: If the file is not a whole DICOM file of one grey CT image, is larger than
            4096 x 4096 pixels or is in another transfer syntax. The message holds no header text.
    """
    _check_key(key)
    header = _parse(data, name=name)
    _check_image(header, name=name)
    stored, bits = _stored_values(header, name=name)
    hu = _hounsfield(header, stored, bits, name=name)
    padding = (hu < LOWEST_HU) | _declared_padding(header, stored, name=name)
    limits = np.iinfo(np.int16)
    return HuSlice(
        hu=np.where(padding, AIR_HU, np.rint(hu).clip(limits.min, limits.max)).astype(np.int16),
        windows=_windows(header, name=name),
        patient=_patient(header, name=name, key=key),
    )


def read_header(data: bytes, *, name: str, key: bytes) -> Header:
    """Returns what a DICOM file says besides its pixels, which are not decoded.

    Raises:
        ValueError: If the file is not DICOM or does not hold its pixels whole. The message holds no
            header text.
    """
    _check_key(key)
    header = _parse(data, name=name)
    _check_present(header, name=name)
    _check_whole(header, name=name)
    return Header(_windows(header, name=name), _patient(header, name=name, key=key))


def _check_key(key: bytes) -> None:
    if not key:
        raise ValueError("`key` must not be empty. Received: 0 bytes")


def _parse(data: bytes, *, name: str) -> pydicom.Dataset:
    if not data:
        raise ValueError(f"{name}: must be a DICOM file. Received: 0 bytes")
    header = _guarded(
        lambda: pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=list(_TAGS)),
        "must be a whole DICOM file",
        name=name,
    )
    # Old writers leave the preamble out. Anything parses then, so only a CT image will do.
    marked = data[128:132] == b"DICM"
    if not marked and not (_is_ct(header, name=name) and "PixelData" in header):
        raise ValueError(f"{name}: must be a DICOM file. Received: {len(data)} other bytes")
    return header


def _check_present(header: pydicom.Dataset, *, name: str) -> None:
    # Of a file cut within compressed pixels the parser gives back nothing at all.
    if not _value(header, "PixelData", name=name):
        raise ValueError(
            f"{name}: must hold pixel data, whole. Received: none (absent or cut short)"
        )


def _check_whole(header: pydicom.Dataset, *, name: str) -> None:
    rows, columns = (_integer(header, key, 0, name=name) for key in ("Rows", "Columns"))
    expected = rows * columns * _integer(header, "BitsAllocated", 16, name=name) // 8
    received = len(header.PixelData)
    if _transfer_syntax(header, name=name) in _NATIVE and received < expected:
        raise ValueError(
            f"{name}: pixel data must be whole, {expected} bytes. Received: {received} bytes"
        )


def _check_image(header: pydicom.Dataset, *, name: str) -> None:
    _check_present(header, name=name)
    if not _is_ct(header, name=name):
        raise ValueError(f"{name}: Modality must be CT. Received: another or none")
    rows, columns = (_integer(header, key, 0, name=name) for key in ("Rows", "Columns"))
    if not 0 < rows * columns <= MAX_PIXELS:
        raise ValueError(
            f"{name}: Rows x Columns must be 1 to {MAX_PIXELS}. Received: {rows} x {columns}"
        )
    for keyword, allowed in (
        ("SamplesPerPixel", (1,)),
        ("NumberOfFrames", (1,)),
        ("BitsAllocated", (8, 16)),
        ("PixelRepresentation", (0, 1)),
    ):
        default = 16 if keyword == "BitsAllocated" else allowed[0]
        value = _integer(header, keyword, default, name=name)
        if value not in allowed:
            raise ValueError(f"{name}: {keyword} must be one of {allowed}. Received: {value}")
    _check_whole(header, name=name)


def _is_ct(header: pydicom.Dataset, *, name: str) -> bool:
    modality = _value(header, "Modality", name=name)
    if not modality:  # stripped by some anonymisers
        return _value(header, "SOPClassUID", name=name) == uid.CTImageStorage
    return modality == "CT"


def _stored_values(header: pydicom.Dataset, *, name: str) -> tuple[np.ndarray, int]:
    """Returns the stored values, int32 of shape (H, W), and the number of bits they really use."""
    allocated = _integer(header, "BitsAllocated", 16, name=name)
    bits = _integer(header, "BitsStored", allocated, name=name)
    words = _decode_words(header, allocated, name=name)
    unsigned = words.view(f"u{words.itemsize}")
    # HighBit is not asked: the standard has it at BitsStored - 1, and where one is wrong both are.
    if not 0 < bits < allocated:
        bits = allocated
    elif int(unsigned.max()) >> bits and not _value(header, _EMBEDDED_OVERLAY, name=name):
        # A value with its sign extended reads the same with all bits, so only wrong ones change.
        bits = allocated
    shift = allocated - bits
    return ((words << shift) >> shift).astype(np.int32), bits


def _decode_words(header: pydicom.Dataset, allocated: int, *, name: str) -> np.ndarray:
    """Returns the pixels as they are stored, all bits kept: (u)int8 or (u)int16 of shape (H, W)."""
    syntax = _transfer_syntax(header, name=name)
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = syntax
    header.SamplesPerPixel, header.NumberOfFrames = 1, 1
    header.BitsAllocated, header.BitsStored, header.HighBit = allocated, allocated, allocated - 1
    header.PixelRepresentation = _integer(header, "PixelRepresentation", 0, name=name)
    header.PhotometricInterpretation = _photometric(header, name=name)
    return _guarded(
        lambda: get_decoder(syntax).as_array(
            header, raw=True, decoding_plugin=_DECODERS.get(syntax, "")
        )[0],
        "pixel data must be whole and decode to Rows x Columns",
        name=name,
    )


def _transfer_syntax(header: pydicom.Dataset, *, name: str) -> uid.UID:
    syntax = _guarded(
        lambda: getattr(header, "file_meta", {}).get("TransferSyntaxUID"),
        "TransferSyntaxUID must be readable",
        name=name,
    )
    if syntax is None:  # no file meta: the parser had to find out
        implicit, little = header.original_encoding
        if not little:
            return uid.ExplicitVRBigEndian
        return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
    allowed = (*_NATIVE, *_DECODERS)
    if syntax not in allowed:
        received = uid.UID_dictionary[syntax][0] if syntax in uid.UID_dictionary else "unknown"
        raise ValueError(
            f"{name}: transfer syntax must be one of {[uid.UID(one).name for one in allowed]}. "
            f"Received: {received}"
        )
    return uid.UID(syntax)


def _photometric(header: pydicom.Dataset, *, name: str) -> str:
    inverse = _value(header, "PhotometricInterpretation", name=name) == "MONOCHROME1"
    return "MONOCHROME1" if inverse else "MONOCHROME2"


def _hounsfield(header: pydicom.Dataset, stored: np.ndarray, bits: int, *, name: str) -> np.ndarray:
    """Returns float64 HU, not yet rounded, clipped or cleared of padding."""
    slope = _numbers(header, "RescaleSlope", name=name)
    intercept = _numbers(header, "RescaleIntercept", name=name)
    if not slope and not intercept and _photometric(header, name=name) == "MONOCHROME1":
        signed = _integer(header, "PixelRepresentation", 0, name=name)
        return (-1.0 if signed else 2.0**bits - 1) - stored
    if slope == [0.0]:
        raise ValueError(f"{name}: RescaleSlope must not be 0. Received: 0")
    return stored * (slope or [1.0])[0] + (intercept or [0.0])[0]


def _declared_padding(header: pydicom.Dataset, stored: np.ndarray, *, name: str) -> np.ndarray:
    """Returns where the declared padding value or range reaches the slice's edge in one piece."""
    value = _numbers(header, "PixelPaddingValue", name=name)
    if not value:
        return np.zeros(stored.shape, bool)
    limit = _numbers(header, "PixelPaddingRangeLimit", name=name) or value
    # Some writers give a negative padding as unsigned: -2000 as 63536.
    kind = np.int16 if _integer(header, "PixelRepresentation", 0, name=name) else np.uint16
    low, high = np.sort(np.array([value[0], limit[0]]).astype(np.int64).astype(kind))
    regions, _ = ndimage.label((stored >= low) & (stored <= high))
    edges = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
    return np.isin(regions, edges[edges > 0])


def _windows(header: pydicom.Dataset, *, name: str) -> tuple[tuple[float, float], ...]:
    try:
        centres = _numbers(header, "WindowCenter", name=name)
        widths = _numbers(header, "WindowWidth", name=name)
    except ValueError:  # a hint for display only: no reason to lose the slice
        return ()
    return tuple((c, w) for c, w in zip(centres, widths, strict=False) if w > 0)


def _patient(header: pydicom.Dataset, *, name: str, key: bytes) -> str | None:
    identity = str(_value(header, "PatientID", name=name) or "").strip()
    letters = "".join(filter(str.isalnum, identity)).lower()
    if letters.strip("0x") == "" or letters in _PLACEHOLDERS:
        return None
    return hmac.new(key, identity.encode(errors="replace"), hashlib.sha256).hexdigest()[:16]


def _integer(header: pydicom.Dataset, keyword: str, default: int, *, name: str) -> int:
    return int((_numbers(header, keyword, name=name) or [default])[0])


def _numbers(header: pydicom.Dataset, keyword: str, *, name: str) -> list[float]:
    """Returns the numbers of an element; none where it is absent or empty."""

    def numbers() -> list[float]:
        value = header.get(keyword)
        several = value if isinstance(value, pydicom.multival.MultiValue) else [value]
        found = [float(one) for one in several if one not in (None, "")]
        if not all(map(math.isfinite, found)):
            raise ValueError
        return found

    return _guarded(numbers, f"{keyword} must be numbers", name=name)


def _value(header: pydicom.Dataset, keyword: Any, *, name: str) -> Any:
    def value() -> Any:
        found = header.get(keyword)
        return found.value if isinstance(found, pydicom.DataElement) else found

    return _guarded(value, "header must be readable", name=name)


def _guarded(read: Callable[[], _T], rule: str, *, name: str) -> _T:
    """Returns what `read` gives, or raises a ValueError that tells the rule and no header text.

    The new error is raised after the old one was handled, so that it does not carry it along.
    """
    with _silence():
        try:
            return read()
        except Exception as error:
            kind = type(error).__name__
    raise ValueError(f"{name}: {rule}. Received: {kind}")


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps back warnings and logs of the DICOM libraries: they quote header values."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
