"""The layout of any folders of pictures or DICOM files, without classes; patients from headers."""

from __future__ import annotations

from data_tools.names import PICTURE_SUFFIXES, is_dicom, join, key_of, split_name
from data_tools.scan import Group, Kind, Scan
from stroke_tf.reading.folders import is_mask_name

PLAIN_SHAPE = "any folders of unlabelled PNG, JPG or DICOM files"
_NO_INPUTS = {"mask", "masks", "overlay", "overlays"}


def fit_plain(scan: Scan, base: str) -> int:
    """Returns 1 for a root with a slice somewhere below."""
    found = (_kind(scan, folder, name) for folder, names in scan.walk(base) for name in names)
    return int(base == "" and any(found))


def read_plain(scan: Scan, base: str) -> None:
    """Adds the slices of all folders to a scan; masks and overlays are left out by name."""
    group = Group()
    rule = "a mask or overlay must not be an input picture"
    for folder, names in scan.walk(base):
        if _NO_INPUTS.intersection(map(key_of, folder.split("/"))):
            if names:
                scan.reject(folder, f"{rule}. Received: {len(names)} files")
            continue
        for name in names:
            kind, path = _kind(scan, folder, name), join(folder, name)
            if kind == "mask":
                scan.reject(path, f"{rule}. Received: the name of a mask")
            elif kind:
                group.add(join(folder, split_name(name)[0]), path, kind=kind, home=base)
    group.finish(scan)


def _kind(scan: Scan, folder: str, name: str) -> Kind | None:
    stem, suffix = split_name(name)
    if suffix in PICTURE_SUFFIXES:
        return "mask" if is_mask_name(stem) else "picture"
    return "dicom" if is_dicom(scan.root / folder / name) else None
