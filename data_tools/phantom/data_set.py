"""Writes a data set of head phantoms, laid out as the TEKNOFEST organisers' folder."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data_tools.options import PhantomConfig
from data_tools.phantom.patient_files import SLICES, Patient, PatientTask, write_patient
from data_tools.workers import run_tasks
from stroke_tf.label_file import stage1_text
from stroke_tf.labels import LESION_CLASSES, StrokeType

CONFIG_NAME = "phantom.json"
PATIENTS_NAME = "patients.csv"

_VERSION = 2  # of the pictures: raise it when the same config gives other ones
_FIRST_ID = 10000
_STROKE_FREE = 0.1  # of the patients; with the lesions' extent 45 % of the slices are stroke-free
_SESSION_SHARE = 0.05  # patients of each test session by patients for training
_TRAINING = {
    StrokeType.NONE: Path("TRAINING/INMEYOK"),
    StrokeType.ISCHEMIA: Path("TRAINING/ISKEMI"),
    StrokeType.HEMORRHAGE: Path("TRAINING/KANAMA"),
}
_STAGE1 = Path("YarismaVeriSeti_1_Oturum")
_STAGE2 = Path("YarismaVeriSeti_2_Oturum")
_LABELS_NAME = "labels_stage1.txt"

Rows = list[tuple[int, str, StrokeType]]


def make_phantom(
    config: PhantomConfig, *, progress: Callable[[int, int], None] | None = None
) -> bool:
    """Writes a phantom data set, whole or not at all.

    Args:
        config: Settings of the set.
        progress: Called with how many patients are done and how many there are.

    Returns:
        Whether anything was written: False if `config.out` already holds this very set.

    Raises:
        ValueError: If a value of the config is out of its range.
        FileExistsError: If `config.out` holds anything else.
        OSError: If a file cannot be written.
    """
    for name, least in (("patients", 3), ("seed", 0), ("size", 64), ("jobs", 1)):
        if (value := getattr(config, name)) < least:
            raise ValueError(f"`{name}` must be >= {least}. Received: {value}")
    if _is_made(config):
        return False
    config.out.parent.mkdir(parents=True, exist_ok=True)
    # A sibling, so that the rename stays on one file system.
    partial = Path(tempfile.mkdtemp(prefix=f".{config.out.name}.", dir=config.out.parent))
    try:
        _write_all(config, partial, progress or (lambda done, total: None))
        partial.chmod(0o755)  # mkdtemp makes it private
        partial.replace(config.out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def _identity(config: PhantomConfig) -> str:
    """Returns the settings that decide the bytes, as the text of the file `CONFIG_NAME`."""
    names = ("patients", "seed", "size")
    return json.dumps({"version": _VERSION} | {n: getattr(config, n) for n in names}) + "\n"


def _is_made(config: PhantomConfig) -> bool:
    out, made = config.out, config.out / CONFIG_NAME
    if made.is_file() and made.read_text(encoding="utf-8") == _identity(config):
        return True
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f"`out` must be new, empty or the same phantom set, {_identity(config).strip()}. "
            f"Received: {out}, which holds something else"
        )
    return False


def _write_all(config: PhantomConfig, root: Path, progress: Callable[[int, int], None]) -> None:
    tasks = _plan(config, root)
    rows: Rows = []
    for done, written in enumerate(run_tasks(write_patient, iter(tasks), jobs=config.jobs), 1):
        rows += written
        progress(done, len(tasks))
    rows.sort()
    stage1 = {i for task in tasks if not task.with_masks for i in task.patient.ids}
    labels = {str(i): kind != StrokeType.NONE for i, _, kind in rows if i in stage1}
    (root / _STAGE1 / _LABELS_NAME).write_bytes(stage1_text(labels).encode())
    patients = "".join(f"{i},{name}\n" for i, name, _ in rows)
    (root / PATIENTS_NAME).write_bytes(f"id,patient\n{patients}".encode())
    (root / CONFIG_NAME).write_text(_identity(config), encoding="utf-8")


def _plan(config: PhantomConfig, root: Path) -> list[PatientTask]:
    """Returns all patients: those for training, then the two test sessions."""
    rng = np.random.default_rng([config.seed, 0])  # patients count from 1
    in_session = max(2, round(_SESSION_SHARE * config.patients))
    stroke_free = max(1, round(_STROKE_FREE * config.patients))
    # As the organisers did: the first session asks whether there is a stroke. The second has
    # strokes only and asks where they are.
    sessions = (
        (config.patients, stroke_free, _TRAINING, True),
        (in_session + 1, 1, dict.fromkeys(_TRAINING, _STAGE1), False),
        (in_session, 0, dict.fromkeys(LESION_CLASSES, _STAGE2), True),
    )
    tasks: list[PatientTask] = []
    for count, free, folders, with_masks in sessions:
        first_id = _FIRST_ID + len(tasks) * SLICES
        ids = rng.permutation(np.arange(first_id, first_id + count * SLICES)).reshape(count, -1)
        for (kind, start), own_ids in zip(_strokes(rng, count, free), ids.tolist(), strict=True):
            patient = Patient(config.seed, len(tasks) + 1, kind, start, tuple(own_ids))
            paths = {kind: root / folder for kind, folder in folders.items()}
            tasks.append(PatientTask(patient, paths, with_masks, config.size))
    return tasks


def _strokes(
    rng: np.random.Generator, patients: int, stroke_free: int
) -> list[tuple[StrokeType, int]]:
    """Returns each patient's type and first lesion slice, in random order.

    A lesion extends over as many slices as the head has. It is shifted by every number of slices
    that leaves at least two of them in the head, each equally often. So the height of a slice says
    nothing about its class.
    """
    shifts = np.arange(2 - SLICES, SLICES - 1)
    strokes = [(StrokeType.NONE, 0)] * stroke_free
    for index, kind in enumerate(LESION_CLASSES):
        count = len(range(index, patients - stroke_free, len(LESION_CLASSES)))
        rounds = [rng.permutation(shifts) for _ in range(0, count, len(shifts))]
        strokes += [(kind, int(shift)) for shift in np.concatenate(rounds)[:count]]
    return [strokes[i] for i in rng.permutation(patients)]
