"""What a run leaves on disk: `<out>/<experiment>/<row>-s<seed>/`.

    config.json      the settings
    env.json         versions, device, commit, hash of the data manifest
    data.json        what the manifest says of the data, such as grey or HU
    history.csv, model.keras, predictions.csv, figures/*.png
    metrics.json     written last: its presence means that the run is done

None of them holds a host name, a user name or an absolute path.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import io
import logging
import math
import platform
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.files import (
    flat,
    locked,
    plain,
    read_json,
    replacing,
    to_json,
    write_json,
    write_text,
)
from stroke_tf.machine import processor
from stroke_tf.manifest import FoldName, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

RUN_SCHEMA_VERSION = 1
DATA_NAME = "data.json"
DPI = 110
_logger = logging.getLogger(__name__)
_PACKAGE_ROOT = Path(__file__).resolve().parents[1]
_CODE = ("stroke_tf", "data_tools", "experiments")


@dataclass(frozen=True)
class RunFolder:
    """Where a run is kept.

    Attributes:
        out: Folder of all results.
        experiment: Name of the experiment.
        row: Name of the row of the experiment's table, such as its model.
        seed: Seed of the run.

    Raises:
        ValueError: If experiment or row is not a plain folder name.
    """

    out: Path
    experiment: str
    row: str
    seed: int

    def __post_init__(self) -> None:
        for key in ("experiment", "row"):
            value = getattr(self, key)
            if not re.fullmatch(r"\w[\w.+-]*", value):
                raise ValueError(
                    f"`{key}` must be of letters, digits and _ . + -, the first not a sign. "
                    f"Received: {value!r}"
                )

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.out / self.experiment / f"{self.row}-s{self.seed}"

    @property
    def config(self) -> Path:
        """The settings, JSON."""
        return self.path / "config.json"

    @property
    def env(self) -> Path:
        """The environment, JSON."""
        return self.path / "env.json"

    @property
    def history(self) -> Path:
        """Loss and scores of each epoch, CSV."""
        return self.path / "history.csv"

    @property
    def model(self) -> Path:
        """The trained model, Keras."""
        return self.path / "model.keras"

    @property
    def predictions(self) -> Path:
        """One row for each test slice, CSV."""
        return self.path / "predictions.csv"

    @property
    def figures(self) -> Path:
        """Folder of the figures, PNG."""
        return self.path / "figures"

    @property
    def metrics(self) -> Path:
        """The result, JSON, written last."""
        return self.path / "metrics.json"

    def is_done(self) -> bool:
        """Returns whether the run came to its end."""
        return self.metrics.is_file()


@dataclass(frozen=True)
class RunMetrics:
    """The result of a run: what metrics.json holds.

    Attributes:
        experiment: Name of the experiment.
        row: Name of the row.
        seed: Seed of the run.
        protocol: Protocol of the folds: a number is never printed without it.
        split: Folds used as "train", "val" and "test".
        n: Number of test slices.
        threshold: Score at or above which a slice is positive; None where there is none.
        metrics: The numbers with their 95 % intervals; NaN where undefined.
        wall_seconds: Seconds the run took.
        data_manifest_sha256: SHA-256 of the manifest of the records.
        schema_version: Version of this contract.
    """

    experiment: str
    row: str
    seed: int
    protocol: Protocol
    split: dict[str, tuple[FoldName, ...]]
    n: int
    threshold: float | None
    metrics: dict[str, Metric]
    wall_seconds: float
    data_manifest_sha256: str
    schema_version: int = RUN_SCHEMA_VERSION

    def to_json(self) -> str:
        """Returns the result as valid JSON text, NaN written as null."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values["metrics"] = {
            name: {key: _null_for_nan(number) for key, number in metric._asdict().items()}
            for name, metric in self.metrics.items()
        }
        return to_json(values)


@contextlib.contextmanager
def start_run(
    run: RunFolder, config: Mapping[str, Any], *, data_manifest_sha256: str
) -> Iterator[RunFolder]:
    """Opens a run's folder and keeps it locked inside the `with` block, new or resumed.

    Writes config.json and env.json. The lock goes when the process does, however it ends.

    Args:
        run: The run.
        config: The settings, of values JSON can hold, enums and paths; of an absolute path the
            last part alone is kept.
        data_manifest_sha256: SHA-256 of the manifest of the records.

    Raises:
        RuntimeError: If another process has the run open.
        ValueError: If the folder was started with other settings or data; names the keys.
    """
    with locked(run.path):
        check_settings(run, config, data_manifest_sha256=data_manifest_sha256)
        write_json(run.config, config)
        write_json(run.env, describe_environment(data_manifest_sha256))
        yield run


def check_settings(run: RunFolder, config: Mapping[str, Any], *, data_manifest_sha256: str) -> None:
    """Refuses a run's folder that was started with other settings or data.

    Args:
        run: The run.
        config: The settings, as for `start_run`.
        data_manifest_sha256: SHA-256 of the manifest of the records.

    Raises:
        ValueError: If they differ; names the keys.
    """
    if not run.config.is_file():
        return
    old, new = flat(read_json(run.config)), flat(plain(config))
    if run.env.is_file():  # a run killed between the two files has no data hash yet
        env = read_json(run.env)
        old["data_manifest_sha256"] = env["data_manifest_sha256"]
        new["data_manifest_sha256"] = data_manifest_sha256
    missing = object()
    differing = sorted(key for key in old | new if old.get(key, missing) != new.get(key, missing))
    if differing:
        raise ValueError(
            f"{run.path} must be used with the settings it was started with, or be removed. "
            f"Received others for: {', '.join(differing)}"
        )


def kept(
    run: RunFolder, config: Mapping[str, Any], *, data_manifest_sha256: str
) -> RunMetrics | None:
    """Returns the result of a run that is done already, and says so; None of another one.

    Raises:
        ValueError: If it was done with other settings or data; names the keys.
    """
    if not run.is_done():
        return None
    check_settings(run, config, data_manifest_sha256=data_manifest_sha256)
    _logger.info("%s is done already: kept. Delete the folder to run it again", run.path)
    return read_metrics(run.metrics)


def write_predictions(run: RunFolder, predictions: pd.DataFrame) -> None:
    """Writes predictions.csv: `id, truth, score`, or `id` and the counts of each slice.

    Raises:
        ValueError: If the first column is not `id`.
    """
    if not len(predictions.columns) or predictions.columns[0] != "id":
        raise ValueError(
            f"The first column must be `id`. Received: {list(predictions.columns)[:1]}"
        )
    write_text(run.predictions, predictions.to_csv(index=False))


def write_outputs(
    run: RunFolder,
    predictions: pd.DataFrame,
    *,
    figures: Mapping[str, Figure],
    files: Mapping[str, Any],
) -> None:
    """Writes predictions.csv, figures/NAME.png and JSON files.

    Args:
        run: The run.
        predictions: See `write_predictions`.
        figures: Figures by name; they are cleared.
        files: Values by the name of their JSON file.

    Raises:
        ValueError: If the first column of `predictions` is not `id`.
    """
    write_predictions(run, predictions)
    for name, figure in figures.items():
        save_figure(figure, run.figures / f"{name}.png")
    for name, values in files.items():
        write_json(run.path / name, values)


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure as a PNG of 256 colours, atomically, and clears it.

    CT slices are grey and noisy: a palette makes the file less than half as large, and the
    method of maximum coverage keeps the hues of the thin outlines.
    """
    from PIL import Image  # here, for commands that draw nothing

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, facecolor="white")
    figure.clear()
    with replacing(path) as temporary:
        picture = Image.open(buffer).convert("RGB")
        picture.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(temporary, optimize=True)


def write_metrics(run: RunFolder, metrics: RunMetrics) -> None:
    """Writes metrics.json, which marks the run as done: call it last.

    Raises:
        ValueError: If the metrics are of another run.
    """
    named = (metrics.experiment, metrics.row, metrics.seed)
    if named != (run.experiment, run.row, run.seed):
        raise ValueError(f"{run.path}: metrics must be of this run. Received: {named}")
    write_text(run.metrics, metrics.to_json())


def read_runs(out: Path | str) -> list[RunMetrics]:
    """Returns the results of all finished runs, sorted by experiment, row and seed.

    Raises:
        ValueError: If a metrics.json is not what this version writes; names the file.
    """
    runs = [read_metrics(path) for path in Path(out).glob("*/*/metrics.json")]
    return sorted(runs, key=lambda run: (run.experiment, run.row, run.seed))


def read_metrics(path: Path) -> RunMetrics:
    """Returns the result held by a metrics.json.

    Raises:
        ValueError: If it is not what this version writes; names the file.
    """
    values = read_json(path)
    names = {field.name for field in dataclasses.fields(RunMetrics)}
    if not isinstance(values, dict) or names != values.keys():
        raise ValueError(f"{path}: keys must be {sorted(names)}. Received: {sorted(values)}")
    if values["schema_version"] != RUN_SCHEMA_VERSION:
        raise ValueError(
            f"{path}: schema_version must be {RUN_SCHEMA_VERSION}. "
            f"Received: {values['schema_version']}"
        )
    values["split"] = {name: tuple(folds) for name, folds in values["split"].items()}
    values["metrics"] = {
        name: Metric(**{key: _nan_for_null(number) for key, number in metric.items()})
        for name, metric in values["metrics"].items()
    }
    return RunMetrics(**values)


def describe_environment(data_manifest_sha256: str) -> dict[str, Any]:
    """Returns what env.json holds: versions, device, code and data, nothing of who or where.

    TensorFlow is asked for its devices only when something has imported it already.
    """
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "devices": _devices(),
        "git": _git_state(),
        "data_manifest_sha256": data_manifest_sha256,
        "packages": _package_versions(),
    }


def _null_for_nan(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def _nan_for_null(number: float | None) -> float:
    return float("nan") if number is None else number


def _package_versions() -> dict[str, str]:
    """Returns the versions of the package and of what it requires, as far as installed."""
    versions = {}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        versions["stroke_tf"] = importlib.metadata.version("stroke_tf")
        for requirement in importlib.metadata.requires("stroke_tf") or []:
            name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
            if "extra ==" not in requirement or name == "openvino":
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    versions[name] = importlib.metadata.version(name)
    return versions


def _devices() -> list[str] | None:
    """Returns the kinds of TensorFlow's devices, such as ["CPU", "NVIDIA A100"]."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return None
    devices = tensorflow.config.list_physical_devices()
    details = [tensorflow.config.experimental.get_device_details(device) for device in devices]
    return [
        detail.get("device_name", device.device_type)
        for device, detail in zip(devices, details, strict=True)
    ]


def _git_state() -> dict[str, Any] | None:
    """Returns commit and dirty flag of the package's own checkout; None without one.

    An installed package may lie inside a checkout of something else, whose commit says nothing.
    """
    root = _git("rev-parse", "--show-toplevel")
    if root is None or Path(root) != _PACKAGE_ROOT:
        return None
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", *_CODE)
    return {"commit": commit, "dirty": bool(changes)} if commit is not None else None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(_PACKAGE_ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
