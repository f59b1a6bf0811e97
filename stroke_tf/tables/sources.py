"""What each slice of an open data set is part of, such as the hospital that it is from."""

from __future__ import annotations

import csv
from pathlib import Path


def read_sources(path: Path) -> dict[str, str]:
    """Returns the source of each slice by its id.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no columns `id` and `source`.
    """
    with path.open(encoding="utf-8", newline="") as file:
        table = csv.DictReader(file)
        if not {"id", "source"} <= set(table.fieldnames or ()):
            raise ValueError(f"{path} must have columns id, source. Received: {table.fieldnames}")
        return {row["id"]: row["source"] for row in table}
