"""Finds the slices of a data set: which files make a slice, what it is labelled, what is amiss.

Owns the folder layouts and their names. Looks at names, label files and tables only; no picture is
opened. Paths are POSIX strings relative to the data set's root, spelled as on the disk.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from data_tools.ct_ich import CT_ICH_SHAPE, fit_ct_ich, read_ct_ich
from data_tools.scan import (
    DICOM_SUFFIXES,
    PICTURE_SUFFIXES,
    Group,
    Kind,
    Labels,
    Scan,
    SliceFiles,
    Stage,
    check_columns,
    fold_name,
    is_picture,
    join,
    key_of,
    split_name,
)
from stroke_tf.label_file import is_stage1, stage1_lines
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import Rejected

__all__ = [
    "LAYOUTS",
    "Layout",
    "SliceFiles",
    "Source",
    "find_slices",
    "read_groups",
    "with_patients",
]


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        root: Its folder.
        layout: A key of `LAYOUTS`.
        slices: Its slices by stage (training first), then id.
        faults: What was left out and why, by file.
    """

    root: Path
    layout: str
    slices: tuple[SliceFiles, ...]
    faults: tuple[Rejected, ...]


@dataclass(frozen=True)
class Layout:
    """One way to arrange a data set in folders.

    Attributes:
        shape: What it looks like, for messages.
        fit: Given a folder under the root, how well that fits; 0 means not at all.
        read: Adds the slices and faults of that folder to the scan.
    """

    shape: str
    fit: Callable[[Scan, str], int]
    read: Callable[[Scan, str], None]


def find_slices(root: Path, *, layout: str = "auto") -> Source:
    """Returns the slices of a data set that stands at `root` or one folder below.

    Args:
        root: The folder.
        layout: A key of `LAYOUTS`, or "auto" for the one that fits best.

    Raises:
        ValueError: If the folder or the layout is unknown, the folder is not of that layout, or a
            table lacks a column. Whatever is wrong with single files is among the faults instead.
    """
    if not root.is_dir():
        raise ValueError(f"{root}: must be a folder. Received: a path that is none")
    if layout not in ("auto", *LAYOUTS):
        raise ValueError(f"`layout` must be auto or one of {list(LAYOUTS)}. Received: {layout!r}")
    scan = Scan(root)
    folders, files = scan.listing("")
    choices = list(LAYOUTS) if layout == "auto" else [layout]
    fits = [
        (LAYOUTS[name].fit(scan, base), name, base) for name in choices for base in ("", *folders)
    ]
    score, name, base = max(fits, key=lambda fit: fit[0])
    if score == 0:
        shapes = "".join(f"\n  {name}: {LAYOUTS[name].shape}" for name in choices)
        seen = f"folders {folders[:8]}, files {files[:8]}"
        raise ValueError(f"{root}: must have this layout:{shapes}\nReceived: {seen}")
    LAYOUTS[name].read(scan, base)
    for folder in folders if base else ():
        if folder != base and key_of(folder) not in _SESSIONS:
            scan.reject_unused(folder)
    return Source(
        root=root,
        layout=name,
        slices=tuple(sorted(scan.slices, key=lambda item: (item.stage or "", item.source_id))),
        faults=tuple(sorted(scan.faults, key=lambda fault: (fault.file, fault.reason))),
    )


def with_patients(source: Source, patients: dict[str, str]) -> Source:
    """Returns the source with the patients of a `--groups` file, by slice id; others stay.

    Raises:
        ValueError: If no slice has an id of the file.
    """
    if source.slices and not any(it.source_id in patients for it in source.slices):
        raise ValueError(
            f"--groups must name slices by their ids, such as {source.slices[0].source_id!r}. "
            f"Received: {sorted(patients)[:3]}, of which no slice has any"
        )
    return replace(
        source,
        slices=tuple(
            replace(it, patient=patients.get(it.source_id, it.patient)) for it in source.slices
        ),
    )


def read_groups(path: Path) -> dict[str, str]:
    """Returns the patient of each slice id from a CSV with the columns `id` and `patient`.

    Raises:
        ValueError: If a column is missing, an id or a patient is empty, or an id has two patients.
    """
    groups: dict[str, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="")
        check_columns(path, reader, ("id", "patient"))
        for row in reader:
            source_id, patient = row["id"].strip(), row["patient"].strip()
            if not source_id or not patient or groups.setdefault(source_id, patient) != patient:
                raise ValueError(
                    f"{path}: an id must have one patient. Received on line {reader.line_num}: "
                    f"id {source_id!r}, patient {patient!r}"
                )
    return groups


_KINDS: dict[str, Kind] = {
    "png": "picture",
    "jpg": "picture",
    "jpeg": "picture",
    "dicom": "dicom",
    "mask": "mask",
    "masks": "mask",
    "overlay": "overlay",
    "overlays": "overlay",
}
_SESSIONS: dict[str, Stage] = {
    "yarismaveriseti1oturum": "stage1",
    "yarismaveriseti2oturum": "stage2",
    "externaltest": "stage2",
}


def _fit_tree(scan: Scan, base: str, *, classes: dict[str, StrokeType], flat: bool) -> int:
    """Counts the class folders; exact spelling and sessions decide between equals only."""
    keys, spellings = {key_of(name) for name in classes}, {fold_name(name) for name in classes}
    score = 0
    for name in scan.listing(base)[0]:
        key = key_of(name)
        if key in keys or (key in _SESSIONS and not flat):
            folders, files = scan.listing(join(base, name))
            nested = any(key_of(folder) in _KINDS for folder in folders)
            if nested != flat and (nested or any(map(is_picture, files))):
                score += (100 + (fold_name(name) in spellings)) if key in keys else 1
    return score


def _read_tree(scan: Scan, base: str, *, classes: dict[str, StrokeType], flat: bool) -> None:
    labels = {key_of(name): label for name, label in classes.items()}
    groups: dict[Stage | None, Group] = {None: Group()}
    for parent in dict.fromkeys((base, "")):  # sessions may stand beside the training folder
        for name in scan.listing(parent)[0]:
            key, home = key_of(name), join(parent, name)
            if key in _SESSIONS:
                group = groups.setdefault(_SESSIONS[key], Group(stage=_SESSIONS[key]))
                if group.stage == "stage1":
                    group.labels = group.labels or {}
                    _read_labels(scan, (home, parent), group.labels)
                _read_home(scan, home, group, label=None, flat=False)
            elif parent == base and key in labels:
                _read_home(scan, home, groups[None], label=labels[key], flat=flat)
            elif parent == base:
                scan.reject_unused(home)
    for group in groups.values():
        group.finish(scan)


def _read_home(
    scan: Scan, home: str, group: Group, *, label: StrokeType | None, flat: bool
) -> None:
    """Reads a class or session folder: pictures if it is flat, else a folder for each kind."""
    if flat:
        return _read_kind(scan, home, group, kind="picture", home=home, label=label)
    folders, files = scan.listing(home)
    for name in filter(is_picture, files):
        scan.reject(join(home, name), f"a picture must be in a folder such as {list(_KINDS)}")
    for name in folders:
        kind, folder = _KINDS.get(key_of(name)), join(home, name)
        if kind is None:
            scan.reject_unused(folder)
            continue
        _read_kind(scan, folder, group, kind=kind, home=home, label=label)
        if kind in ("mask", "overlay") and group.stage != "stage1":
            group.paired.add(home)


def _read_kind(
    scan: Scan, folder: str, group: Group, *, kind: Kind, home: str, label: StrokeType | None
) -> None:
    suffixes = DICOM_SUFFIXES if kind == "dicom" else PICTURE_SUFFIXES
    folders, files = scan.listing(folder)
    for name in folders:
        scan.reject_unused(join(folder, name))
    for name in files:
        stem, suffix = split_name(name)
        path = join(folder, name)
        if suffix in suffixes:
            group.add(stem, path, kind=kind, home=home, label=label)
        else:
            scan.reject(path, f"a {kind} must end in one of {sorted(suffixes)}")


def _read_labels(scan: Scan, folders: tuple[str, ...], labels: Labels) -> None:
    """Adds the labels of all label files in the folders; other text files are left alone."""
    files = [join(folder, name) for folder in folders for name in scan.listing(folder)[1]]
    for file in files:
        text = _read_text(scan, file) if file.lower().endswith(".txt") else ""
        if not is_stage1(text):
            continue
        for line in stage1_lines(text):
            label = StrokeType.UNSPECIFIED if line.stroke else StrokeType.NONE
            if line.stroke is not None:
                known, _ = labels.setdefault(line.image_id, (label, file))
                if known == label:
                    continue
            rule = f"line {line.number} must be an id, a tab and its only label, 0 or 1"
            scan.reject(file, f"{rule}. Received: {line.text!r}")


def _read_text(scan: Scan, file: str) -> str:
    try:
        data = (scan.root / file).read_bytes()
    except OSError as error:
        scan.reject(file, f"a label file must be readable. Received: {error.strerror}")
        return ""
    return data.decode("utf-8-sig", errors="replace")


def _fit_plain(scan: Scan, base: str) -> int:
    found = (_plain_kind(scan, folder, name) for folder, names in scan.walk(base) for name in names)
    return int(base == "" and any(found))


def _read_plain(scan: Scan, base: str) -> None:
    group = Group()
    rule = "a mask or overlay must not be an input picture"
    for folder, names in scan.walk(base):
        if {"mask", "overlay"} & {_KINDS.get(key_of(part)) for part in folder.split("/")}:
            if names:
                scan.reject(folder, f"{rule}. Received: {len(names)} files")
            continue
        for name in names:
            kind, path = _plain_kind(scan, folder, name), join(folder, name)
            if kind == "mask":
                scan.reject(path, f"{rule}. Received: a name that ends in _HGE_Seg")
            elif kind:
                group.add(join(folder, split_name(name)[0]), path, kind=kind, home=base)
    group.finish(scan)


def _plain_kind(scan: Scan, folder: str, name: str) -> Kind | None:
    stem, suffix = split_name(name)
    if suffix in PICTURE_SUFFIXES:
        return "mask" if stem.lower().endswith("_hge_seg") else "picture"
    if suffix == ".dcm" or (suffix == "" and _is_dicom(scan.root / folder / name)):
        return "dicom"
    return None


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _tree(
    shape: str,
    *,
    none: tuple[str, ...],
    ischemia: tuple[str, ...],
    hemorrhage: tuple[str, ...],
    flat: bool = False,
) -> Layout:
    classes = {
        **dict.fromkeys(none, StrokeType.NONE),
        **dict.fromkeys(ischemia, StrokeType.ISCHEMIA),
        **dict.fromkeys(hemorrhage, StrokeType.HEMORRHAGE),
    }
    return Layout(
        shape,
        partial(_fit_tree, classes=classes, flat=flat),
        partial(_read_tree, classes=classes, flat=flat),
    )


LAYOUTS: dict[str, Layout] = {
    "teknofest": _tree(
        "TRAINING/{INMEYOK,ISKEMI,KANAMA}/{DICOM,PNG,OVERLAY,MASK}",
        none=("INMEYOK",),
        ischemia=("ISKEMI",),
        hemorrhage=("KANAMA",),
    ),
    "orvile": _tree(
        "İNME VERİSETİ/{İnme Yok,İskemi,Kanama,YarısmaVeriSeti_1_Oturum,YarısmaVeriSeti_2_Oturum}"
        "/{DICOM,PNG,MASKS,OVERLAY}",
        none=("İnme Yok",),
        ischemia=("İskemi",),
        hemorrhage=("Kanama",),
    ),
    "ozguraslank": _tree(
        "Brain_Stroke_CT_Dataset/{Bleeding,Ischemia,Normal,External_Test}/{DICOM,PNG,MASKS,OVERLAY}",
        none=("Normal",),
        ischemia=("Ischemia",),
        hemorrhage=("Bleeding",),
    ),
    "hf-mirror": _tree(
        "<class>/{<id>.png,<class>_dcm_<id>.png}",
        none=("Normal", "İnme Yok", "No Stroke"),
        ischemia=("Ischemia", "Ischemic", "İskemi"),
        hemorrhage=("Bleeding", "Hemorrhage", "Hemorrhagic", "Kanama"),
        flat=True,
    ),
    "ct-ich": Layout(CT_ICH_SHAPE, fit_ct_ich, read_ct_ich),
    "plain": Layout("any folders of unlabelled PNG, JPG or DICOM files", _fit_plain, _read_plain),
}
"""The layouts by name; of those that fit equally well, the first is taken."""
