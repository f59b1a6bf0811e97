"""The runs that predictions are of, and their records. Knows no pixels and no scores."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from stroke_tf.files import read_json
from stroke_tf.manifest import manifest_sha256
from stroke_tf.run_folder import read_predictions

PREDICTIONS = "predictions.csv"


def runs_of(folder: Path, *, row: str | None = None) -> tuple[Path, ...]:
    """Returns the folders of the runs that predictions are of: one, or the parts of a row.

    Args:
        folder: That of a finished run or of a cross-validation.
        row: Row of the cross-validation; None where it has one alone. With several rows, None
            gives no run.
    """
    if (folder / "metrics.json").is_file():
        return (folder,)
    said = read_predictions(folder / PREDICTIONS)
    if not {"row", "protocol"} <= set(said):
        return ()
    rows = said[["row", "protocol"]].drop_duplicates()
    chosen = rows[rows["row"] == row] if row or rows["row"].nunique() > 1 else rows
    starts = ["-".join(names) for names in chosen.itertuples(index=False)]
    found = [
        path
        for start in starts
        for path in folder.glob(f"{glob.escape(start)}-part*-s*")
        if re.fullmatch(r"-part\d+-s\d+", path.name.removeprefix(start))
    ]
    return tuple(sorted(path for path in found if (path / "config.json").is_file()))


def check_records(records: Path, folder: Path, *, row: str | None = None) -> None:
    """Refuses records other than those of a run, or of the parts of a cross-validation.

    Raises:
        FileNotFoundError: If there is no manifest.
        ValueError: If their manifest is another one.
    """
    sha256 = manifest_sha256(records)
    for path in runs_of(folder, row=row):
        environment = path / "env.json"
        known = read_json(environment)["data_manifest_sha256"] if environment.is_file() else sha256
        if known != sha256:
            raise ValueError(
                f"{records} must be the records that {path} was made of, with the manifest "
                f"{known}. Received: {sha256}"
            )
