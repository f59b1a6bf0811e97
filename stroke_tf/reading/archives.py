"""Zip files read as folders: nothing is unpacked to the disk, nothing is left behind.

A path may lead into a zip, as in `folder/series.zip/IM0001`. Such a file is read into memory.
"""

from __future__ import annotations

import lzma
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

MAX_FILE_BYTES = 1 << 30
_MAX_GROWTH = 100  # CT slices shrink to a third, air alone to a hundredth
_DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError)


def read_bytes(path: Path, count: int = -1) -> bytes:
    """Returns the content of a file, or the first `count` bytes; its path may lead into a zip.

    Raises:
        OSError: If it cannot be read.
        ValueError: If the zip is damaged or not safe to read.
    """
    try:
        with path.open("rb") as file:
            return file.read(count)
    except NotADirectoryError:
        archive = archive_of(path)
        if archive is None:
            raise
    info = files_of(archive).get(path.relative_to(archive).as_posix())
    if info is None:
        raise FileNotFoundError(2, "No such file in the zip", str(path))
    try:
        with _opened(archive).open(info) as member:
            return member.read(count)
    except _DAMAGE as error:
        kind = type(error).__name__
    raise ValueError(f"{path.name}: must be whole in its zip. Received: {kind}")


def archive_of(path: Path) -> Path | None:
    """Returns the zip that a path is or leads into, if any."""
    return next(
        (
            candidate
            for candidate in (path, *path.parents)
            if is_zip_name(candidate.name) and candidate.is_file()
        ),
        None,
    )


def is_zip_name(name: str) -> bool:
    """Returns whether a name ends as a zip's does."""
    return name.lower().endswith(".zip")


def holds(archive: Path, names: Callable[[str], bool]) -> bool:
    """Returns whether a zip holds a file of a name for which `names` is true.

    Raises:
        OSError, ValueError: If the file cannot be read or is no zip.
    """
    return any(names(member.filename.rpartition("/")[2]) for member in _opened(archive).infolist())


def files_of(archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Returns the files of a zip by their paths in it.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no zip, is encrypted, names files outside itself or one twice, or would
            unpack to far more than its size.
    """
    return _checked(archive, *_state(archive))


@lru_cache(maxsize=64)
def _checked(archive: Path, size: int, time: int) -> dict[str, zipfile.ZipInfo]:
    name, files = archive.name, {}
    members = [member for member in _opened(archive).infolist() if not member.is_dir()]
    for info in members:
        path = info.filename.replace("\\", "/")
        parts = path.split("/")
        if path in files or ":" in parts[0] or not {"", ".", ".."}.isdisjoint(parts):
            raise ValueError(f"{name}: must hold each file once, at a path inside it")
        if info.flag_bits & 1:
            raise ValueError(f"{name}: must not be encrypted")
        files[path] = info
    if sum(member.file_size for member in members) > _MAX_GROWTH * size or any(
        member.file_size > MAX_FILE_BYTES for member in members
    ):
        raise ValueError(
            f"{name}: must not unpack to more than {_MAX_GROWTH} times its size, nor a file in it "
            f"to more than {MAX_FILE_BYTES} bytes"
        )
    return files


def _opened(archive: Path) -> zipfile.ZipFile:
    return _open(archive, *_state(archive))


@lru_cache(maxsize=2)
def _open(archive: Path, size: int, time: int) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except _DAMAGE as error:
        kind = type(error).__name__
    raise ValueError(f"{archive.name}: must be a zip file. Received: {kind}")


def _state(archive: Path) -> tuple[int, int]:
    stat = archive.stat()
    return stat.st_size, stat.st_mtime_ns
