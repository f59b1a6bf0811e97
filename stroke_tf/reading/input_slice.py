"""One slice that a user hands in: read again when its pixels are asked for, and where it lies.

Its header is read by `reading.dicom`; no text of it stays here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stroke_tf.reading.archives import MAX_FILE_BYTES, archive_of, read_bytes
from stroke_tf.reading.pictures import decode_grey

if TYPE_CHECKING:
    from stroke_tf.reading.dicom import DicomFile
    from stroke_tf.reading.dicom_header import Tags

PATIENT_KEY = secrets.token_bytes(16)
"""Makes the hashes of patients worthless outside this process."""


@dataclass(frozen=True)
class PixelSlice:
    """A slice's pixels, proved.

    Attributes:
        pixels: Shape (H, W): uint8 grey, or int16 HU.
        spacing_mm: Distance of rows and of columns; empty where unknown.
        repair: How a DICOM file was read otherwise than its header says; mostly empty.
    """

    pixels: np.ndarray
    spacing_mm: tuple[float, ...]
    repair: str


@dataclass(frozen=True)
class InputSlice:
    """A slice that is found, its pixels not yet read.

    Attributes:
        name: Where it lies, relative to what was given, such as `scan.zip/a/7.dcm#3`.
        path: Its file; may lead into a zip.
        frame: Its place in a DICOM file, the first 0; None for a picture.
        position_mm: Along the normal of its series, feet to head; None where no header says.
        pixel_mm: Distance of rows and of columns; empty where no header says.
    """

    name: str
    path: Path
    frame: int | None = None
    position_mm: float | None = None
    pixel_mm: tuple[float, ...] = ()

    def read(self) -> PixelSlice:
        """Returns the pixels.

        Raises:
            ValueError: If it cannot be read or its pixels cannot be proved; begins with the name.
        """
        if self.frame is None:
            return PixelSlice(
                decode_grey(read_input(self.path, name=self.name), name=self.name), (), ""
            )
        file = open_again(self.path, name=self.name.partition("#")[0])
        found = file.read(self.frame)
        return PixelSlice(found.hu, self.pixel_mm, found.repair)


@dataclass(frozen=True)
class PlacedSlice:
    """A slice of a DICOM file and what its header says of place and order; no text of it.

    Attributes:
        slice: The slice, its position not yet known.
        number: InstanceNumber, or 0.
        size: Rows and columns.
        spacing_mm: Distance of rows and of columns; empty where unknown.
        axes: ImageOrientationPatient; empty where absent.
        corner_mm: ImagePositionPatient; empty where absent.
        nominal_mm: SpacingBetweenSlices or else SliceThickness; None where absent.
        thickness_mm: SliceThickness; None where absent.
        gantry_deg: GantryDetectorTilt, or 0.
    """

    slice: InputSlice
    number: int
    size: tuple[int, int]
    spacing_mm: tuple[float, ...]
    axes: tuple[float, ...]
    corner_mm: tuple[float, ...]
    nominal_mm: float | None
    thickness_mm: float | None
    gantry_deg: float

    def fits(self, other: PlacedSlice) -> bool:
        """Returns whether both can be of one stack: planes of one direction, size and pixel."""
        pairs = ((self.axes, other.axes, 0.01), (self.spacing_mm, other.spacing_mm, 1e-4))
        return (self.size, bool(self.corner_mm)) == (other.size, bool(other.corner_mm)) and all(
            len(mine) == len(its)
            and all(abs(one - other) <= near for one, other in zip(mine, its, strict=True))
            for mine, its, near in pairs
        )


def read_input(path: Path, *, name: str) -> bytes:
    """Returns the content of a file, which may lie in a zip.

    Raises:
        ValueError: If it cannot be read or is larger than 1 GiB; begins with the name.
    """
    try:
        data = read_bytes(path, MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{name}: must be readable. Received: {error.strerror}") from None
    if len(data) > MAX_FILE_BYTES:
        raise ValueError(f"{name}: must not be larger than {MAX_FILE_BYTES} bytes. Received: more")
    return data


def open_again(path: Path, *, name: str) -> DicomFile:
    """Returns a DICOM file; the last one opened is kept, for its frames are read one by one.

    Raises:
        ValueError: As `open_dicom`, or if it cannot be read.
    """
    try:
        stat = (archive_of(path) or path).stat()
    except OSError as error:
        raise ValueError(f"{name}: must be readable. Received: {error.strerror}") from None
    return _opened(path, name, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1)
def _opened(path: Path, name: str, size: int, time: int) -> DicomFile:
    from stroke_tf.reading.dicom import open_dicom  # pictures need not wait for pydicom and SciPy

    return open_dicom(read_input(path, name=name), name=name, key=PATIENT_KEY)


def place_slice(file: DicomFile, frame: int, *, path: Path) -> PlacedSlice:
    """Returns a frame of a DICOM file with its place; what is not given as numbers is absent."""
    tags = file.tags
    name = f"{tags.name}#{frame + 1}" if file.frames > 1 else tags.name
    measures = tags.group("PixelMeasuresSequence", frame) or tags
    plane = tags.group("PlaneOrientationSequence", frame) or tags
    place = tags.group("PlanePositionSequence", frame) or tags
    thickness = _numbers(measures, "SliceThickness", 1)
    apart = _numbers(measures, "SpacingBetweenSlices", 1) or thickness
    spacing = _numbers(measures, "PixelSpacing", 2)
    spacing = spacing if spacing and min(spacing) > 0 else ()
    return PlacedSlice(
        slice=InputSlice(name, path, frame, pixel_mm=spacing),
        number=int((_numbers(tags, "InstanceNumber", 1) or (0.0,))[0]),
        size=(tags.integer("Rows", 0), tags.integer("Columns", 0)),
        spacing_mm=spacing,
        axes=_numbers(plane, "ImageOrientationPatient", 6),
        corner_mm=_numbers(place, "ImagePositionPatient", 3),
        nominal_mm=abs(apart[0]) if apart and apart[0] else None,
        thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
        gantry_deg=(_numbers(tags, "GantryDetectorTilt", 1) or (0.0,))[0],
    )


def _numbers(tags: Tags, keyword: str, count: int) -> tuple[float, ...]:
    try:
        found = tags.numbers(keyword)
    except ValueError:  # not needed for the pixels
        return ()
    return tuple(found) if len(found) == count else ()
