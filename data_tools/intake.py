"""Reads the source that settings name, for the conversion and the inspection alike."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from data_tools.fold_files import with_folds
from data_tools.names import fold_name
from data_tools.options import Input
from data_tools.patients import only_with_patients, read_groups, with_patients
from data_tools.scan import MaskValues
from data_tools.slice_table import parse_pairs
from data_tools.slices import Reading
from data_tools.sources import Source, find_slices, parse_classes, read_table_source
from stroke_tf.fold_file import read_fold_file
from stroke_tf.manifest import FOLDS
from stroke_tf.text_tables import read_columns

_PATIENT = re.compile("patient|subject|hasta")


def take_in(settings: Input) -> Source:
    """Returns the slices of a folder or a table, with the patients and folds that files name.

    Raises:
        ValueError: If neither is given, the layout is not recognised, or a file cannot be read.
    """
    folds: dict[str, str] = {}
    if settings.table:
        source, folds = read_table_source(
            settings.table,
            root=settings.data,
            columns=parse_pairs("--columns", settings.columns),
            labels=parse_classes("--labels", settings.labels),
            mask_values=_mask_values(settings),
        )
    else:
        source = _read_folder(settings)
    if settings.groups:
        source = with_patients(source, read_groups(settings.groups), name=settings.groups.name)
    elif settings.table:
        source = only_with_patients(source, settings.table.name)
    if not isinstance(settings.folds, int):
        return with_folds(source, read_fold_file(settings.folds), name=settings.folds.name)
    if not 2 <= settings.folds <= FOLDS:
        raise ValueError(f"--folds must be 2 to {FOLDS}, or a file. Received: {settings.folds}")
    return with_folds(source, folds, name=settings.name) if folds else source


def no_labels(source: Source) -> str:
    """Returns why a source without any label or mask cannot be converted; "" for others."""
    if any(
        slice_.stroke_type is not None or slice_.mask or slice_.overlay for slice_ in source.slices
    ):
        return ""
    folders = dict.fromkeys(slice_.first.rpartition("/")[0] or "." for slice_ in source.slices)
    more = f" and {len(folders) - 5} more folders" if len(folders) > 5 else ""
    seen = f"{len(source.slices)} pictures in {[*folders][:5]}{more}"
    return (
        "cannot be converted: no labels; give a table (--table), or name folders by classes, such "
        f"as normal, ischemia, hemorrhage. Received: {seen}"
    )


def no_patients(source: Source) -> str:
    """Returns a warning for `clean` folds of slices whose patients are unknown."""
    tables = sorted(_patient_tables(source), key=lambda text: "--groups" not in text)
    hint = tables[0] if tables else "--groups takes a CSV with the columns id and patient"
    return (
        "No patient is known: clean folds keep near-duplicates together, but slices of one patient "
        f"may be in several folds. {hint}"
    )


def _patient_tables(source: Source) -> Iterator[str]:
    """Yields a hint for each table in a source's folder that seems to name patients."""
    ids = {slice_.source_id for slice_ in source.slices}
    for path in sorted(source.root.glob("*.[ct]sv")):
        with contextlib.suppress(OSError, ValueError):
            columns = read_columns(path)
            if not {"id", "patient"} <= {*columns}:
                named = [name for name in columns if _PATIENT.search(fold_name(name))]
            elif ids.isdisjoint(read_groups(path)):
                named = ["patient"]
            else:
                yield f"{path.name} names them: --groups {path}"
                continue
            if named:
                yield f"{path.name} has a column {named[0]}: a table can be made of it"


def reading_of(settings: Input, patient_key: bytes) -> Reading:
    """Returns how slices are to be read, by the settings."""
    return Reading(
        prefer=settings.prefer,
        mask_method=settings.mask_method,
        patient_key=patient_key,
        colour=settings.colour,
        hu_offset=settings.hu_offset,
    )


def _read_folder(settings: Input) -> Source:
    if settings.data is None:
        raise ValueError("--data must name a folder, or --table a table. Received: neither")
    labels = parse_classes("--labels", settings.labels)
    source = find_slices(settings.data, layout=settings.layout, labels=labels)
    used = {"labels"} if source.layout == "nnunet" else set()
    for flag in {"columns", "labels", "mask_values"} - used:
        if given := getattr(settings, flag):
            name = flag.replace("_", "-")
            raise ValueError(f"--{name} must come with --table. Received: {list(given)}")
    return source


def _mask_values(settings: Input) -> MaskValues:
    classes = parse_classes("--mask-values", settings.mask_values)
    if wrong := [value for value in classes if not value.isdecimal()]:
        raise ValueError(f"--mask-values must be whole numbers with classes. Received: {wrong}")
    return tuple((int(value), kind) for value, kind in classes.items())
