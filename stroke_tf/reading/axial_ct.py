"""Whether a DICOM file holds axial CT pictures, told by its header alone."""

from __future__ import annotations

import math

from pydicom import uid

from stroke_tf.reading.dicom_header import Tags, is_ct
from stroke_tf.reading.stored_values import check_present, check_whole

MAX_PIXELS = 4096 * 4096
_MAX_FRAMES = 65_536
_SINGLE = {uid.CTImageStorage}
_MULTI = {uid.EnhancedCTImageStorage, uid.LegacyConvertedEnhancedCTImageStorage}
_MOST_OBLIQUE = math.cos(math.radians(45))  # gantries are tilted by up to 30 degrees
_GREY = {"MONOCHROME1", "MONOCHROME2"}


class NotAxialCtError(ValueError):
    """A sound DICOM file that is no axial CT picture; nothing to be mended."""


class OtherViewError(NotAxialCtError):
    """A CT picture of another plane, or a scout."""


def check_axial_ct(tags: Tags) -> int:
    """Returns the number of frames of a file whose frames all may be axial CT slices.

    Raises:
        NotAxialCtError: If it is of another SOP class or modality, or in colour.
        OtherViewError: If it is a localizer, or its planes lean by more than 45 degrees.
        ValueError: If its pixels are not there whole or make no single grey picture.
    """
    _check_class(tags)
    check_present(tags)
    _check_kind(tags)
    frames = tags.integer("NumberOfFrames", 1)
    several = tags.value("SOPClassUID") in _MULTI
    _check_range(tags, "NumberOfFrames", frames, range(1, _MAX_FRAMES if several else 2))
    for frame in range(frames):
        _check_plane(tags, frame)
    rows, columns = tags.integer("Rows", 0), tags.integer("Columns", 0)
    if not 0 < rows * columns <= MAX_PIXELS:
        raise tags.fault(f"Rows x Columns must be 1 to {MAX_PIXELS}. Received: {rows} x {columns}")
    _check_range(tags, "SamplesPerPixel", tags.integer("SamplesPerPixel", 1), (1,))
    _check_range(tags, "BitsAllocated", tags.integer("BitsAllocated", 16), (8, 16))
    _check_range(tags, "PixelRepresentation", tags.integer("PixelRepresentation", 0), (0, 1))
    check_whole(tags)
    return frames


def _check_class(tags: Tags) -> None:
    sop_class = tags.value("SOPClassUID")
    if sop_class and sop_class not in _SINGLE | _MULTI:
        known = uid.UID_dictionary.get(str(sop_class))
        _refuse(
            tags, f"SOP class must be a CT image's. Received: {known[0] if known else 'another'}"
        )


def _check_kind(tags: Tags) -> None:
    if not is_ct(tags):
        _refuse(tags, "Modality must be CT. Received: another or none")
    photometric = tags.words("PhotometricInterpretation") or {"MONOCHROME2"}
    if not photometric <= _GREY:
        known_words = {"PALETTE COLOR", "RGB", "ARGB", "HSV", "CMYK", "YBR_FULL", "YBR_FULL_422"}
        received = ", ".join(sorted(photometric & known_words)) or "another"
        _refuse(
            tags, f"PhotometricInterpretation must be one of {sorted(_GREY)}. Received: {received}"
        )


def _check_plane(tags: Tags, frame: int) -> None:
    kind = tags.group("CTImageFrameTypeSequence", frame)
    if "LOCALIZER" in tags.words("ImageType") | (kind.words("FrameType") if kind else set()):
        raise OtherViewError(
            f"{tags.name}: must be an axial slice. Received: ImageType LOCALIZER (a scout)"
        )
    place = tags.group("PlaneOrientationSequence", frame) or tags
    axes = place.numbers("ImageOrientationPatient")
    if len(axes) != 6:
        return
    (a, b, c), (d, e, f) = axes[:3], axes[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    length = math.hypot(*normal)
    if length and abs(normal[2]) < _MOST_OBLIQUE * length:
        name = "sagittal" if abs(normal[0]) > abs(normal[1]) else "coronal"
        raise OtherViewError(
            f"{tags.name}: must be an axial slice. Received: a {name} one (ImageOrientationPatient)"
        )


def _refuse(tags: Tags, rule: str) -> None:
    raise NotAxialCtError(f"{tags.name}: {rule}")


def _check_range(tags: Tags, keyword: str, value: int, allowed: range | tuple[int, ...]) -> None:
    if value not in allowed:
        shown = tuple(allowed) if len(allowed) < 5 else f"{allowed[0]} to {allowed[-1]}"
        raise tags.fault(f"{keyword} must be one of {shown}. Received: {value}")
