"""The checksums of a folder: SHA256SUMS as `sha256sum` writes and reads it.

Knows nothing of what the files hold.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from stroke_tf.files import write_text

SUMS_NAME = "SHA256SUMS"


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """Writes the checksums of all files of a folder."""
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in sorted(folder.iterdir())]
    write_text(folder / SUMS_NAME, "".join(lines))


def read_sums(folder: Path) -> dict[str, str]:
    """Returns the SHA-256 of each file that a folder's checksums name.

    Raises:
        ValueError: If there are none.
    """
    path = folder / SUMS_NAME
    if not path.is_file():
        raise ValueError(f"{path} must exist: the checksums of a saved model")
    lines = [line.split("  ", 1) for line in path.read_text(encoding="utf-8").splitlines()]
    return {line[1]: line[0] for line in lines if len(line) == 2}


def check_file(path: Path, sha256: str) -> None:
    """Checks that a file exists and has the checksum that is stated for it.

    Args:
        path: The file.
        sha256: The checksum; empty if none is stated, and then the check fails.

    Raises:
        ValueError: If the file is missing or has another checksum; names the file.
    """
    if not path.is_file():
        raise ValueError(f"{path} must exist: the model is not whole without it")
    if (found := sha256_of(path)) != sha256:
        raise ValueError(
            f"{path} must have the SHA-256 {sha256 or 'that ' + SUMS_NAME + ' states'}: it was "
            f"changed. Received: {found}"
        )
