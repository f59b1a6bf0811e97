"""The files that a run leaves on disk, in `<out>/<experiment>/<row>-s<seed>/`.

    config.json      the settings
    env.json         versions, device, commit, hash of the data manifest
    data.json        what the manifest says of the data, such as grey or HU
    cautions.json    sentences on scores that mean little
    history.csv, model.keras, predictions.csv, figures/*.png
    metrics.json     written last: its presence means that the run is done

None of them holds a host name, a user name or an absolute path.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.files import (
    flat,
    locked,
    plain,
    read_fields,
    read_json,
    replacing,
    to_json,
    write_json,
    write_text,
)
from stroke_tf.machine import describe_environment
from stroke_tf.manifest import FoldName, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

RUN_SCHEMA_VERSION = 1
DATA_NAME = "data.json"
CAUTIONS_NAME = "cautions.json"
DPI = 110
_EVENTS = "tfevents"  # in the names of TensorBoard's files, which begin before an epoch
_DATA_KEY = "data_manifest_sha256"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunMetrics:
    """The result of a run, as metrics.json holds it.

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
        return to_json(values | {"metrics": json_of_metrics(self.metrics)})


def json_of_metrics(metrics: Mapping[str, Metric]) -> dict[str, dict[str, float | None]]:
    """Returns numbers with their intervals as JSON has them, NaN as None."""
    return {
        name: {
            key: None if math.isnan(number) else float(number)
            for key, number in metric._asdict().items()
        }
        for name, metric in metrics.items()
    }


def metrics_of_json(values: Mapping[str, Mapping[str, float | None]]) -> dict[str, Metric]:
    """Returns the numbers of the JSON values that `json_of_metrics` made."""
    return {
        name: Metric(**{key: math.nan if value is None else value for key, value in metric.items()})
        for name, metric in values.items()
    }


class _Part:
    """A file or folder in a run's folder."""

    def __init__(self, name: str, doc: str) -> None:
        self._name, self.__doc__ = name, doc

    def __get__(self, run: RunFolder, kind: type[RunFolder]) -> Path:
        return run.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run. It is opened once and finished once.

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
    def title(self) -> str:
        """The run's name in displays: `experiment/row-sSEED`."""
        return f"{self.experiment}/{self.path.name}"

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.out / self.experiment / f"{self.row}-s{self.seed}"

    config = _Part("config.json", "The settings, JSON.")
    env = _Part("env.json", "The environment, JSON.")
    history = _Part("history.csv", "Loss and scores of each epoch, CSV.")
    head_history = _Part("head/history.csv", "The same of a head, trained on features.")
    model = _Part("model.keras", "The trained model, Keras.")
    predictions = _Part("predictions.csv", "One row for each test slice, CSV.")
    figures = _Part("figures", "Folder of the figures, PNG.")
    metrics = _Part("metrics.json", "The result, JSON, written last.")

    def histories(self) -> dict[str, pd.DataFrame]:
        """Returns the numbers of each epoch: "history", and "history_head" where a head trained."""
        import pandas as pd

        paths = {"history": self.history, "history_head": self.head_history}
        return {name: pd.read_csv(path) for name, path in paths.items() if path.is_file()}

    def cautions(self) -> list[str]:
        """Returns the cautions on a finished run's scores; none if an older version wrote it."""
        path = self.path / CAUTIONS_NAME
        return read_json(path) if path.is_file() else []

    def is_done(self) -> bool:
        """Returns whether the run came to its end."""
        return self.metrics.is_file()

    def check(
        self,
        config: Mapping[str, Any],
        *,
        data_manifest_sha256: str,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """Refuses a folder that was started with other settings or data.

        Args:
            config: The settings, of values JSON can hold, enums and paths; of an absolute path the
                last part alone is kept.
            data_manifest_sha256: SHA-256 of the manifest of the records.
            defaults: Values of settings that an older version did not have: its folders lack them,
                and did what these values do.

        Raises:
            ValueError: If they differ; names the keys.
        """
        if not self.config.is_file():
            return
        old, new = flat(read_json(self.config)), flat(plain(config))
        younger = flat(plain(defaults or {}))
        old = {key: younger[key] for key in new if key in younger} | old
        if self.env.is_file():  # a run killed between the two files has no data hash yet
            old[_DATA_KEY] = read_json(self.env)[_DATA_KEY]
            new[_DATA_KEY] = data_manifest_sha256
        missing = object()
        keys = sorted(key for key in old | new if old.get(key, missing) != new.get(key, missing))
        if keys:
            raise ValueError(
                f"{self.path} must be used with the settings it was started with. Another --row or "
                "--out keeps both runs; without the folder it starts anew. "
                f"Received others for: {', '.join(map(_told, keys))}"
            )

    def kept(
        self,
        config: Mapping[str, Any],
        *,
        data_manifest_sha256: str,
        defaults: Mapping[str, Any] | None = None,
    ) -> RunMetrics | None:
        """Returns the result of a run that is done already, and logs this; None if it is not done.

        Arguments as for `check`.

        Raises:
            ValueError: If it was done with other settings or data, see `check`.
        """
        if not self.is_done():
            return None
        self.check(config, data_manifest_sha256=data_manifest_sha256, defaults=defaults)
        _logger.info("%s is done already: kept. Delete the folder to run it again", self.path)
        return read_metrics(self.metrics)

    @contextlib.contextmanager
    def opened(
        self,
        config: Mapping[str, Any],
        *,
        data_manifest_sha256: str,
        defaults: Mapping[str, Any] | None = None,
    ) -> Iterator[None]:
        """Keeps the folder locked inside the `with` block, new or resumed.

        Writes config.json and env.json. A block that fails before anything is trained takes the
        folder with it: the next try may have other settings, and no report lists it. The lock goes
        when the process does, however it ends.

        Raises:
            RuntimeError: If another process has the run open.
            ValueError: If the folder was started with other settings or data, see `check`.
        """
        with locked(self.path):
            self.check(config, data_manifest_sha256=data_manifest_sha256, defaults=defaults)
            write_json(self.config, config)
            write_json(self.env, describe_environment(data_manifest_sha256))
            try:
                yield
            except BaseException:
                if not self._is_begun():
                    shutil.rmtree(self.path)
                raise

    def _is_begun(self) -> bool:
        """Returns whether an epoch was finished, or anything else is there beside settings."""
        files = [path for path in self.path.rglob("*") if path.is_file() and path.stat().st_size]
        left = {path.name for path in files if _EVENTS not in path.name}
        return bool(left - {self.config.name, self.env.name})

    def finish(
        self,
        result: RunMetrics,
        predictions: pd.DataFrame,
        *,
        figures: Mapping[str, Figure],
        files: Mapping[str, Any],
    ) -> None:
        """Writes all that a run leaves beside its model; metrics.json, which marks it done, last.

        Args:
            result: The result of this run.
            predictions: `id, truth, score`, or `id` and the counts of each slice.
            figures: Figures by name; they are cleared.
            files: Values by the name of their JSON file.

        Raises:
            ValueError: If the first column of `predictions` is not `id`, or the result is of
                another run.
        """
        if list(predictions.columns[:1]) != ["id"]:
            raise ValueError(
                f"The first column must be `id`. Received: {list(predictions.columns[:1])}"
            )
        named = (result.experiment, result.row, result.seed)
        if named != (self.experiment, self.row, self.seed):
            raise ValueError(f"{self.path}: metrics must be of this run. Received: {named}")
        write_text(self.predictions, predictions.to_csv(index=False))
        for name, figure in figures.items():
            save_figure(figure, self.figures / f"{name}.png")
        for name, values in files.items():
            write_json(self.path / name, values)
        write_text(self.metrics, result.to_json())


def _told(key: str) -> str:
    """Returns a key as messages have it."""
    return f"{key} (the records are others)" if key == _DATA_KEY else key


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


def read_runs(out: Path | str) -> list[RunMetrics]:
    """Returns the results of all finished runs, sorted by experiment, row and seed.

    Raises:
        ValueError: If a metrics.json is not what this version writes; names the file.
    """
    runs = [read_metrics(path) for path in Path(out).glob("*/*/metrics.json")]
    return sorted(runs, key=lambda run: (run.experiment, run.row, run.seed))


def read_predictions(path: Path) -> pd.DataFrame:
    """Returns a predictions.csv, of a run or a cross-validation: names are text, even "NA"."""
    import pandas as pd

    names = dict.fromkeys(("id", "group", "row"), str)
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])


def read_metrics(path: Path) -> RunMetrics:
    """Returns the result held by a metrics.json.

    Raises:
        ValueError: If it is not what this version writes; names the file.
    """
    values = read_fields(path, RunMetrics, version=RUN_SCHEMA_VERSION)
    values["split"] = {name: tuple(folds) for name, folds in values["split"].items()}
    return RunMetrics(**values | {"metrics": metrics_of_json(values["metrics"])})
