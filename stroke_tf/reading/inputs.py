"""Finds what a user hands in: pictures, DICOM files, folders and zips, as series of slices.

Files are recognised by their content. Headers alone are kept; no text of one leaves, but the
patient and the series are compared here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from stroke_tf.manifest import natural_key
from stroke_tf.reading.archives import archive_of, is_zip_name, read_bytes
from stroke_tf.reading.folders import is_mask_name, is_system_name, list_folder, readable
from stroke_tf.reading.input_slice import (
    InputSlice,
    PixelSlice,
    PlacedSlice,
    open_again,
    place_slice,
)
from stroke_tf.reading.pictures import is_picture_start
from stroke_tf.reading.series import (
    Geometry,
    Series,
    pictures_as_series,
    split_repeats,
    stack_as_series,
)

if TYPE_CHECKING:
    from stroke_tf.reading.dicom import DicomFile

__all__ = ["Found", "Geometry", "InputSlice", "PixelSlice", "Series", "find_inputs"]

_NAMED_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"),
    *(".dcm", ".dicom", ".ima"),
}
_DRAWN_FOLDERS = ("mask", "overlay")
_FIRST_TAGS = (b"\x02\x00", b"\x08\x00", b"\x00\x02", b"\x00\x08")  # groups 2 and 8
_START = 132


@dataclass(frozen=True)
class Found:
    """The inputs found at the paths that a user gave.

    Attributes:
        series: What can be read; numbered by the first file of each.
        left_out: Name and reason of each file or folder that is sound, yet no input.
        faults: Name and reason of each that should be an input and cannot be read.
        given: The path as the user gave it, by the name that it has here.
    """

    series: tuple[Series, ...]
    left_out: tuple[tuple[str, str], ...]
    faults: tuple[tuple[str, str], ...]
    given: Mapping[str, str] = field(default_factory=dict)


def find_inputs(paths: Sequence[Path]) -> Found:
    """Returns the slices at paths, sorted into series; pixels are not decoded.

    A folder or zip is searched to its depths. Slices of one series are those of one
    SeriesInstanceUID, patient, direction, size and pixel size; without such a UID, of one folder.
    Pictures of one folder are together. A folder whose name begins with `mask` or `overlay`, and
    a picture named as masks are (`12_HGE_Seg.png`), is left out unless it is given itself.
    A file may have 1 GiB; a zip must not unpack to more than 100 times its size.

    Args:
        paths: Files and folders.
    """
    finder = _Finder()
    given = {Path(os.path.abspath(path)): path for path in paths}  # noqa: PTH100  keeps links
    base = Path(os.path.commonpath([path.parent for path in given])) if given else Path()
    names = {path: path.relative_to(base) for path in given}
    for path, name in names.items():
        finder.add_given(path, name)
    typed = {readable(str(names[path])): readable(str(given[path])) for path in given}
    return replace(finder.finish(), given=typed)


@dataclass
class _Finder:
    """Collects slices by folder or by series and patient.

    Attributes:
        pictures: Pictures by folder.
        stacks: Stacks by series and patient; these stay here.
        instances: Names of images by what tells an image from its copies.
        seen: Files and folders that were looked at.
        met: How many slices, files left out and faults there are.
    """

    pictures: dict[Path, list[InputSlice]] = field(default_factory=dict)
    stacks: dict[tuple[str, str | None], list[list[PlacedSlice]]] = field(default_factory=dict)
    instances: dict[tuple[object, ...], str] = field(default_factory=dict)
    seen: set[Path] = field(default_factory=set)
    met: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)

    def add_given(self, path: Path, name: PurePath) -> None:
        """Adds what lies at a path. A path where nothing lies is a fault."""
        if path.is_dir() or (is_zip_name(path.name) and path.is_file()):
            before = self.met
            if self._add_folder(path, name) and self.met == before:
                self._fault(name, "must hold pictures or DICOM files. Received: none")
        elif not self._add_file(path, name):
            self._fault(name, "must be a picture or a DICOM file. Received: neither")

    def finish(self) -> Found:
        """Returns all that was found, series by their first file."""
        pictures = (pictures_as_series("", slices) for slices in self.pictures.values())
        made = sorted([*pictures, *self._stacks_as_series()], key=_first_name)
        named = (
            replace(series, name=f"series-{number:03d}")
            for number, series in enumerate(made, start=1)
        )
        return Found(tuple(named), tuple(self.left_out), tuple(self.faults))

    def _stacks_as_series(self) -> Iterator[Series]:
        patients = [*dict.fromkeys(patient for _, patient in self.stacks)]
        for (_, patient), found in self.stacks.items():
            stacks = [one for stack in found for one in split_repeats(stack)]
            notes = []
            if len(patients) > 1:
                which = f"patient {patients.index(patient) + 1} of {len(patients)}"
                notes.append(f"{which}: series are never mixed")
            if len(stacks) > 1:
                notes.append(
                    f"one of {len(stacks)} stacks under one SeriesInstanceUID, whose planes, "
                    "sizes, pixels or phases differ"
                )
            yield from (stack_as_series("", stack, notes) for stack in stacks)

    def _add_folder(self, path: Path, name: PurePath) -> bool:
        """Adds what a folder or zip holds; returns False where it was added before."""
        real = path.resolve()
        if real in self.seen:
            return False
        self.seen.add(real)
        try:
            entries = sorted(list_folder(path), key=lambda listed: natural_key(listed[0]))
        except OSError as error:
            self._fault(name, f"must be readable. Received: {error.strerror}")
        except ValueError as error:
            self._fault(name, str(error).partition(": ")[2])
        else:
            for entry, is_folder in entries:
                self._add_entry(path / entry, name / entry, is_folder)
        return True

    def _add_entry(self, path: Path, name: PurePath, is_folder: bool) -> None:
        if is_system_name(path.name):
            return
        if is_folder and path.name.lower().startswith(_DRAWN_FOLDERS):
            self._leave(name, "a folder of masks or overlays is no input")
        elif is_folder:
            self._add_folder(path, name)
        elif is_zip_name(path.name) and archive_of(path.parent):
            self._leave(name, "a zip in a zip is not read")
        elif is_zip_name(path.name):
            self._add_folder(path, name)
        elif is_mask_name(path.stem) and path.suffix.lower() in _NAMED_SUFFIXES:
            self._leave(name, "named as a mask: no input")
        elif not self._add_file(path, name):
            self._leave(name, "neither a picture nor a DICOM file")

    def _add_file(self, path: Path, name: PurePath) -> bool:
        """Adds a file, or its fault; returns False where it is neither a picture nor DICOM."""
        if path in self.seen:
            return True
        self.seen.add(path)
        try:
            start = read_bytes(path, _START)
        except OSError as error:
            self._fault(name, f"must be readable. Received: {error.strerror}")
            return True
        except ValueError as error:
            self._fault(name, str(error).partition(": ")[2])
            return True
        if start[128:] == b"DICM":  # first: its preamble may be that of a TIFF
            self._add_dicom(path, name)
        elif is_picture_start(start):
            self.met += 1
            self.pictures.setdefault(path.parent, []).append(InputSlice(readable(str(name)), path))
        elif start[:2] in _FIRST_TAGS:
            self._add_dicom(path, name)
        elif path.suffix.lower() in _NAMED_SUFFIXES:
            self._fault(name, f"must be a picture or a DICOM file. Received: {_size(start)}")
        else:
            return False
        return True

    def _add_dicom(self, path: Path, name: PurePath) -> None:
        from stroke_tf.reading.axial_ct import NotAxialCtError
        from stroke_tf.reading.dicom_header import silence

        shown = readable(str(name))
        try:
            with silence():
                self._add_frames(open_again(path, name=shown), path)
        except NotAxialCtError as error:
            self._leave(name, str(error).removeprefix(f"{shown}: "))
        except ValueError as error:
            self._fault(name, str(error).removeprefix(f"{shown}: "))

    def _add_frames(self, file: DicomFile, path: Path) -> None:
        series = str(file.tags.value("SeriesInstanceUID") or path.parent)
        instance = str(file.tags.value("SOPInstanceUID") or path)
        stacks = self.stacks.setdefault((series, file.patient), [])
        for frame in range(file.frames):
            placed = place_slice(file, frame, path=path)
            name = placed.slice.name
            same = (instance, placed.number, frame, placed.corner_mm)
            if (other := self.instances.setdefault(same, name)) != name:
                self._leave(PurePath(name), f"the same image as {other}")
                continue
            self.met += 1
            fitting = next((stack for stack in stacks if stack[0].fits(placed)), None)
            if fitting is None:
                stacks.append([placed])
            else:
                fitting.append(placed)

    def _leave(self, name: PurePath, reason: str) -> None:
        self.met += 1
        self.left_out.append((readable(str(name)), reason))

    def _fault(self, name: PurePath, reason: str) -> None:
        self.met += 1
        self.faults.append((readable(str(name)), reason))


def _first_name(series: Series) -> list[str | int]:
    return min(natural_key(slice_.name) for slice_ in series.slices)


def _size(start: bytes) -> str:
    return "an empty file" if not start else "neither"
