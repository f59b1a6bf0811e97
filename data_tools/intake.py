"""The source that settings name, taken in alike by the conversion and the inspection."""

from __future__ import annotations

from data_tools.options import Input
from data_tools.scan import MaskValues
from data_tools.slice_table import parse_pairs
from data_tools.slices import Reading
from data_tools.sources import (
    Source,
    find_slices,
    parse_classes,
    read_groups,
    read_table_source,
    with_patients,
)


def take_in(settings: Input) -> Source:
    """Returns the slices of a folder or a table, with the patients of a `--groups` file.

    Raises:
        ValueError: If neither is given, the layout is not recognised, or a table cannot be read.
    """
    source = _read(settings)
    return with_patients(source, read_groups(settings.groups)) if settings.groups else source


def reading_of(settings: Input, patient_key: bytes) -> Reading:
    """Returns how the settings have slices read."""
    return Reading(
        prefer=settings.prefer,
        mask_method=settings.mask_method,
        patient_key=patient_key,
        colour=settings.colour,
        hu_offset=settings.hu_offset,
    )


def _read(settings: Input) -> Source:
    if settings.table:
        return read_table_source(
            settings.table,
            root=settings.data,
            columns=parse_pairs("--columns", settings.columns),
            labels=parse_classes("--labels", settings.labels),
            mask_values=_mask_values(settings),
        )
    if settings.data is None:
        raise ValueError("--data must name a folder, or --table a table. Received: neither")
    for flag in ("columns", "labels", "mask_values"):
        if given := getattr(settings, flag):
            name = flag.replace("_", "-")
            raise ValueError(f"--{name} must come with --table. Received: {list(given)}")
    return find_slices(settings.data, layout=settings.layout)


def _mask_values(settings: Input) -> MaskValues:
    classes = parse_classes("--mask-values", settings.mask_values)
    if wrong := [value for value in classes if not value.isdecimal()]:
        raise ValueError(f"--mask-values must be whole numbers with classes. Received: {wrong}")
    return tuple((int(value), kind) for value, kind in classes.items())
