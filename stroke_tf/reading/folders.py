"""Folders and zips listed alike, and names that say what a file is not. No file is opened."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from stroke_tf.reading.archives import archive_of, files_of

_SYSTEM_NAME = re.compile(
    r"\.|readme|license|.*:zone\.identifier$"
    r"|(@eadir|__macosx|(eh)?thumbs(_vista)?\.db|desktop\.ini|dicomdir)$",
    re.IGNORECASE,
)
_MASK_NAME = re.compile(r".*[ _-](seg|segmentation|mask|maske)", re.IGNORECASE)
_NO_UTF8 = re.compile("[\udc80-\udcff]")  # bytes of a name, as Python shows them


def list_folder(path: Path) -> Iterator[tuple[str, bool]]:
    """Yields the names in a folder or a zip, and whether each is a folder.

    Raises:
        OSError, ValueError: If it cannot be read.
    """
    if archive := archive_of(path):
        inner = path.relative_to(archive).parts
        below = (member.split("/") for member in files_of(archive))
        found = {
            (parts[len(inner)], len(parts) > len(inner) + 1)
            for parts in below
            if parts[: len(inner)] == [*inner]
        }
        yield from found
        return
    with os.scandir(path) as entries:
        yield from ((entry.name, _is_folder(entry)) for entry in entries)


def is_system_name(name: str) -> bool:
    """Returns whether a name is that of a system file, a README or a licence."""
    return _SYSTEM_NAME.match(name) is not None


def is_mask_name(stem: str) -> bool:
    """Returns whether a name without its suffix ends as masks beside pictures do: `12_HGE_Seg`."""
    return _MASK_NAME.fullmatch(stem) is not None


def readable(name: str) -> str:
    """Returns a name or path as text: bytes that are no UTF-8 are read as cp1254 (Turkish)."""
    return _NO_UTF8.sub(
        lambda byte: bytes([ord(byte[0]) - 0xDC00]).decode("cp1254", "backslashreplace"), name
    )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False
