"""Reads and checks one slice: its picture or DICOM file, its mask or overlay, its patient."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from data_tools.names import readable, split_name
from data_tools.options import Colour, MaskMethod, Prefer
from data_tools.overlays import check_overlay, mask_from_binary, mask_from_overlay
from data_tools.same_picture import check_same_picture
from data_tools.scan import SliceFiles
from stroke_tf.config import Window
from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.manifest import Rejected
from stroke_tf.near_duplicates import dhash, turned_hashes
from stroke_tf.reading.archives import read_bytes
from stroke_tf.reading.hu_values import grey_view, hu_of_16_bits
from stroke_tf.reading.mask_pictures import is_coloured, mask_from_colours, mask_from_values
from stroke_tf.reading.nifti import SUFFIXES as VOLUMES
from stroke_tf.reading.nifti import check_same_place, read_plane, read_volume
from stroke_tf.reading.pictures import (
    ColouredPictureError,
    decode_16_bits,
    decode_colours,
    decode_grey,
)
from stroke_tf.records import Pixels

if TYPE_CHECKING:
    from stroke_tf.reading.dicom import DicomFile, Header


@dataclass(frozen=True)
class Reading:
    """How slices are read.

    Attributes:
        prefer: Which file gives the pixels where a slice has both.
        mask_method: How a mask is taken from an overlay where there is no mask file.
        patient_key: Key of the patient hashes.
        colour: Whether coloured pictures are refused or read as grey.
        hu_offset: The number that pictures of 16 bits add to HU.
    """

    prefer: Prefer = "png"
    mask_method: MaskMethod = "difference"
    patient_key: bytes = b""
    colour: Colour = "refuse"
    hu_offset: int | None = None


@dataclass(frozen=True)
class Slice:
    """One slice, read and checked.

    Attributes:
        image: Shape (H, W): uint8 grey, or int16 HU.
        mask: uint8 class ids, shape (H, W); None where the source has none.
        stroke_type: What the slice shows; None where the source says nothing.
        patient: The layout's patient or a keyed hash of the DICOM header's; None where unknown.
        dhash: 32-byte difference hash of the picture (brain window where it is HU).
        turned: Its hashes in eight orientations, 256 bytes; None where the source names patients.
        windows: HU windows that the DICOM header names.
        sha256: Hash of all its files' bytes.
        coloured: Whether a coloured picture was read as grey.
        spacing_mm: Distance of rows, of columns and of slices; empty where unknown.
        repair: How a DICOM file was read otherwise than its header says; mostly empty.
    """

    image: np.ndarray
    mask: np.ndarray | None
    stroke_type: StrokeType | None
    patient: str | None
    dhash: bytes
    turned: bytes | None
    windows: tuple[Window, ...]
    sha256: str
    coloured: bool = False
    spacing_mm: tuple[float, ...] = ()
    repair: str = ""

    @property
    def pixels(self) -> Pixels:
        """The kind of values in the image, as a record names it."""
        return "gray8" if self.image.dtype == np.uint8 else "hu16"


def read_slices(
    root: Path, files: SliceFiles, reading: Reading
) -> Iterator[tuple[str, Slice | list[Rejected]]]:
    """Yields the id of each slice with the slice, or with all its faults.

    Only a DICOM file of several frames gives several slices; their ids are `id#1`, `id#2` and so
    on. The paths of files are relative to `root`.
    """
    return _Reader(root, files, reading).read()


def unlabelled(files: SliceFiles) -> Rejected:
    """Returns the fault of a slice that has neither a label nor a mask."""
    row = f" ({files.row})" if files.row else ""
    return Rejected(files.first, f"must have a label or a mask. Received: neither{row}")


_T = TypeVar("_T")


class _Reader:
    """Collects the faults of one slice while it is read, so that one run names them all."""

    def __init__(self, root: Path, files: SliceFiles, reading: Reading) -> None:
        self.root, self.files, self.reading = root, files, reading
        self.faults: list[Rejected] = []
        self.digest = hashlib.sha256()
        self.windows: tuple[Window, ...] = ()
        self.patient = files.patient
        self.coloured = False
        self.spacing_mm: tuple[float, ...] = ()
        self.repair = ""

    def read(self) -> Iterator[tuple[str, Slice | list[Rejected]]]:
        files = self.files
        if files.dicom and (self.reading.prefer == "dicom" or not files.picture):
            yield from self._read_dicom(files.dicom)
            return
        if files.dicom:
            self._try(files.dicom, self._read_header)
        if files.plane is not None and files.picture:
            image = self._try_volume(files.picture, self._read_plane)
        else:
            image = self._try(files.picture, self._read_grey) if files.picture else None
        yield files.source_id, self._finish(image)

    def _read_dicom(self, file: str) -> Iterator[tuple[str, Slice | list[Rejected]]]:
        source_id, dicom = self.files.source_id, self._try(file, self._open_dicom)
        if dicom is None or dicom.frames == 1:
            yield source_id, self._finish(self._read_hu(dicom, 0) if dicom else None)
            return
        for frame in range(dicom.frames):
            self.faults = []
            yield f"{source_id}#{frame + 1}", self._finish(self._read_hu(dicom, frame))

    def _finish(self, image: np.ndarray | None) -> Slice | list[Rejected]:
        mask = self._read_mask(image)
        stroke_type = self._stroke_type(mask)
        if self.faults or image is None:
            return self.faults
        grey = grey_view(image)
        return Slice(
            image=image,
            mask=mask,
            stroke_type=stroke_type,
            patient=self.patient,
            dhash=dhash(grey),
            turned=None if self.files.patient else turned_hashes(grey),
            windows=self.windows,
            sha256=self.digest.hexdigest(),
            coloured=self.coloured,
            spacing_mm=self.spacing_mm,
            repair=self.repair,
        )

    def _open_dicom(self, data: bytes, name: str) -> DicomFile:
        from stroke_tf.reading.dicom import open_dicom  # pictures need no pydicom, no SciPy

        file = open_dicom(data, name=name, key=self.reading.patient_key)
        beside = [
            path for path in (self.files.picture, self.files.mask, self.files.overlay) if path
        ]
        if file.frames > 1 and beside:
            raise ValueError(
                f"{name}: must have one frame where another file is of its id, {beside[0]}. "
                f"Received: {file.frames} frames"
            )
        if file.frames > 1:  # of one patient, named or not
            self.patient = self.patient or file.patient or self.digest.hexdigest()[:16]
        return file

    def _read_hu(self, file: DicomFile, frame: int) -> np.ndarray | None:
        try:
            read = file.read(frame)
        except ValueError as error:
            name = f"{self.files.dicom}#{frame + 1}" if file.frames > 1 else self.files.dicom
            self._reject(name, str(error).removeprefix(f"{name}: "))
            return None
        self._keep(read)
        self.repair, self.spacing_mm = read.repair, read.spacing_mm
        if self.files.picture:
            self._try(self.files.picture, partial(self._compare, read.hu))
        return read.hu

    def _compare(self, hu: np.ndarray, data: bytes, name: str) -> None:
        check_same_picture(hu, self._read_grey(data, name), name=name)

    def _read_header(self, data: bytes, name: str) -> None:
        from stroke_tf.reading.dicom import read_header

        self._keep(read_header(data, name=name, key=self.reading.patient_key))

    def _keep(self, header: Header) -> None:
        self.windows = header.windows
        self.patient = self.patient or header.patient

    def _read_grey(self, data: bytes, name: str) -> np.ndarray:
        offset = self.reading.hu_offset
        if offset is not None and (values := decode_16_bits(data, name=name)) is not None:
            return hu_of_16_bits(values, offset=offset, name=name)
        try:
            return decode_grey(data, name=name)
        except ColouredPictureError as error:
            if self.reading.colour == "refuse":
                hint = "a tint or a caption is read as grey with --colour grey"
                raise ValueError(f"{error}; {hint}") from error
        self.coloured = True
        colours = decode_colours(data, name=name)
        return np.asarray(cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY), np.uint8)

    def _read_mask(self, image: np.ndarray | None) -> np.ndarray | None:
        files = self.files
        if files.mask and split_name(files.mask)[1] in VOLUMES:
            mask = self._try_volume(files.mask, self._read_mask_plane)
        elif files.mask:
            mask = self._try(files.mask, self._decode_mask)
            if files.overlay:  # the mask is taken, yet both must show the same
                self._try(files.overlay, partial(self._check_overlay, image, mask))
        elif files.overlay:
            mask = self._try(files.overlay, partial(self._from_overlay, image))
        else:
            return None
        if mask is not None and image is not None and mask.shape != image.shape:
            self._reject(
                files.mask or files.overlay,
                f"must have the size of its picture, {image.shape}. Received: {mask.shape}",
            )
        return mask

    def _read_plane(self, path: Path, name: str, plane: int) -> np.ndarray:
        self.spacing_mm = read_volume(path, name=name).spacing_mm
        return read_plane(path, plane, name=name)

    def _read_mask_plane(self, path: Path, name: str, plane: int) -> np.ndarray:
        picture = self.files.picture or ""
        mask = read_volume(path, name=name)
        check_same_place(mask, read_volume(self.root / picture, name=picture), name=name)
        values = self.files.mask_values
        if not values and self.files.stroke_type in LESION_CLASSES:
            values = ((1, self.files.stroke_type),)
        return mask_from_values(mask.values[plane], values, name=name)

    def _decode_mask(self, data: bytes, name: str) -> np.ndarray:
        files = self.files
        if files.mask_kind == "values":
            return mask_from_values(decode_grey(data, name=name), files.mask_values, name=name)
        if files.mask_kind != "binary":
            colours = decode_colours(data, name=name)
            if files.mask_kind == "class-colours" or is_coloured(colours):
                return mask_from_colours(colours, name=name)
        grey = decode_grey(data, name=name)
        if not grey.any():
            return grey
        if files.stroke_type not in LESION_CLASSES:
            label = "no label" if files.stroke_type is None else files.stroke_type.name
            raise ValueError(
                f"{name}: white in a mask must be of the slice's label, ISCHEMIA or HEMORRHAGE, or "
                f"--mask-values must say what it is. Received: {label}"
            )
        return mask_from_binary(grey, files.stroke_type, name=name)

    def _check_overlay(
        self, image: np.ndarray | None, mask: np.ndarray | None, data: bytes, name: str
    ) -> None:
        if mask is None:  # a fault of its own
            self._from_overlay(image, data, name)
        else:
            check_overlay(decode_colours(data, name=name), image, mask, name=name)

    def _from_overlay(self, image: np.ndarray | None, data: bytes, name: str) -> np.ndarray:
        return mask_from_overlay(
            decode_colours(data, name=name),
            image,
            method=self.reading.mask_method,
            stroke_type=self.files.stroke_type,
            name=name,
        )

    def _stroke_type(self, mask: np.ndarray | None) -> StrokeType | None:
        """Returns the label, checked against the mask; without a label, the class in the mask."""
        label = self.files.stroke_type
        if mask is None:
            return label
        areas = {kind: int(np.count_nonzero(mask == np.uint8(kind))) for kind in LESION_CLASSES}
        largest = max(areas, key=lambda kind: areas[kind])
        shown = largest if areas[largest] else StrokeType.NONE
        if self.files.plane is not None and label != StrokeType.NONE:
            return shown  # the label is that of the whole volume
        if label is not None and (label == StrokeType.NONE) != (shown == StrokeType.NONE):
            received = f"label {label.name}, {sum(areas.values())} lesion pixels"
            rule = "must show a lesion just when its slice is labelled with one"
            self._reject(self.files.mask or self.files.overlay, f"{rule}. Received: {received}")
        elif label in LESION_CLASSES and not areas[label]:
            received = f"{shown.name} alone, {areas[shown]} pixels"
            rule = f"must show the class of its slice, {label.name}"
            self._reject(self.files.mask or self.files.overlay, f"{rule}. Received: {received}")
        return shown if label in (None, StrokeType.UNSPECIFIED) else label

    def _try_volume(
        self, file: str, read: Callable[[Path, str, int], np.ndarray]
    ) -> np.ndarray | None:
        with self._noting(file):
            path, plane = self.root / file, self.files.plane or 0
            self.digest.update(read_volume(path, name=file).sha256 + plane.to_bytes(4))
            return read(path, file, plane)
        return None

    def _try(self, file: str, read: Callable[[bytes, str], _T]) -> _T | None:
        with self._noting(file):
            data = read_bytes(self.root / file)
            self.digest.update(data)
            return read(data, file)
        return None

    @contextlib.contextmanager
    def _noting(self, file: str) -> Iterator[None]:
        """Turns an error in the block into a fault of the file."""
        try:
            yield
        except OSError as error:
            self._reject(file, f"must be readable. Received: {error.strerror}")
        except ValueError as error:
            is_fault = file != self.files.dicom or not _is_companion(self.files, error)
            self._reject(file, str(error).removeprefix(f"{file}: "), is_fault=is_fault)

    def _reject(self, file: str | None, reason: str, *, is_fault: bool = True) -> None:
        if self.files.row:
            reason = f"{reason} ({self.files.row})"
        name = readable(file or self.files.source_id)
        self.faults.append(Rejected(name, readable(reason), is_fault=is_fault))


def _is_companion(files: SliceFiles, error: ValueError) -> bool:
    """Returns whether a file only accompanies slices, such as a scout or a report in a series.

    A file with a picture, mask or overlay of its id was meant to be a slice, and so was a labelled
    file that stands by itself.
    """
    from stroke_tf.reading.axial_ct import NotAxialCtError, OtherViewError

    if files.picture or files.mask or files.overlay:
        return False
    in_series = files.stroke_type is None or "/" in files.source_id
    return isinstance(error, NotAxialCtError if in_series else OtherViewError)
