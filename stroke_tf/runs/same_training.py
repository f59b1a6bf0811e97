"""One training for several runs: those that differ in how they are tested alone share it.

A run with another rule for its masks, or smoothed, then tells what that is worth on the same
network, and costs a test instead of a training.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from stroke_tf.files import flat, plain, read_json, replacing, replacing_folder, write_json
from stroke_tf.run_folder import RunFolder, read_metrics
from stroke_tf.runs.keep_or_run import defaults_of, settings_of
from stroke_tf.runs.settings import UnetRun
from stroke_tf.training.fit import BACKUP_NAME

TRAINED_IN_NAME = "trained_in.json"
TESTING = ("row", "mirror_test", "smooth_slices", "tune_mask", "score", "mask_score")
"""Settings of a U-Net that its training does not see."""
_logger = logging.getLogger(__name__)


def take_over_training(config: UnetRun, folder: RunFolder, *, data_manifest_sha256: str) -> None:
    """Copies the training of a finished run of the same experiment, if there is one like it.

    `trained_in.json` then names the run. A run that has begun to train goes on by itself.

    Args:
        config: The run's settings.
        folder: Its folder, open.
        data_manifest_sha256: SHA-256 of the manifest of its records.

    Raises:
        OSError: If something cannot be read or written.
    """
    if (folder.path / BACKUP_NAME).exists():
        return
    found = _trained_alike(config, folder, data_manifest_sha256)
    if found is None:
        return
    for mine, theirs in ((folder.model, found.model), (folder.history, found.history)):
        with replacing(mine) as temporary:
            shutil.copyfile(theirs, temporary)
    seconds = read_metrics(found.metrics).wall_seconds
    told = {"row": found.row, "seed": found.seed, "wall_seconds": seconds}
    write_json(folder.path / TRAINED_IN_NAME, told)
    with replacing_folder(folder.path / BACKUP_NAME) as copy:  # last: it says that all is trained
        shutil.copytree(found.path / BACKUP_NAME, copy, dirs_exist_ok=True)
    _logger.info("%s takes over the training of %s", folder.title, found.title)


def is_taken_over(folder: RunFolder) -> bool:
    """Returns whether a run has the whole training of another one."""
    return all((folder.path / name).exists() for name in (TRAINED_IN_NAME, BACKUP_NAME))


def seconds_taken_over(folder: RunFolder) -> float:
    """Returns the time of the run whose training was taken over; 0 where there is none."""
    path = folder.path / TRAINED_IN_NAME
    return float(read_json(path)["wall_seconds"]) if path.is_file() else 0.0


def _trained_alike(config: UnetRun, folder: RunFolder, sha256: str) -> RunFolder | None:
    mine = _of_training(flat(plain(settings_of(config))))
    for path in sorted(folder.path.parent.glob(f"*-s{folder.seed}")):
        other = RunFolder(folder.out, folder.experiment, _row(path, folder.seed), folder.seed)
        if other.path == folder.path or not other.is_done():
            continue
        if (
            path / TRAINED_IN_NAME
        ).exists():  # the run that trained it is named, and its time counts
            continue
        settings = flat(plain(defaults_of(config))) | flat(read_json(other.config))
        env = read_json(other.env)
        if env.get("data_manifest_sha256") != sha256 or _of_training(settings) != mine:
            continue
        if all(part.exists() for part in (other.model, other.history, path / BACKUP_NAME)):
            return other
    return None


def _row(path: Path, seed: int) -> str:
    return path.name.removesuffix(f"-s{seed}")


def _of_training(settings: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in settings.items() if name not in TESTING}
