"""Finished runs in a local MLflow store: one SQLite file and a folder of files, no server.

    stroke-tf track --out results --to mlruns

A run that is there already is left as it is, one that was run again since is added. Needs
`pip install 'stroke_tf[track]'`. `mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db` of
the whole MLflow shows the store. Nothing is sent: MLflow's telemetry is off.
"""

from __future__ import annotations

import csv
import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stroke_tf import command
from stroke_tf.files import flat, locked, read_json
from stroke_tf.run_folder import RunFolder, RunMetrics, read_runs

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_RESULT = "stroke_tf.metrics_sha256"
_PARAM_LENGTH = 6000  # MLflow's limit


@dataclass(frozen=True)
class Tracking:
    """Copies finished runs into a local MLflow store.

    Attributes:
        out: Folder of all results.
        to: Folder of the store: `mlflow.db` and `artifacts`.
        experiment: The experiment to copy; all of them when not given.
    """

    out: Path = Path("results")
    to: Path = Path("mlruns")
    experiment: str | None = None


def track_runs(out: Path, to: Path, experiment: str | None = None) -> int:
    """Copies the finished runs that a store does not hold yet.

    Args:
        out: Folder of all results.
        to: Folder of the store, made when it is missing.
        experiment: The experiment to copy; None copies all.

    Returns:
        The number of runs copied.

    Raises:
        FileNotFoundError: If no run is finished.
        RuntimeError: If another process has the store open.
        ValueError: If MLflow is not installed, or a file of a run is not valid.
    """
    runs = [run for run in read_runs(out) if experiment in (None, run.experiment)]
    if not runs:
        raise FileNotFoundError(f"{out} must hold finished runs. Received: no metrics.json in it")
    with locked(to):
        client = _client(to)
        return sum([_copy(client, run, out, to) for run in runs])


def _client(to: Path) -> MlflowClient:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # read when MLflow is imported
    try:
        import sqlalchemy  # noqa: F401  # the store's own, which mlflow-skinny leaves out
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise ValueError(f"{error}: pip install 'stroke_tf[track]'") from error

    store = f"sqlite:///{to.resolve() / 'mlflow.db'}"
    return MlflowClient(tracking_uri=store, registry_uri=store)


def _copy(client: MlflowClient, run: RunMetrics, out: Path, to: Path) -> bool:
    """Copies a run; False if the store holds this result of it already."""
    folder = RunFolder(out, run.experiment, run.row, run.seed)
    result = hashlib.sha256(folder.metrics.read_bytes()).hexdigest()
    experiment = _experiment(client, run.experiment, to)
    for old in client.search_runs([experiment], f"tags.`{_RESULT}` = '{result}'"):
        if old.info.status == "FINISHED":
            return False
        client.delete_run(old.info.run_id)  # its copying was killed
    ended = folder.metrics.stat().st_mtime
    copied = client.create_run(
        experiment,
        start_time=int(1000 * (ended - run.wall_seconds)),
        tags=_tags(run) | {_RESULT: result},
        run_name=folder.path.name,
    ).info.run_id
    _log(client, copied, run, folder)
    client.set_terminated(copied, end_time=int(1000 * ended))
    return True


def _experiment(client: MlflowClient, name: str, to: Path) -> str:
    known = client.get_experiment_by_name(name)
    if known is not None:
        return known.experiment_id
    return client.create_experiment(name, (to.resolve() / "artifacts" / name).as_uri())


def _tags(run: RunMetrics) -> dict[str, str]:
    split = ", ".join(f"{name} {' '.join(map(str, folds))}" for name, folds in run.split.items())
    return {
        "row": run.row,
        "seed": str(run.seed),
        "protocol": run.protocol,
        "n": str(run.n),
        "split": split,
        "threshold": str(run.threshold),
        "data_manifest_sha256": run.data_manifest_sha256,
    }


def _log(client: MlflowClient, run_id: str, run: RunMetrics, folder: RunFolder) -> None:
    from mlflow.entities import Metric, Param

    ended = int(1000 * folder.metrics.stat().st_mtime)
    numbers = [*_scores(run), *(_epochs(folder.history) if folder.history.is_file() else ())]
    client.log_batch(
        run_id,
        metrics=[Metric(name, number, ended, step) for name, number, step in numbers],
        params=[
            Param(key, str(value)[:_PARAM_LENGTH])
            for key, value in flat(read_json(folder.config)).items()
        ],
    )
    for path in (folder.config, folder.env, folder.metrics, folder.predictions, folder.history):
        if path.is_file():
            client.log_artifact(run_id, str(path))
    if folder.figures.is_dir():
        client.log_artifacts(run_id, str(folder.figures), "figures")


def _scores(run: RunMetrics) -> Iterator[tuple[str, float, int]]:
    """Yields name, number and step of each score and the limits of its interval, where defined."""
    for name, metric in run.metrics.items():
        for suffix, number in (("", metric.value), (".low", metric.low), (".high", metric.high)):
            if math.isfinite(number):
                yield name + suffix, number, 0


def _epochs(path: Path) -> Iterator[tuple[str, float, int]]:
    """Yields name, number and epoch of what was measured in training."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            epoch = int(row.pop("epoch"))
            for name, text in row.items():
                if text and math.isfinite(float(text)):
                    yield f"epochs/{name}", float(text), epoch


def main(settings: Tracking) -> int:
    """Copies the runs and says how many."""
    copied = track_runs(settings.out, settings.to, settings.experiment)
    print(f"{copied} runs copied into {settings.to}")
    return 0


if __name__ == "__main__":
    command.run(main, Tracking, doc=__doc__)
