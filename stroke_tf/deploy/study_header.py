"""Patient and study of a series, for the DICOM files that become part of it: SEG, SR and captures.

Only this module reads text of a header, and the text goes into those files alone. Only the modules
that write them may import it (setup.cfg checks that). Values that would make a file invalid are
left out.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, uid

from stroke_tf.files import replacing
from stroke_tf.reading.dicom_header import Tags, elements
from stroke_tf.reading.input_slice import InputSlice, read_input
from stroke_tf.reading.series import SAME_PLACE_MM, Geometry, Series

SOFTWARE = "stroke_tf"
DESCRIPTION = "Stroke lesions, research software"
SERIES_NUMBERS = {"SEG": 9001, "SR": 9002, "captures": 9003}

_STUDY = (
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber"),
    *("ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
)  # all but the first may be empty, yet must be there
_IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"),
    *("Rows", "Columns", "NumberOfFrames"),
)
_UIDS = ("StudyInstanceUID", *_IMAGE[:4])
_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
_PLACE_GROUPS = (
    *("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"),
    "FrameContentSequence",
)
_DEIDENTIFIED = ("PatientIdentityRemoved", "DeidentificationMethod")
_FORMS = {
    "PatientSex": "[MFO]",
    "StudyDate": r"\d{8}",
    "PatientBirthDate": r"\d{8}",
    "StudyTime": r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?",
}


@dataclass(frozen=True)
class SourceImages:
    """The images of a series as DICOM files of results refer to them; without pixels.

    Attributes:
        images: One for each slice, or one file of several frames.
        frames: For each slice of the series its image, or its frame in that file.
    """

    images: tuple[Dataset, ...]
    frames: tuple[int, ...]

    def arrange(self, arrays: Iterable[np.ndarray]) -> np.ndarray:
        """Returns the masks of the slices of a series as one array, in the order of frames.

        Raises:
            ValueError: If there is not one for each slice, of its size.
        """
        shape = (len(self.frames), self.images[0].Rows, self.images[0].Columns)
        arranged, count = np.zeros(shape, np.uint8), 0
        for count, array in enumerate(arrays, start=1):
            if array.shape != shape[1:]:
                raise ValueError(
                    f"a mask must have the size of its slice, {shape[1:]}. Received: {array.shape}"
                )
            if count <= len(self.frames):
                arranged[self.frames[count - 1]] = array
        if count != len(self.frames):
            raise ValueError(
                f"there must be one mask for each of {len(self.frames)} slices. Received: {count}"
            )
        return arranged


def _check_extra() -> None:
    if importlib.util.find_spec("highdicom") is None:
        raise ValueError(
            "DICOM files must be written by highdicom: pip install 'stroke_tf[dicom]'. "
            "Received: not installed"
        )


def described(kind: str) -> dict[str, Any]:
    """Returns highdicom's arguments on a new series and the software that made it.

    Args:
        kind: A key of `SERIES_NUMBERS`.
    """
    return {
        "series_number": SERIES_NUMBERS[kind],
        "series_description": DESCRIPTION,
        "manufacturer": SOFTWARE,
        "manufacturer_model_name": SOFTWARE,
        "software_versions": software_version(),
    }


def software_version() -> str:
    """Returns the version of this package."""
    try:
        return importlib.metadata.version(SOFTWARE)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


def read_sources(series: Series) -> SourceImages:
    """Returns the headers of a series' images, cut down to what files of results need of them.

    Raises:
        ValueError: If highdicom is not installed, the series has no places in a patient,
            identifiers are missing, or it is made of several files of several frames.
    """
    _check_extra()
    geometry = series.geometry
    if geometry is None or geometry.is_assumed:
        raise ValueError(
            f"{series.name}: a DICOM file of results must have a source with "
            "ImagePositionPatient, ImageOrientationPatient and PixelSpacing. Received: none"
        )
    slices = series.slices
    for below, above in pairwise(slices):
        if (above.position_mm or 0) - (below.position_mm or 0) <= SAME_PLACE_MM:
            raise ValueError(
                f"{series.name}: a DICOM file of results must have a source with one slice at a "
                f"position. Received: {below.name} and {above.name}"
            )
    if len({slice_.path for slice_ in slices}) == len(slices):
        images = tuple(_image(slice_, geometry) for slice_ in slices)
        frames = tuple(range(len(slices)))
    else:
        images = (_image(slices[0], geometry),)
        frames = tuple(slice_.frame or 0 for slice_ in slices)
        if sorted(frames) != list(range(images[0].get("NumberOfFrames", 1))):
            raise ValueError(
                f"{series.name}: a DICOM file of results must have a source of single-frame "
                "files, or one file with all its frames. Received: some frames of a file"
            )
    _check_one_place(series, images)
    return SourceImages(images, frames)


def save_dicom(build: Callable[[], Dataset], series: Series, out: Path) -> Path:
    """Writes the file that `build` makes of a series; returns its path.

    Raises:
        OSError: If it cannot be written.
        ValueError: If the series does not make one; highdicom's own words may quote the header.
    """
    dataset = Tags(Dataset(), series.name).guarded(build, "must be a series that highdicom takes")
    with replacing(out) as temporary:
        dataset.save_as(temporary)
    return out


def _image(source: InputSlice, geometry: Geometry) -> Dataset:
    name = source.name.partition("#")[0]
    tags = elements(
        read_input(source.path, name=name),
        name=name,
        keywords=[*_STUDY, *_IMAGE, *_GROUPS, "SpecificCharacterSet", *_DEIDENTIFIED],
    )
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 192"
    image.Modality = "CT"
    image.PositionReferenceIndicator = None
    for keyword in _STUDY:
        setattr(image, keyword, _text(tags, keyword))
    _keep_deidentification(tags, image)
    for keyword in _IMAGE:
        if (value := tags.value(keyword)) not in (None, ""):
            setattr(image, keyword, value)
    for keyword in _GROUPS:
        if items := tags.items(keyword):
            setattr(image, keyword, [_place_of(item) for item in items])
    missing = [keyword for keyword in _UIDS if not uid.UID(str(image.get(keyword) or "")).is_valid]
    if missing:
        raise tags.fault(f"a DICOM file of results must have a source with {', '.join(missing)}")
    if "SharedFunctionalGroupsSequence" not in image and "SliceThickness" not in image:
        image.SliceThickness = f"{np.median(geometry.thickness_mm):.6g}"
    return image


def _keep_deidentification(tags: Tags, image: Dataset) -> None:
    """Copies the note that identifiers were removed, if it is there; it needs the method too."""
    if "YES" in tags.words("PatientIdentityRemoved"):
        image.PatientIdentityRemoved = "YES"
        image.DeidentificationMethod = _text(tags, "DeidentificationMethod") or "Not stated"


def _text(tags: Tags, keyword: str) -> str | None:
    """Returns an identifier; None where it is absent or not in a form that may be written."""
    text = "\\".join(str(one) for one in tags.several(keyword)).strip()
    form = _FORMS.get(keyword)
    return text if text and (form is None or re.fullmatch(form, text)) else None


def _place_of(item: Tags) -> Dataset:
    """Returns the part of a functional group that says where a frame lies."""
    kept = Dataset()
    for keyword in _PLACE_GROUPS:
        if keyword in item.dataset:
            kept[keyword] = item.dataset[keyword]
    return kept


def _check_one_place(series: Series, images: Sequence[Dataset]) -> None:
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        if len({str(image.get(keyword)) for image in images}) > 1:
            raise ValueError(
                f"{series.name}: a DICOM file of results must have a source of one {keyword}. "
                "Received: several"
            )
