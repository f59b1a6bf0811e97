"""Writes phantom patients as the files of a TEKNOFEST folder: DICOM, PNG, MASK and OVERLAY."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from data_tools.phantom.anatomy import Head, draw_anatomy, draw_head
from data_tools.phantom.lesions import Lesion, add_lesion, draw_lesion
from data_tools.phantom.scanner import Position, draw_position, draw_window, scan
from data_tools.phantom.shapes import EQUATOR_MM, Floats
from stroke_tf.config import Window
from stroke_tf.labels import StrokeType
from stroke_tf.reading.hu_values import grey_view
from stroke_tf.reading.mask_pictures import MASK_COLOURS, paint_overlay

if TYPE_CHECKING:
    from pydicom import Dataset

SLICES = 8
"""Slices of one patient, from the posterior fossa to the vertex."""

_INTERCEPT = -1024


@dataclass(frozen=True)
class Patient:
    """Properties of a patient that are fixed before drawing.

    Attributes:
        seed: Seed of the whole set.
        number: Number of the patient, which with the seed decides all of its looks.
        stroke_type: NONE, or the type of the one lesion.
        lesion_start: The lesion lies in the slices from this one on, `SLICES` of them; a number
            below 0 or a lesion that ends above the head leaves it fewer.
        ids: Id of each slice, from the lowest to the highest.
    """

    seed: int
    number: int
    stroke_type: StrokeType
    lesion_start: int
    ids: tuple[int, ...]

    @property
    def name(self) -> str:
        """The fictional patient id."""
        return f"PHANTOM-{self.number:03d}"

    def slice_type(self, index: int) -> StrokeType:
        """Returns the class that a slice shows."""
        within = self.lesion_start <= index < self.lesion_start + SLICES
        return self.stroke_type if within else StrokeType.NONE


@dataclass(frozen=True)
class PatientTask:
    """One patient and where its files go.

    Attributes:
        patient: The patient.
        folders: The folder that holds DICOM, PNG, MASK and OVERLAY, for each type of slice;
            slices of a type without a folder are not written.
        with_masks: Whether lesion slices get a MASK and an OVERLAY.
        size: Side of the slices in pixels.
    """

    patient: Patient
    folders: dict[StrokeType, Path]
    with_masks: bool
    size: int


@dataclass(frozen=True)
class _Slice:
    hu: Floats
    lesion: Floats
    window: Window
    pixel_mm: float
    z_mm: float


def write_patient(task: PatientTask) -> list[tuple[int, str, StrokeType]]:
    """Draws one patient and writes its slices; equal tasks write equal bytes.

    Returns:
        Id, patient name and type of each slice written.

    Raises:
        OSError: If a file cannot be written.
    """
    patient, rows = task.patient, []
    for index, drawn in _draw_slices(task):
        _write_slice(task, index, drawn)
        rows.append((patient.ids[index], patient.name, patient.slice_type(index)))
    return rows


def _draw_slices(task: PatientTask) -> Iterator[tuple[int, _Slice]]:
    patient = task.patient
    rng = np.random.default_rng([patient.seed, patient.number])
    head, position, heights = draw_head(rng), draw_position(rng), rng.uniform(size=2)
    heights_mm = np.linspace(
        15.5 + 4.5 * heights[0],
        EQUATOR_MM + head.half_axes_mm[2] * (0.78 + 0.1 * heights[1]),
        SLICES,
    )
    has_lesion = patient.stroke_type != StrokeType.NONE
    lesion = draw_lesion(rng, patient.stroke_type) if has_lesion else None
    for index, z_mm in enumerate(heights_mm):
        if (stroke_type := patient.slice_type(index)) in task.folders:
            # Largest in its middle
            off_centre = (index - patient.lesion_start - (SLICES - 1) / 2) / (SLICES / 2)
            yield (
                index,
                _draw_slice(
                    head,
                    position,
                    lesion if stroke_type != StrokeType.NONE else None,
                    scale=1 - 0.5 * off_centre**2,
                    z_mm=float(z_mm),
                    size=task.size,
                    rng=np.random.default_rng([patient.seed, patient.number, index]),
                ),
            )


def _draw_slice(
    head: Head,
    position: Position,
    lesion: Lesion | None,
    *,
    scale: float,
    z_mm: float,
    size: int,
    rng: np.random.Generator,
) -> _Slice:
    anatomy = draw_anatomy(head, z_mm, size=size)
    hu, inside = anatomy.hu, np.full_like(anatomy.hu, -1)
    if lesion is not None:
        hu, inside = add_lesion(anatomy, head, lesion, scale=scale)
    scanned, mask = scan(hu, inside, head=head, position=position, z_mm=z_mm, rng=rng)
    return _Slice(scanned, mask, draw_window(rng), head.fov_mm / size, z_mm)


def _write_slice(task: PatientTask, index: int, drawn: _Slice) -> None:
    stroke_type, name = task.patient.slice_type(index), str(task.patient.ids[index])
    folder = task.folders[stroke_type]
    picture = cv2.cvtColor(grey_view(drawn.hu, window=drawn.window), cv2.COLOR_GRAY2RGBA)
    _write_dicom(folder / "DICOM" / f"{name}.dcm", _dicom(task.patient, index, drawn))
    _write_png(folder / "PNG" / f"{name}.png", picture)
    if task.with_masks and stroke_type != StrokeType.NONE:
        colours = np.array([MASK_COLOURS[StrokeType.NONE], MASK_COLOURS[stroke_type]], np.uint8)
        _write_png(folder / "MASK" / f"{name}.png", colours[drawn.lesion.astype(np.uint8)])
        overlay = paint_overlay(picture, drawn.lesion, stroke_type)
        _write_png(folder / "OVERLAY" / f"{name}.png", overlay)


def _write_png(path: Path, pixels: Floats) -> None:
    """Writes uint8 RGB or RGBA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(pixels, code))[1].tobytes())


def _write_dicom(path: Path, dataset: Dataset) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _dicom(patient: Patient, index: int, drawn: _Slice) -> Dataset:
    """Returns a CT Image Storage data set that names nobody and no date."""
    # Imported here: its decoders take a third of a second to load, too long for `--help`.
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    entropy = ["stroke_tf phantom", str(patient.seed), patient.name]
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[*entropy, str(index)])
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, generate_uid(entropy_srcs=[*entropy, keyword]))
    for keyword in _EMPTY:  # must be present, may be empty
        setattr(dataset, keyword, None)
    dataset.PatientID = patient.name
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Computer-generated phantom: there is no patient"
    dataset.Modality = "CT"
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = index + 1
    dataset.PatientPosition = "HFS"
    _set_pixels(dataset, drawn)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


_EMPTY = (
    *("PatientName", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "Manufacturer", "PositionReferenceIndicator"),
    *("AcquisitionNumber", "KVP"),
)


def _set_pixels(dataset: Dataset, drawn: _Slice) -> None:
    corner = (drawn.pixel_mm - drawn.pixel_mm * len(drawn.hu)) / 2
    dataset.ImagePositionPatient = [f"{value:.4f}" for value in (corner, corner, drawn.z_mm)]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [f"{drawn.pixel_mm:.6f}"] * 2
    dataset.SliceThickness = "5"
    dataset.Rows, dataset.Columns = drawn.hu.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit = 15
    dataset.PixelRepresentation = 0
    dataset.RescaleIntercept = str(_INTERCEPT)
    dataset.RescaleSlope = "1"
    dataset.RescaleType = "HU"
    dataset.WindowCenter, dataset.WindowWidth = (str(value) for value in drawn.window)
    stored = (drawn.hu.astype(np.int32) - _INTERCEPT).astype("<u2")
    dataset.PixelData = stored.tobytes()
