"""Phantom records for smoke runs, where there are no records of slices."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from data_tools.options import CopiesFor
    from stroke_tf.manifest import Protocol

SMOKE_DATA = "smoke-data"
_PATIENTS, _SIZE = 24, 96


def smoke_records(
    records: tuple[Path, ...],
    *,
    out: Path,
    copies: Sequence[CopiesFor | Literal["none"]] = ("none",),
) -> tuple[Path, ...]:
    """Returns folders of records, or, where none of them is there, those of phantoms.

    Args:
        records: Folders of records.
        copies: The task of the copies in the records of `as-published`, one folder for each task:
            "detect", "segment", or "none" for no copies.
        out: Folder of results, which phantoms and their records are made in: slices and patients
            under `smoke-data/slices`, one folder of records for each protocol beside it.

    Raises:
        OSError: If something cannot be written.
        ValueError: If the folder holds something else.
    """
    # Imported here, so that `--help` of an experiment does not wait for them.
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion, PhantomConfig
    from data_tools.phantom.data_set import PATIENTS_NAME, make_phantom
    from stroke_tf.files import locked

    if any(path.exists() for path in records):
        return records
    logging.info("No records at %s: phantoms take their place", ", ".join(map(str, records)))
    folder = out / SMOKE_DATA
    slices = folder / "slices"
    made: list[tuple[Protocol, CopiesFor | Literal["none"]]] = [("clean", "none")]
    made += [("as-published", task) for task in copies]
    paths = tuple(folder / f"{protocol}-{task}".removesuffix("-none") for protocol, task in made)
    with locked(folder, wait=True):  # another smoke run in the same folder makes the same
        make_phantom(PhantomConfig(slices, patients=_PATIENTS, size=_SIZE))
        for path, (protocol, task) in zip(paths, made, strict=True):
            conversion = Conversion(
                data=slices, out=path, protocol=protocol, groups=slices / PATIENTS_NAME, size=_SIZE
            )
            if task != "none":
                conversion = replace(conversion, augment_before_folding=True, copies_for=task)
            build_tfrecords(conversion)
    return paths
