"""CT slices out of a DICOM file, in Hounsfield units that are proved by header and picture.

It must not know of folders, records on disk or TensorFlow. No text of a header leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stroke_tf.reading.axial_ct import NotAxialCtError, check_axial_ct
from stroke_tf.reading.dicom_header import Tags, parse, patient_of, silence, spacing_of, windows_of
from stroke_tf.reading.hu_proof import (
    LOWEST_HU,
    PADDING,
    Verdict,
    describe,
    thin_out,
    touching_edge,
)
from stroke_tf.reading.known_readings import (
    Reading,
    cleared,
    judge_whole,
    proved_readings,
    smoothest,
)
from stroke_tf.reading.rescale import rescale_of
from stroke_tf.reading.stored_values import (
    check_whole,
    declared_bits,
    decode_words,
    doubts_of_bits,
)

__all__ = [
    "DicomFile",
    "Header",
    "HuSlice",
    "NotAxialCtError",
    "open_dicom",
    "read_dicom",
    "read_header",
]

_REACHES_AIR = -900  # the least value that a header must be able to say


@dataclass(frozen=True)
class Header:
    """Windows and patient of a DICOM file.

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
        repair: How the values were read otherwise than the header says, in words; mostly empty.
        spacing_mm: Distance of rows, of columns and of slices; empty where the header gives none.
    """

    hu: np.ndarray
    repair: str
    spacing_mm: tuple[float, ...]


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file of axial CT slices, its pixels not yet decoded.

    Attributes:
        frames: Number of slices.
        patient: As in `Header`.
        tags: What its header says.
    """

    frames: int
    patient: str | None
    tags: Tags

    @silence()
    def read(self, frame: int) -> HuSlice:
        """Returns a slice, the first of them 0.

        Header and picture must agree that the values are HU. A header that leaves nothing open is
        believed unless the picture contradicts: an area at the far end of the scale, or air and
        water 1024 HU off. Any other reading must show air outside and tissue inside, and must be
        the only one that does. A missing intercept is never guessed. Padding becomes air: whatever
        lies below -1024 HU, and the declared padding value where it reaches the edge of the slice
        in one piece. The same value inside the head is left alone, because a declared padding of,
        say, 0 HU is also that of fluid.

        Raises:
            ValueError: If the frame is damaged or its values cannot be proved to be HU. The message
                holds no header text.
        """
        several = self.frames > 1
        tags = replace(self.tags, name=f"{self.tags.name}#{frame + 1}") if several else self.tags
        hu, repair = _proved_hu(tags, frame)
        return HuSlice(windows_of(tags, frame), self.patient, hu, repair, spacing_of(tags, frame))


@silence()
def open_dicom(data: bytes, *, name: str, key: bytes) -> DicomFile:
    """Returns a DICOM file whose frames all may be axial CT slices.

    Args:
        data: Content of the file, with or without preamble; uncompressed, deflated, RLE, JPEG
            lossless or JPEG 2000.
        name: File name for the error messages; that of a frame is `name#1` and so on.
        key: Secret for `Header.patient`, at least one byte.

    Raises:
        NotAxialCtError: If it is another kind of picture, such as a scout or a screen shot.
        ValueError: If the file is not whole. The message holds no header text.
    """
    _check_key(key)
    tags = parse(data, name=name)
    return DicomFile(check_axial_ct(tags), patient_of(tags, key=key), tags)


def read_dicom(data: bytes, *, name: str, key: bytes) -> HuSlice:
    """Returns the slice of a DICOM file of one frame; see `open_dicom` and `DicomFile.read`."""
    file = open_dicom(data, name=name, key=key)
    if file.frames > 1:
        raise ValueError(f"{name}: NumberOfFrames must be 1. Received: {file.frames}")
    return file.read(0)


@silence()
def read_header(data: bytes, *, name: str, key: bytes) -> Header:
    """Returns windows and patient of a DICOM file, its pixels not decoded.

    Raises:
        ValueError: If the file is not DICOM or does not hold its pixels whole. The message holds no
            header text.
    """
    _check_key(key)
    tags = parse(data, name=name)
    check_whole(tags)
    return Header(windows_of(tags, 0), patient_of(tags, key=key))


def _check_key(key: bytes) -> None:
    if not key:
        raise ValueError("`key` must not be empty. Received: 0 bytes")


def _proved_hu(tags: Tags, frame: int) -> tuple[np.ndarray, str]:
    """Returns int16 HU of a frame, padding as air, and how they were read."""
    bits, rescale = declared_bits(tags), rescale_of(tags, frame)
    words = decode_words(tags, frame)
    declared = Reading(bits, rescale)
    hu = declared.hounsfield(words)
    _set_padding(hu, tags, declared, words)
    doubts = [*rescale.doubts, *doubts_of_bits(tags, words, bits, frame), *_unreachable(declared)]
    verdict = judge_whole(hu)
    if doubts or verdict in ("odd", "wrong"):
        reading, hu = _settled(tags, declared, words, hu, doubts, verdict)
        return cleared(hu).astype(np.int16), reading.told_against(declared)
    return cleared(hu).astype(np.int16), ""


def _settled(
    tags: Tags,
    declared: Reading,
    words: np.ndarray,
    hu: np.ndarray,
    doubts: list[str],
    verdict: Verdict,
) -> tuple[Reading, np.ndarray]:
    """Returns the one reading that is proved, or a header that nothing contradicts, and its HU."""
    found = proved_readings(declared, words)
    if declared.rescale.intercept is None and declared.rescale.table is None:
        found = [candidate for candidate in found if candidate[0] == declared]  # never guessed
    if verdict == "odd" and not doubts:
        found.append((declared, hu))
    if best := smoothest(found):
        return (declared, hu) if best[0] == declared else best
    seen = describe(thin_out(hu))
    ways = f"{len(found)} ways to read it that do" if found else "no way to read it that does"
    raise tags.fault(
        "must show a head in HU, air near -1000 outside and tissue inside. Received: "
        + "; ".join([*doubts, seen, ways])
    )


def _unreachable(declared: Reading) -> list[str]:
    rescale, lowest = declared.rescale, np.array([declared.bits.lowest()])
    if rescale.intercept is None or int(rescale.hounsfield(lowest)[0]) <= _REACHES_AIR:
        return []
    return ["values that cannot reach air by sign and RescaleIntercept"]


def _set_padding(hu: np.ndarray, tags: Tags, declared: Reading, words: np.ndarray) -> None:
    """Sets the declared padding value or range to `PADDING` where it reaches the slice's edge."""
    value = tags.numbers("PixelPaddingValue")
    if not value:
        return
    stored = declared.bits.values(words)
    limit = tags.numbers("PixelPaddingRangeLimit") or value
    # Some writers give a negative padding as unsigned: -2000 as 63536.
    ends = np.array([value[0], limit[0]]).astype(np.int64)
    ends = np.sort(ends.astype(np.int16 if stored.dtype.kind == "i" else np.uint16))
    if (declared.rescale.hounsfield(ends) >= LOWEST_HU).any():  # else it is told by its HU
        hu[touching_edge((stored >= ends[0]) & (stored <= ends[1]))] = PADDING
