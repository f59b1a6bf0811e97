"""The layout of nnU-Net: `dataset.json`, `imagesTr/<case>_0000`, `labelsTr/<case>`; 2D or NIfTI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_tools.names import PICTURE_SUFFIXES, join, split_name
from data_tools.scan import MaskValues, Scan, SliceFiles
from data_tools.volumes import planes
from stroke_tf.files import read_json
from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.reading.nifti import SUFFIXES

_TABLE, _IMAGES, _LABELS = "dataset.json", "imagesTr", "labelsTr"
_CHANNEL = "_0000"
NNUNET_SHAPE = (
    f"{_TABLE}, {_IMAGES}/<case>{_CHANNEL}.{{nii.gz,png}}, {_LABELS}/<case>.{{nii.gz,png}}"
)


def fit_nnunet(scan: Scan, base: str) -> int:
    """Returns how well a folder fits the layout; 0 means not at all."""
    folders, files = scan.listing(base)
    return 1000 * (_TABLE in files and _IMAGES in folders)


def read_nnunet(scan: Scan, base: str, *, class_of: Callable[[str], StrokeType | None]) -> None:
    """Adds the slices and faults of a folder of that layout to a scan."""
    values = _mask_values(scan.root / base / _TABLE, scan, class_of)
    labels = {split_name(name)[0]: name for name in scan.listing(join(base, _LABELS))[1]}
    for name in scan.listing(join(base, _IMAGES))[1]:
        path, (stem, suffix) = join(join(base, _IMAGES), name), split_name(name)
        case = stem.removesuffix(_CHANNEL)
        if suffix not in PICTURE_SUFFIXES | SUFFIXES or case == stem:
            rule = f"must be named <case>{_CHANNEL} with the ending of a picture or .nii.gz"
            scan.reject(path, f"{rule}; other channels are not read. Received: {name}")
        elif case not in labels:
            scan.reject(path, f"must have a mask in {_LABELS}. Received: none for {case}")
        else:
            mask = join(join(base, _LABELS), labels.pop(case))
            _add(scan, case, path, mask, values)
    for name in labels.values():
        path = join(join(base, _LABELS), name)
        scan.reject(path, f"a mask must have a picture in {_IMAGES}. Received: {name}")
    for name in scan.listing(base)[0]:
        if name.startswith("images") and name != _IMAGES:
            files = len(scan.listing(join(base, name))[1])
            rule = "is another set than that for training, and needs a table"
            scan.reject(join(base, name), f"{rule}. Received: {files} files")


def _add(scan: Scan, case: str, path: str, mask: str, values: MaskValues) -> None:
    patient = case if split_name(path)[1] in SUFFIXES else None
    kind: dict[str, Any] = {"mask": mask, "mask_kind": "values", "mask_values": values}
    scan.slices.extend(planes(scan, SliceFiles(case, None, path, patient=patient, **kind)))


def _mask_values(
    path: Path, scan: Scan, class_of: Callable[[str], StrokeType | None]
) -> MaskValues:
    """Returns the class of each value, by its name in dataset.json or as `--labels` states it."""
    values = read_json(path)
    labels: Any = values.get("labels") if isinstance(values, dict) else None
    if not isinstance(labels, dict):
        raise ValueError(f"{path}: must hold `labels`. Received: {str(values)[:80]}")
    if all(map(str.isdecimal, labels)):  # by value, as nnU-Net's first version has them
        labels = {name: int(value) for value, name in labels.items()}
    lesions = {name: value for name, value in labels.items() if value != 0}
    classes = {name: scan.labels.get(name, class_of(name)) for name in lesions}
    unknown = [name for name, kind in classes.items() if kind not in LESION_CLASSES]
    if unknown or not all(isinstance(value, int) for value in lesions.values()):
        raise ValueError(
            f"{path}: labels must be background 0, and ischemia or hemorrhage, or be stated by "
            f"--labels, such as {next(iter(lesions))}=hemorrhage. Received: {labels}"
        )
    return tuple((lesions[name], kind) for name, kind in classes.items() if kind is not None)
