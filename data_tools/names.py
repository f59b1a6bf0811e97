"""Names of files, folders and patients: their kinds, spellings and forms to compare.

Looks at names, and at the beginning of files without an ending. Knows no layout.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

from stroke_tf.reading.archives import read_bytes
from stroke_tf.reading.folders import readable

PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
DICOM_SUFFIXES = {".dcm", ".dicom", ".ima", ""}


def split_name(name: str) -> tuple[str, str]:
    """Returns stem and lower-case suffix; digits after a dot belong to a DICOM UID."""
    stem, dot, suffix = name.rpartition(".")
    if name.lower().endswith(".nii.gz"):
        return name[: -len(".nii.gz")], ".nii.gz"
    return (stem, f".{suffix.lower()}") if dot and not suffix.isdigit() else (name, "")


def is_picture(name: str) -> bool:
    """Returns whether a file name ends as a picture or a DICOM file does."""
    return split_name(name)[1] in DICOM_SUFFIXES.union(PICTURE_SUFFIXES) - {""}


def is_dicom(path: Path) -> bool:
    """Returns whether a file is DICOM by its ending, or without one by its beginning."""
    suffix = split_name(path.name)[1]
    if suffix or suffix not in DICOM_SUFFIXES:
        return suffix in DICOM_SUFFIXES
    try:
        return read_bytes(path, 132)[128:] == b"DICM"
    except (OSError, ValueError):
        return False


def one_spelling(name: str) -> str:
    """Returns a name in composed Unicode, whatever system wrote it."""
    return unicodedata.normalize("NFC", readable(name))


def whole_number(text: str) -> str:
    """Returns a text without the .0 that spreadsheets give whole numbers."""
    return re.sub(r"^(\d+)\.0+$", r"\1", text)


def one_patient(name: str) -> str:
    """Returns a patient's name in one form: case, Unicode form and a final .0 aside."""
    return whole_number(one_spelling(name)).casefold()


def join(folder: str, name: str) -> str:
    """Returns the path of a name in a folder; the root is the empty string."""
    return f"{folder}/{name}" if folder else name


def fold_name(name: str) -> str:
    """Returns a name in lower case without accents and with one kind of i."""
    letters = unicodedata.normalize("NFKD", readable(name))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return plain.lower().replace("ı", "i")


@lru_cache
def key_of(name: str) -> str:
    """Returns the key to compare folder names by: the letters and digits of `fold_name`."""
    return re.sub(r"[\W_]", "", fold_name(name))
