"""What each slice of an open data set is part of, such as the hospital that it is from."""

from __future__ import annotations

from pathlib import Path

from stroke_tf.text_tables import read_table


def read_sources(path: Path) -> dict[str, str]:
    """Returns the source of each slice by its id.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it has no columns `id` and `source`.
    """
    return {row["id"]: row["source"] for _, row in read_table(path, ("id", "source"))}
