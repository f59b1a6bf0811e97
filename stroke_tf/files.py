"""Files that are whole or not there, locks between processes, and JSON.

Everything the package writes goes through here. Knows nothing of what the files hold.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import fcntl
import json
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any


@contextlib.contextmanager
def replacing(path: Path, *, scratch: Path | None = None, sync: bool = False) -> Iterator[Path]:
    """Gives a temporary name, whose file becomes `path` when the block ends well.

    A reader sees the old file or the new one, never half of one. A block that writes no file leaves
    what was there. The suffix is kept, since Keras and matplotlib take the format from it.

    Args:
        path: The file to write; its folder is made.
        scratch: Folder for the unfinished file, on the same disk; None takes that of `path`.
        sync: Whether the bytes must be on the disk before the name is.

    Raises:
        OSError: If the file cannot be written; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = (scratch or path.parent) / f".{path.stem}-{uuid.uuid4().hex}{path.suffix}"
    try:
        with naming(path):
            yield temporary
            if temporary.exists():
                if sync:
                    with temporary.open("rb") as file:
                        os.fsync(file.fileno())
                temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Gives a temporary folder, which becomes `path` when the block ends well.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If `path` is there already and not an empty folder.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} must be new or empty. Received: something is there")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}-{uuid.uuid4().hex}"
    try:
        with naming(path):
            temporary.mkdir()
            yield temporary
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Adds a file's name to errors of writing it, where the system leaves the name out."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file whole or not at all; line ends stay as they are."""
    write_bytes(path, text.encode())


def write_json(path: Path, values: Any) -> None:
    """Writes values as JSON, see `to_json`, whole or not at all."""
    write_text(path, to_json(values))


def read_json(path: Path) -> Any:
    """Returns what a JSON file holds.

    Raises:
        ValueError: If it is not JSON; names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} must be JSON. Received: {error}") from error


def read_fields(path: Path, kind: type, *, version: int, more: Collection[str] = ()) -> Any:
    """Returns what a JSON file holds for the fields of a dataclass, one of them `schema_version`.

    Args:
        path: The file.
        kind: The dataclass.
        version: The version that is read.
        more: Further keys that the file has.

    Raises:
        ValueError: If it is of another version or has other keys; names the file.
    """
    values = read_json(path)
    found = values.get("schema_version") if isinstance(values, dict) else type(values)
    if found != version:
        raise ValueError(f"{path}: schema_version must be {version}. Received: {found}")
    names = {*more, *(field.name for field in dataclasses.fields(kind))}
    if names != values.keys():
        raise ValueError(f"{path}: keys must be {sorted(names)}. Received: {sorted(values)}")
    return values


def to_json(values: Any) -> str:
    """Returns values as indented JSON that ends with a newline, see `plain`."""
    return json.dumps(plain(values), indent=2, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """Returns a value as JSON gives it back; an absolute path is cut to its last part."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (str, PurePath)):
        path = PurePath(value)
        return path.name if path.is_absolute() else str(value)
    if hasattr(value, "dtype") and hasattr(value, "item"):  # a number of NumPy
        return value.item()
    return value


_ABSOLUTE = re.compile(r"(?<![\w.~:/-])(?:/[^\s/:,;'\"`()\[\]<>|]+)+/?")


def without_folders(text: str) -> str:
    """Returns a text in which each absolute path is cut to its last part, so that it can be shown.

    A path ends at a blank, a quote, a bracket, a colon, a comma or a semicolon. Addresses such as
    https://example.org/page and relative paths stay.
    """
    return _ABSOLUTE.sub(lambda found: PurePath(found[0]).name, text)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested mappings as one, keys joined by dots; an empty mapping stays a value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        nested = isinstance(value, Mapping) and value
        found |= flat(value, f"{prefix}{key}.") if nested else {prefix + key: value}
    return found


@contextlib.contextmanager
def locked(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Locks a folder for this process inside the block; the lock also ends when the process does.

    Args:
        folder: It is made if it is missing.
        wait: Wait until no other process has the folder open.

    Raises:
        RuntimeError: If another process has the folder open, without `wait`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise RuntimeError(f"{folder} must not be open in another process") from error
        yield
