"""The elements of a DICOM file that are asked for, and no text of them in any error.

Only the tags listed here are read. Names and dates are never parsed, and no text of a header
leaves this module: not in results, errors, warnings or logs.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import pydicom
from pydicom import uid

OVERLAY_BIT_POSITIONS = tuple(
    pydicom.tag.Tag(group, 0x0102) for group in range(0x6000, 0x6020, 2)
)  # 0 or absent where an overlay is not in the pixels
_TAGS: list[Any] = [
    *("SOPClassUID", "Modality", "ImageType", "PatientID", "Rows", "Columns", "NumberOfFrames"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PixelRepresentation"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"),
    *("WindowCenter", "WindowWidth", "ImageOrientationPatient", "PixelData"),
    *("PixelSpacing", "SpacingBetweenSlices", "SliceThickness", "ImagePositionPatient"),
    *("SeriesInstanceUID", "SOPInstanceUID", "InstanceNumber", "GantryDetectorTilt"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *OVERLAY_BIT_POSITIONS,
]
# Fillers of a PatientID that was removed. Everyone shares them, so they would make one patient of
# all. Compared in lower case, letters and digits only; a row of zeros or x counts as well.
_PLACEHOLDERS = frozenset(
    "anon anonym anonymous anonymized anonymised anonymizedpatient anonymouspatient deidentified "
    "removed deleted redacted masked hidden none null na nan unknown unspecified patient "
    "patientid id notavailable".split()
)

_T = TypeVar("_T")
_silent = ContextVar("silent", default=False)


@dataclass(frozen=True)
class Tags:
    """The elements of a file, or of an item of a sequence in it.

    Attributes:
        dataset: The elements, as pydicom parsed them.
        name: File name for the error messages.
    """

    dataset: pydicom.Dataset
    name: str

    def value(self, keyword: Any) -> Any:
        """Returns the value of an element, or None."""

        def value() -> Any:
            found = self.dataset.get(keyword)
            return found.value if isinstance(found, pydicom.DataElement) else found

        return self.guarded(value, "header must be readable")

    def several(self, keyword: Any) -> list[Any]:
        """Returns the values of an element that are not empty; none where it is absent."""
        value = self.value(keyword)
        several = value if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]
        return [one for one in several if one not in (None, "")]

    def numbers(self, keyword: Any) -> list[float]:
        """Returns the numbers of an element; none where it is absent or empty."""

        def numbers() -> list[float]:
            found = [float(one) for one in self.several(keyword)]
            if not all(map(math.isfinite, found)):
                raise ValueError
            return found

        return self.guarded(numbers, f"{keyword} must be numbers")

    def integer(self, keyword: Any, default: int) -> int:
        """Returns the first number of an element without its fraction."""
        return int((self.numbers(keyword) or [default])[0])

    def words(self, keyword: str) -> set[str]:
        """Returns the values of an element of code words: upper case, no spaces around."""
        return {str(one).strip().upper() for one in self.several(keyword)}

    def items(self, keyword: str) -> list[Tags]:
        """Returns the items of a sequence."""
        value = self.value(keyword)
        return (
            [Tags(one, self.name) for one in value] if isinstance(value, pydicom.Sequence) else []
        )

    def group(self, keyword: str, frame: int) -> Tags | None:
        """Returns the item of a functional group: the frame's own, else the one of all frames."""
        for groups, place in (("PerFrame", frame), ("Shared", 0)):
            found = self.value(f"{groups}FunctionalGroupsSequence")
            if isinstance(found, pydicom.Sequence) and place < len(found):
                items = Tags(found[place], self.name).items(keyword)
                if items:
                    return items[0]
        return None

    def fault(self, rule: str) -> ValueError:
        """Returns the error of a broken rule."""
        return ValueError(f"{self.name}: {rule}")

    def guarded(self, read: Callable[[], _T], rule: str) -> _T:
        """Returns what `read` gives, or raises an error that tells the rule and no header text.

        The new error is raised after the old one was handled, so that it does not carry it along.
        """
        with silence():
            try:
                return read()
            except Exception as error:
                kind = type(error).__name__
        raise self.fault(f"{rule}. Received: {kind}")


def parse(data: bytes, *, name: str) -> Tags:
    """Returns the elements of a DICOM file, with or without preamble.

    Raises:
        ValueError: If it is no DICOM file or is cut short. The message holds no header text.
    """
    if not data:
        raise ValueError(f"{name}: must be a DICOM file. Received: 0 bytes")
    tags = elements(data, name=name, keywords=_TAGS)
    # Old writers leave the preamble out. Anything parses then, so only a CT image will do.
    if not is_marked(data) and not (is_ct(tags) and "PixelData" in tags.dataset):
        raise ValueError(f"{name}: must be a DICOM file. Received: {len(data)} other bytes")
    return tags


def elements(data: bytes, *, name: str, keywords: Sequence[Any]) -> Tags:
    """Returns these elements of what should be a DICOM file.

    Raises:
        ValueError: If it cannot be parsed. The message holds no header text.
    """
    dataset = Tags(pydicom.Dataset(), name).guarded(
        lambda: pydicom.dcmread(io.BytesIO(data), force=True, specific_tags=list(keywords)),
        "must be a whole DICOM file",
    )
    return Tags(dataset, name)


def is_marked(data: bytes) -> bool:
    """Returns whether a file begins as DICOM files do."""
    return data[128:132] == b"DICM"


def is_ct(tags: Tags) -> bool:
    """Returns whether the modality is CT, or the SOP class where some anonymiser took that out."""
    modality = tags.value("Modality")
    return modality == "CT" if modality else tags.value("SOPClassUID") == uid.CTImageStorage


def windows_of(tags: Tags, frame: int) -> tuple[tuple[float, float], ...]:
    """Returns every window of a frame, as (centre, width) in HU."""
    place = tags.group("FrameVOILUTSequence", frame) or tags
    try:
        centres, widths = place.numbers("WindowCenter"), place.numbers("WindowWidth")
    except ValueError:  # a hint for display only: no reason to lose the slice
        return ()
    return tuple((c, w) for c, w in zip(centres, widths, strict=False) if w > 0)


def spacing_of(tags: Tags, frame: int) -> tuple[float, ...]:
    """Returns the distance in mm of rows, of columns and of slices; empty where one is missing.

    Where no distance of slices is given, their thickness stands for it.
    """
    place = tags.group("PixelMeasuresSequence", frame) or tags
    try:
        apart = place.numbers("SpacingBetweenSlices") or place.numbers("SliceThickness")
        found = (*place.numbers("PixelSpacing"), *map(abs, apart[:1]))
    except ValueError:  # not needed for the slice
        return ()
    return found if len(found) == 3 and min(found) > 0 else ()


def patient_of(tags: Tags, *, key: bytes) -> str | None:
    """Returns 16 hex digits that stand for the patient; None where the header names none."""
    identity = str(tags.value("PatientID") or "").strip()
    letters = "".join(filter(str.isalnum, identity)).lower()
    if letters.strip("0x") == "" or letters in _PLACEHOLDERS:
        return None
    return hmac.new(key, identity.encode(errors="replace"), hashlib.sha256).hexdigest()[:16]


@contextmanager
def silence() -> Iterator[None]:
    """Keeps back warnings and logs of the DICOM libraries: they quote header values.

    Each use costs a hundredth of the time of a slice; inside another use, nothing.
    """
    if _silent.get():
        yield
        return
    before, token = logging.root.manager.disable, _silent.set(True)
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        _silent.reset(token)
