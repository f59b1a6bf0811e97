"""DICOM series of a phantom head on the disk, whole CT images, for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pydicom
from dicom_files import head, make_header, to_bytes
from pydicom import uid

UPRIGHT = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
MADE_UP = ("ZZYZX", "19010203", "040506.07")
"""Name, date and time of a person whom nobody is."""

EMPTY = (
    *("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "Manufacturer", "AcquisitionNumber", "KVP"),
    "PositionReferenceIndicator",
)


def tilted(degrees: float) -> list[float]:
    """ImageOrientationPatient of planes that lean about the x axis."""
    angle = np.radians(degrees)
    return [1.0, 0.0, 0.0, 0.0, round(np.cos(angle), 9), -round(np.sin(angle), 9)]


def ct_image(place: int, corner: Sequence[float] | None, **values: object) -> pydicom.Dataset:
    """A whole CT image of the phantom head; `values` are elements to set, None to leave out."""
    series = str(values.pop("series", "a"))
    found: dict[str, object] = {
        "SOPInstanceUID": uid.generate_uid(entropy_srcs=[series, "image", str(place)]),
        "StudyInstanceUID": uid.generate_uid(entropy_srcs=["study"]),
        "SeriesInstanceUID": uid.generate_uid(entropy_srcs=[series, "series"]),
        "FrameOfReferenceUID": uid.generate_uid(entropy_srcs=["frame of reference"]),
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientPosition": "HFS",
        "SeriesNumber": 1,
        "InstanceNumber": place + 1,
        "PixelSpacing": [2.0, 2.0],
        "SliceThickness": 5,
        "ImageOrientationPatient": UPRIGHT,
        "ImagePositionPatient": None if corner is None else list(corner),
        "RescaleType": "HU",
    }
    header = make_header(np.array(head()), **(found | values))
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    for keyword in EMPTY:
        if keyword not in header:
            setattr(header, keyword, None)
    return header


def write_series(
    folder: Path,
    corners: Sequence[Sequence[float] | None],
    *,
    names: Sequence[str] = (),
    each: Mapping[int, Mapping[str, object]] | None = None,
    **values: object,
) -> list[Path]:
    """Writes one file a corner (ImagePositionPatient); `each` holds elements of single files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, corner in enumerate(corners):
        name = names[place] if names else f"{place:03d}.dcm"
        image = ct_image(place, corner, **(dict(values) | dict((each or {}).get(place, {}))))
        (folder / name).write_bytes(to_bytes(image))
        paths.append(folder / name)
    return paths


def upright(heights: Sequence[float]) -> list[tuple[float, float, float]]:
    """The corners of upright slices at these heights."""
    return [(-96.0, -96.0, float(height)) for height in heights]


def enhanced(corners: Sequence[Sequence[float]], **values: object) -> pydicom.Dataset:
    """An enhanced CT file of several frames of the phantom head."""
    stored = np.stack([head()] * len(corners))
    header = ct_image(0, None, PixelSpacing=None, SliceThickness=None, ImageOrientationPatient=None)
    header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = uid.EnhancedCTImageStorage
    header.NumberOfFrames, header.PixelData = len(corners), stored.tobytes()
    for keyword, value in values.items():
        setattr(header, keyword, value)
    header.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=[2.0, 2.0], SliceThickness=5)],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=UPRIGHT)],
        )
    ]
    header.PerFrameFunctionalGroupsSequence = [
        _item(PlanePositionSequence=[_item(ImagePositionPatient=list(corner))])
        for corner in corners
    ]
    return header


def of_made_up_person(image: pydicom.Dataset) -> pydicom.Dataset:
    """Puts `MADE_UP` in every kind of element that can name a person, private ones too."""
    name, date, time = MADE_UP
    person = (
        *("PatientName", "PatientID", "OtherPatientNames", "PatientAddress", "PatientComments"),
        *("ReferringPhysicianName", "OperatorsName", "PerformingPhysicianName", "StationName"),
        *("InstitutionName", "InstitutionAddress", "StudyDescription", "SeriesDescription"),
        *("AccessionNumber", "StudyID", "ImageComments", "Manufacturer", "DeviceSerialNumber"),
        *("ProtocolName", "BodyPartExamined", "RequestedProcedureDescription", "MedicalAlerts"),
    )
    for keyword in person:
        setattr(image, keyword, name)
    for keyword in ("PatientBirthDate", "StudyDate", "SeriesDate", "ContentDate"):
        setattr(image, keyword, date)
    for keyword in ("PatientBirthTime", "StudyTime", "SeriesTime", "ContentTime"):
        setattr(image, keyword, time)
    image.OtherPatientIDsSequence = [_item(PatientID=name, TypeOfPatientID="TEXT")]
    block = image.private_block(0x0099, name, create=True)
    for place, kind in enumerate(("LO", "PN", "UT", "ST")):
        block.add_new(place, kind, name)
    return image


def _item(**values: object) -> pydicom.Dataset:
    item = pydicom.Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return item
