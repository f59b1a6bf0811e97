"""A data set given by one table: a row names a slice's picture, label, mask and patient.

Owns the columns and how a row is checked. The caller gives the words for classes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from data_tools.names import DICOM_SUFFIXES, PICTURE_SUFFIXES, one_patient, one_spelling, split_name
from data_tools.scan import Kind, MaskValues, Scan, SliceFiles
from data_tools.volumes import planes
from stroke_tf.labels import StrokeType
from stroke_tf.reading.nifti import SUFFIXES as VOLUMES
from stroke_tf.text_tables import read_columns, read_table

COLUMNS = ("image", "id", "mask", "overlay", "label", "patient", "series", "fold")
_STROKES = {*StrokeType} - {StrokeType.NONE}
_FIELD = re.compile(r"\{(\w+)")


@dataclass(frozen=True)
class TableTerms:
    """The meaning of a table's cells.

    Attributes:
        columns: For each of `COLUMNS` that has another name in the table, that name or a text with
            names in braces.
        class_of: Returns the class that a label says, or None.
        mask_values: The class of each value of a grey mask; none where masks are white on black.
    """

    columns: Mapping[str, str]
    class_of: Callable[[str], StrokeType | None]
    mask_values: MaskValues = ()


def parse_pairs(flag: str, pairs: Sequence[str]) -> dict[str, str]:
    """Returns the `name=value` pairs of a flag as a dict.

    Raises:
        ValueError: If a pair is not `name=value`, or a name occurs twice.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = (part.strip() for part in pair.partition("="))
        if not (name and equals and value) or name in found:
            raise ValueError(f"{flag} must be name=value, each name once. Received: {pair!r}")
        found[name] = value
    return found


def read_slice_table(scan: Scan, table: Path, terms: TableTerms) -> dict[str, str]:
    """Adds the slices and faults of a table to a scan; returns the cells of its fold column by id.

    Raises:
        ValueError: If the table cannot be read, lacks the column of images, or has an unknown one.
    """
    cells = {name: terms.columns.get(name, f"{{{name}}}") for name in COLUMNS}
    cells = {name: text if "{" in text else f"{{{text}}}" for name, text in cells.items()}
    _check_columns(table, cells, terms.columns)
    reader = _Reader(scan, table.name, terms)
    for line, values in read_table(table):
        fields = {name: PurePosixPath(value.replace("\\", "/")) for name, value in values.items()}
        reader.read(line, {name: _fill(text, values, fields) for name, text in cells.items()})
    return reader.finish()


def _check_columns(table: Path, cells: Mapping[str, str], mapped: Mapping[str, str]) -> None:
    """Raises ValueError for a column that is unknown to this module or to the table."""
    there = [name for name in read_columns(table) if name]
    if unknown := sorted(set(mapped) - set(COLUMNS)):
        raise ValueError(f"--columns must name some of {list(COLUMNS)}. Received: {unknown}")
    wanted = {name for column in (*mapped, "image") for name in _FIELD.findall(cells[column])}
    if missing := sorted(wanted - set(there)):
        raise ValueError(
            f"{table}: must have the column {missing[0]!r} (--columns image=NAME names another). "
            f"Received: {there}"
        )
    if unknown := [name for name in there if name not in COLUMNS and not mapped]:
        raise ValueError(
            f"{table}: columns must be of {list(COLUMNS)}, or be named by --columns, such as "
            f"image=file. Received: {unknown}"
        )


def _fill(text: str, values: Mapping[str, str], fields: Mapping[str, PurePosixPath]) -> str:
    """Returns the text of a cell: names in braces filled in, "" where one is missing or empty."""
    names = _FIELD.findall(text)
    if not all(values.get(name) for name in names):
        return ""
    return values[names[0]] if text == f"{{{names[0]}}}" else text.format_map(fields)


@dataclass
class _Reader:
    """Collects the slices of a table, and in `owner` the patient of each series."""

    scan: Scan
    table: str
    terms: TableTerms
    drafts: dict[str, SliceFiles] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    owner: dict[str, str] = field(default_factory=dict)
    series: dict[str, str] = field(default_factory=dict)
    folds: dict[str, str] = field(default_factory=dict)

    def read(self, line: int, row: dict[str, str]) -> None:
        """Adds the slice of a row, or its faults."""
        where = f"{self.table}:{line}"
        before = len(self.scan.faults)
        image = self._file(where, "image", row["image"])
        mask, overlay = (self._file(where, column, row[column]) for column in ("mask", "overlay"))
        source_id = one_spelling(row["id"] or split_name(row["image"])[0])
        label = self._label(where, row["label"])
        self._once(where, "id", source_id, self.drafts.get(source_id))
        self._once(where, "image", image, self.drafts.get(self.images.get(image or "", "")))
        self._check_series(where, row)
        if image is None or len(self.scan.faults) > before:
            return
        if split_name(image)[1] in VOLUMES and label in _STROKES and not mask:
            rule = "a stroke's volume must have a mask, which says which slices show it"
            return self._reject(where, rule, row["label"])
        suffix = split_name(image)[1]
        self.images[image], self.series[source_id] = source_id, row["series"]
        self.folds |= {source_id: row["fold"]} if row["fold"] else {}
        self.drafts[source_id] = SliceFiles(
            source_id=source_id,
            stroke_type=label,
            picture=image if suffix in PICTURE_SUFFIXES | VOLUMES else None,
            dicom=image if suffix in DICOM_SUFFIXES else None,
            mask=mask,
            overlay=overlay,
            mask_kind="values" if self.terms.mask_values else "any",
            mask_values=self.terms.mask_values,
            patient=one_patient(row["patient"]) or None,
            row=where,
        )

    def finish(self) -> dict[str, str]:
        """Adds the slices to the scan; without a named patient, a series counts as one."""
        for source_id, files in self.drafts.items():
            series = self.series[source_id]
            series = series and f"series {series}"
            if not series and split_name(files.first)[1] in VOLUMES:
                series = f"volume {source_id}"
            patient = files.patient or self.owner.get(self.series[source_id]) or series or None
            self.scan.slices.extend(planes(self.scan, replace(files, patient=patient)))
        return self.folds

    def _reject(self, where: str, rule: str, received: object) -> None:
        self.scan.reject(where, f"{rule}. Received: {received}")

    def _file(self, where: str, column: str, path: str) -> str | None:
        """Returns a path as spelled on the disk; None if the cell is empty or wrong."""
        if not path:
            if column == "image":
                self._reject(where, "`image` must be given", "an empty cell")
            return None
        kind: Kind = "picture" if column == "image" else "mask"
        suffixes = PICTURE_SUFFIXES | VOLUMES | (DICOM_SUFFIXES if kind == "picture" else set())
        found = self.scan.find(path.replace("\\", "/"))
        if split_name(path)[1] not in suffixes:
            self._reject(where, f"`{column}` must end in one of {sorted(suffixes)}", path)
        elif found is None:
            self._reject(where, f"`{column}` must be a file below {self.scan.root.name}", path)
        else:
            return found
        return None

    def _label(self, where: str, text: str) -> StrokeType | None:
        label = self.terms.class_of(text) if text else None
        if text and label is None:
            rule = "`label` must be a class such as normal, ischemia, hemorrhage, or be stated by "
            self._reject(where, f"{rule}--labels, such as 0=normal 1=ischemia", repr(text))
        return label

    def _once(self, where: str, column: str, value: str | None, other: SliceFiles | None) -> None:
        if other is not None:
            self._reject(where, f"`{column}` must stand once", f"{value}, as in {other.row}")

    def _check_series(self, where: str, row: dict[str, str]) -> None:
        series, patient = row["series"], one_patient(row["patient"])
        if series and patient and self.owner.setdefault(series, patient) != patient:
            self._reject(where, "a series must have one patient", f"series {series!r} has two")
