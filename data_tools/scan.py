"""Gathers the files of a data set by slice: lists folders, joins files to slices, collects faults.

Knows no layout: `sources.py` says which folder holds what.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from data_tools.names import (
    PICTURE_SUFFIXES,
    is_dicom,
    is_picture,
    join,
    one_spelling,
    readable,
    split_name,
)
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import Rejected
from stroke_tf.reading.archives import archive_of, files_of, holds, is_zip_name
from stroke_tf.reading.folders import is_system_name, list_folder
from stroke_tf.records import Stage

MaskKind = Literal["class-colours", "binary", "values", "any"]
MaskValues = tuple[tuple[int, StrokeType], ...]
"""The class of each value of a grey mask."""
Kind = Literal["picture", "dicom", "mask", "overlay"]
Labels = dict[str, tuple[StrokeType, str]]
"""The label of each id and the file that gives it."""


_TWIN = re.compile(r"[^/]+_dcm_(?=[^/]+$)", re.IGNORECASE)  # <class>_dcm_<id> is also <id>


@dataclass(frozen=True, slots=True)
class SliceFiles:
    """The files of one slice.

    Attributes:
        source_id: The slice's id, unique within its stage.
        stroke_type: Its label; None where only the mask tells (stage 2) or nothing does (plain).
        picture: Its picture. At least one of `picture` and `dicom` is given.
        dicom: Its DICOM file.
        mask: Its mask.
        overlay: The picture with the lesion drawn in; never an input.
        mask_kind: "class-colours" as the competition draws them; "binary": white is the slice's
            own class; "values": as `mask_values` says; "any": one of the first two.
        patient: The patient, where the layout names one.
        stage: The competition session, or None for training slices.
        mask_values: The class of each value of the mask.
        row: The row of a table that names it, for messages.
        plane: Which slice of a volume it is; None where its picture is no volume.
    """

    source_id: str
    stroke_type: StrokeType | None
    picture: str | None = None
    dicom: str | None = None
    mask: str | None = None
    overlay: str | None = None
    mask_kind: MaskKind = "class-colours"
    patient: str | None = None
    stage: Stage | None = None
    mask_values: MaskValues = ()
    row: str = ""
    plane: int | None = None

    @property
    def case(self) -> str:
        """The id of the slice's volume; its own id if it is of no volume."""
        return self.source_id if self.plane is None else self.source_id.rpartition("-")[0]

    @property
    def first(self) -> str:
        """The file that the slice is called by, as text."""
        return readable(self.picture or self.dicom or self.source_id)


@dataclass(slots=True)
class _Draft:
    """The files of one id as far as they are found."""

    home: str
    stroke_type: StrokeType | None
    patient: str | None
    picture: str | None = None
    dicom: str | None = None
    mask: str | None = None
    overlay: str | None = None
    rule: str = ""  # broken by the rivals, when there are any
    rivals: dict[str, str] | None = None

    def paths(self) -> list[str]:
        return [path for path in (self.picture, self.dicom, self.mask, self.overlay) if path]

    def put(self, kind: Kind, path: str) -> None:
        first: str | None = getattr(self, kind)
        if first is None or (_is_twin(first) and not _is_twin(path)):
            setattr(self, kind, path)
        elif _is_twin(first) == _is_twin(path):
            self.clash("an id must have one file of a kind", {first: first, path: path})

    def clash(self, rule: str, rivals: dict[str, str]) -> None:
        self.rule = self.rule or rule
        self.rivals = (self.rivals or {}) | rivals  # folders go by name, so PNG comes last


@dataclass
class Group:
    """Slices whose ids must differ: the training set, one session or one table.

    Attributes:
        stage: The session, or None.
        labels: Labels by id, or None where the class folders are the labels.
        mask_kind: What the masks look like.
        paired: Folders (the `home` of slices) whose lesions all need a mask or an overlay.
    """

    stage: Stage | None = None
    labels: Labels | None = None
    mask_kind: MaskKind = "class-colours"
    paired: set[str] = field(default_factory=set)
    _drafts: dict[str, _Draft] = field(default_factory=dict)

    def add(
        self,
        name: str,
        path: str,
        *,
        kind: Kind,
        home: str,
        label: StrokeType | None = None,
        patient: str | None = None,
    ) -> None:
        """Adds one file; `name` is the id of the slice, or of its twin.

        An id in two homes (class folders) is a fault.
        """
        source_id = one_spelling(_TWIN.sub("", name))
        draft = self._drafts.get(source_id)
        if draft is None:
            draft = self._drafts[source_id] = _Draft(home, label, patient)
        if draft.home == home:
            draft.put(kind, path)
        else:
            rivals = {draft.home: draft.paths()[0], home: path}
            draft.clash("an id must be in one class folder", rivals)

    def finish(self, scan: Scan) -> None:
        """Adds the slices to a scan, or the faults that leave them out."""
        for source_id, draft in self._drafts.items():
            label = draft.stroke_type
            if self.labels is not None:
                label = self.labels.get(source_id, (None, ""))[0]
            files, rule = self._faults(draft, label)
            alike = len(set(map(one_spelling, files))) < len(files)
            note = " (their names differ in Unicode form or encoding only)" if alike else ""
            for file in files:
                scan.reject(file, f"{rule}. Received: {' and '.join(files)}{note}")
            if not files:
                scan.slices.append(self._slice(source_id, draft, label))
        for source_id, (_, file) in (self.labels or {}).items():
            if source_id not in self._drafts:
                scan.reject(file, f"a labelled id must have a picture. Received: {source_id}")

    def _faults(self, draft: _Draft, label: StrokeType | None) -> tuple[list[str], str]:
        if draft.rivals:
            return sorted(draft.rivals.values()), draft.rule
        if not (draft.picture or draft.dicom):
            return draft.paths(), "a mask or overlay must have a picture of the same id"
        if self.labels is not None and label is None:
            return draft.paths()[:1], "a slice must have a label in the label file"
        lesion = label != StrokeType.NONE
        if lesion and draft.home in self.paired and not (draft.mask or draft.overlay):
            return draft.paths()[:1], "a lesion slice must have a mask or an overlay (missing pair)"
        return [], ""

    def _slice(self, source_id: str, draft: _Draft, label: StrokeType | None) -> SliceFiles:
        return SliceFiles(
            source_id=source_id,
            stroke_type=label,
            picture=draft.picture,
            dicom=draft.dicom,
            mask=draft.mask,
            overlay=draft.overlay,
            mask_kind=self.mask_kind,
            patient=draft.patient,
            stage=self.stage,
        )


@dataclass
class Scan:
    """The slices and faults found under a root so far; all paths are relative to the root.

    Attributes:
        root: The folder.
        labels: The classes that `--labels` states.
        slices: The slices.
        faults: The files left out, with reasons.
    """

    root: Path
    labels: Mapping[str, StrokeType] = field(default_factory=dict)
    slices: list[SliceFiles] = field(default_factory=list)
    faults: list[Rejected] = field(default_factory=list)
    _listings: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    _spellings: dict[str, dict[str, str]] = field(default_factory=dict)

    def reject(self, file: str, reason: str) -> None:
        """Notes that a file is left out."""
        self.faults.append(Rejected(readable(file), readable(reason)))

    def listing(self, folder: str) -> tuple[list[str], list[str]]:
        """Returns the sorted names of the folders and of the files in a folder.

        A zip of DICOM files is a folder. System files and READMEs are left out; a folder that
        cannot be read is a fault.
        """
        if folder in self._listings:
            return self._listings[folder]
        folders: list[str] = []
        files: list[str] = []
        try:
            for name, is_folder in list_folder(self.root / folder):
                if not is_system_name(name):
                    is_folder = is_folder or self._is_series(folder, name)
                    (folders if is_folder else files).append(name)
        except OSError as error:
            self.reject(folder, f"a folder must be readable. Received: {error.strerror}")
        except ValueError as error:
            self.reject(folder, str(error).partition(": ")[2])
        return self._listings.setdefault(folder, (sorted(folders), sorted(files)))

    def find(self, path: str) -> str | None:
        """Returns a file's path as spelled on the disk, in any Unicode form; None if missing."""
        if (self.root / path).is_file():
            return path
        folder, _, name = path.rpartition("/")
        if folder not in self._spellings:
            self._spellings[folder] = {}
            with contextlib.suppress(OSError):
                entries = list_folder(self.root / folder)
                files = (name for name, is_folder in entries if not is_folder)
                self._spellings[folder] = {one_spelling(file): file for file in files}
        found = self._spellings[folder].get(one_spelling(name))
        return found and join(folder, found)

    def _is_series(self, folder: str, name: str) -> bool:
        """Returns whether a file is a zip of DICOM files, not yet unpacked beside it."""
        if not is_zip_name(name):
            return False
        path = self.root / folder / name
        if path.with_suffix("").is_dir() or archive_of(path.parent):
            return False
        try:
            if holds(path, lambda file: split_name(file)[1] in PICTURE_SUFFIXES):
                return False
            return any(is_dicom(path / file) for file in files_of(path))
        except OSError as error:
            self.reject(join(folder, name), f"must be readable. Received: {error.strerror}")
        except ValueError as error:
            self.reject(join(folder, name), str(error).partition(": ")[2])
        return False

    def walk(self, top: str) -> Iterator[tuple[str, list[str]]]:
        """Yields each folder at and below `top`, only once despite links, with its file names."""
        seen, stack = set(), [top]
        while stack:
            folder = stack.pop()
            real = (self.root / folder).resolve()
            if real not in seen:
                seen.add(real)
                folders, files = self.listing(folder)
                yield folder, files
                stack.extend(join(folder, name) for name in reversed(folders))

    def folders(self, depth: int, top: str = "") -> Iterator[str]:
        """Yields a folder and those at most `depth` below it, the upper ones first."""
        level = [top]
        for _ in range(depth + 1):
            yield from level
            level = [join(folder, name) for folder in level for name in self.listing(folder)[0]]

    def reject_unused(self, top: str, rule: str = "must be part of the layout") -> None:
        """Rejects a folder that the layout does not know, if it holds pictures."""
        for folder, files in self.walk(top):
            picture = next((name for name in files if self.is_slice(folder, name)), None)
            if picture:
                received = f"Received: {join(folder, picture)}"
                self.reject(top, f"a folder with pictures {rule}. {received}")
                return

    def is_slice(self, folder: str, name: str) -> bool:
        """Returns whether a file is a picture by its name, or DICOM."""
        return is_picture(name) or is_dicom(self.root / folder / name)

    def reject_beside(self, base: str) -> None:
        """Rejects the folders with pictures that stand beside `base` or one of its parents."""
        parts = base.split("/") if base else []
        for depth, part in enumerate(parts):
            parent = "/".join(parts[:depth])
            for name in self.listing(parent)[0]:
                if name != part:
                    self.reject_unused(join(parent, name))


def _is_twin(path: str) -> bool:
    return _TWIN.search(path) is not None
