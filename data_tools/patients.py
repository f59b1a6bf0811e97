"""Patients of slices, from a `--groups` file or a table: read, joined and checked.

If only some slices of a patient named the patient, the others could be in another fold unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from data_tools.names import one_patient, one_spelling, split_name
from data_tools.sources import Source
from stroke_tf.manifest import Rejected
from stroke_tf.text_tables import read_table


def with_patients(source: Source, patients: Mapping[str, str], *, name: str = "--groups") -> Source:
    """Returns the source with the patients of a `--groups` file; others stay.

    Ids are those of slices or volumes. An id without a slice is a fault, and so is a slice that
    `only_with_patients` leaves out. Messages call the file `name`.

    Raises:
        ValueError: If no slice has an id of the file.
    """
    known = {name for slice_ in source.slices for name in (slice_.source_id, slice_.case)}
    if source.slices and known.isdisjoint(patients):
        raise ValueError(
            f"{name} must name slices by their ids, such as {source.slices[0].source_id!r}. "
            f"Received: {sorted(patients)[:3]}, of which no slice has any"
        )
    slices = (
        replace(
            slice_,
            patient=patients.get(slice_.source_id, patients.get(slice_.case, slice_.patient)),
        )
        for slice_ in source.slices
    )
    found = only_with_patients(replace(source, slices=tuple(slices)), name)
    left_out = {split_name(fault.file.rpartition("/")[2])[0] for fault in source.faults}
    unknown = patients.keys() - known - left_out
    rule = "an id must be a slice's. Received: "
    faults = (Rejected(name, f"{rule}{source_id}") for source_id in sorted(unknown))
    return replace(found, faults=(*found.faults, *faults))


def only_with_patients(source: Source, name: str) -> Source:
    """Returns the source without slices for training that have no patient, while others have one.

    These slices are faults: they could be in another fold than the other slices of their patient.
    Messages call the file that names patients `name`.
    """
    trained = [slice_ for slice_ in source.slices if slice_.stage is None]
    if not any(slice_.patient for slice_ in trained):
        return source
    rule = f"must have a patient in {name}, as other slices have. Received: none for id"
    faults = (
        Rejected(slice_.first, f"{rule} {slice_.source_id}")
        for slice_ in trained
        if not slice_.patient
    )
    return replace(
        source,
        slices=tuple(slice_ for slice_ in source.slices if slice_.stage or slice_.patient),
        faults=(*source.faults, *faults),
    )


def read_groups(path: Path) -> dict[str, str]:
    """Returns the patient of each slice id from a CSV with the columns `id` and `patient`.

    Raises:
        ValueError: If a column is missing, an id or a patient is empty, or an id has two patients.
    """
    groups: dict[str, str] = {}
    for line, row in read_table(path, ("id", "patient")):
        source_id, patient = one_spelling(row["id"]), one_patient(row["patient"])
        if not source_id or not patient or groups.setdefault(source_id, patient) != patient:
            raise ValueError(
                f"{path}: an id must have one patient. Received on line {line}: "
                f"id {source_id!r}, patient {patient!r}"
            )
    return groups
