"""A volume as its slices: one `SliceFiles` for each plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from data_tools.names import split_name
from data_tools.scan import Scan, SliceFiles
from stroke_tf.reading.nifti import SUFFIXES, count_planes


def planes(scan: Scan, files: SliceFiles) -> Iterator[SliceFiles]:
    """Yields the slices of a volume, or the slice itself; an unreadable volume is a fault."""
    path = files.picture or ""
    if split_name(path)[1] not in SUFFIXES:
        yield files
        return
    try:
        count = count_planes(scan.root / path, name=path)
    except OSError as error:
        scan.reject(path, f"must be readable. Received: {error.strerror or error}")
    except ValueError as error:
        scan.reject(path, str(error).removeprefix(f"{path}: "))
    else:
        for plane in range(count):
            yield replace(files, source_id=f"{files.source_id}-{plane:03}", plane=plane)
