"""The layout of PhysioNet's CT-ICH: a folder for each patient and one table of diagnoses."""

from __future__ import annotations

import re

from data_tools.names import PICTURE_SUFFIXES, join, key_of, split_name
from data_tools.scan import Group, Kind, Labels, Scan
from stroke_tf.labels import StrokeType
from stroke_tf.text_tables import read_table

_TABLE = "hemorrhage_diagnosis.csv"
CT_ICH_SHAPE = f"{_TABLE}, Patients_CT/<patient>/brain/{{<slice>.jpg,<slice>_HGE_Seg.jpg}}"
_BLEEDINGS = ("Intraventricular", "Intraparenchymal", "Subarachnoid", "Epidural", "Subdural")
_TABLE_COLUMNS = ("PatientNumber", "SliceNumber", *_BLEEDINGS, "No_Hemorrhage")
_CT_ICH_FILE = re.compile(r"(\d+)(_hge_seg)?", re.IGNORECASE)


def fit_ct_ich(scan: Scan, base: str) -> int:
    """Returns how well a folder fits the layout; 0 means not at all."""
    return 1000 * (_TABLE in scan.listing(base)[1])


def read_ct_ich(scan: Scan, base: str) -> None:
    """Adds the slices and faults of a folder of that layout to a scan."""
    group = Group(labels=_read_table(scan, join(base, _TABLE)), mask_kind="binary")
    for name in scan.listing(base)[0]:
        top = join(base, name)
        if key_of(name) != "patientsct":
            scan.reject_unused(top)
            continue
        for patient in scan.listing(top)[0]:
            home = join(top, patient)
            for window in scan.listing(home)[0]:
                if patient.isdigit() and key_of(window) == "brain":
                    _read_patient(scan, join(home, window), group, patient=f"{int(patient):03}")
                elif key_of(window) != "bone":  # the same slices in another window
                    scan.reject_unused(join(home, window))
    group.finish(scan)


def _read_patient(scan: Scan, folder: str, group: Group, *, patient: str) -> None:
    for name in scan.listing(folder)[1]:
        stem, suffix = split_name(name)
        match = _CT_ICH_FILE.fullmatch(stem)
        path = join(folder, name)
        if match and suffix in PICTURE_SUFFIXES:
            kind: Kind = "mask" if match[2] else "picture"
            source_id = f"{patient}-{int(match[1]):03}"
            group.add(source_id, path, kind=kind, home=folder, patient=patient)
        else:
            scan.reject(path, "must be named <slice>.jpg or <slice>_HGE_Seg.jpg")


def _read_table(scan: Scan, table: str) -> Labels:
    labels: Labels = {}
    for line, row in read_table(scan.root / table, _TABLE_COLUMNS):
        found = _parse_row(row)
        if not found or labels.setdefault(found[0], (found[1], table))[0] != found[1]:
            rule = f"line {line} must give a slice either No_Hemorrhage or a kind"
            scan.reject(table, f"{rule}. Received: {','.join(row.values())}")
    return labels


def _parse_row(row: dict[str, str]) -> tuple[str, StrokeType] | None:
    numbers = row["PatientNumber"], row["SliceNumber"]
    *kinds, none = (row[name] for name in (*_BLEEDINGS, "No_Hemorrhage"))
    bleeds = "1" in kinds
    sound = all(map(str.isdecimal, numbers)) and {*kinds, none} == {"0", "1"}
    if not sound or bleeds == (none == "1"):
        return None
    label = StrokeType.HEMORRHAGE if bleeds else StrokeType.NONE
    return "-".join(f"{int(number):03}" for number in numbers), label
