"""Where models come from: the folder of a finished run, or one of `save-model`. No TensorFlow.

A source is a description and the files of the networks; several are an ensemble.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stroke_tf.checksums import check_file, read_sums, sha256_of
from stroke_tf.config import BRAIN, THREE_WINDOWS, ModelTask, Window
from stroke_tf.deploy.description import (
    ModelDescription,
    ModelPixels,
    NetworkFile,
    TrainedOn,
    read_description,
)
from stroke_tf.evaluation.mask_rule import MaskRule
from stroke_tf.evaluation.mask_score import mask_score_of_json
from stroke_tf.evaluation.slice_answers import THRESHOLD
from stroke_tf.files import read_json
from stroke_tf.run_folder import DATA_NAME, RunMetrics, read_metrics
from stroke_tf.zoo.shipped import no_model

DESCRIPTION_NAME = "model.json"
NETWORK_SUFFIX = ".keras"


@dataclass(frozen=True)
class Source:
    """A model on disk.

    Attributes:
        description: Its task, and the steps before and after its networks.
        files: The networks.
    """

    description: ModelDescription
    files: tuple[Path, ...]


def read_source(path: Path) -> Source:
    """Returns what the folder of a finished run, or one of `save-model`, holds.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it is neither, is of another schema, or a file is not what its checksum says.
    """
    if not path.is_dir():
        raise FileNotFoundError(no_model(path))
    if (path / DESCRIPTION_NAME).exists():
        return _saved(path)
    if (path / "metrics.json").is_file():
        return _finished_run(path)
    raise ValueError(
        f"{path} must be a finished run, with metrics.json, or a folder of save-model, with "
        f"{DESCRIPTION_NAME}. Received: {sorted(one.name for one in path.iterdir())[:9]}"
    )


def file_of(path: Path) -> NetworkFile:
    """Returns a file's name, SHA-256 and bytes."""
    return NetworkFile(path.name, sha256_of(path), path.stat().st_size)


def together(sources: Sequence[tuple[str, ModelDescription]]) -> ModelDescription:
    """Returns the description of several models as one ensemble.

    Thresholds and mask rules, which each run chose for itself, become their means.

    Args:
        sources: Name, for the errors, and description of each.

    Raises:
        ValueError: If they do not fit together; names what differs.
    """
    (first_name, first), *others = sources
    alike = (
        *("task", "image_size", "pixels", "windows", "view", "smooth_slices", "mirror"),
        "mask_score_rule",
    )
    for name, other in others:
        differing = [key for key in alike if getattr(first, key) != getattr(other, key)]
        for key in ("threshold", "mask_rule", "temperatures", "operating_points"):
            if bool(getattr(first, key)) != bool(getattr(other, key)):
                differing.append(key)
        if differing:
            told = "; ".join(
                f"{key}: {getattr(first, key)} and {getattr(other, key)}" for key in differing
            )
            raise ValueError(f"{first_name} and {name} must fit together. Received: {told}")
    each = [description for _, description in sources]
    return dataclasses.replace(
        first,
        threshold=_mean([one.threshold for one in each]),
        operating_points={
            name: sum(one.operating_points[name] for one in each) / len(each)
            for name in first.operating_points
            if all(name in one.operating_points for one in each)
        },
        limits=_all_of(one.limits for one in each),
        sources=_all_of(one.sources for one in each),
        mask_rule=_mean_rule([one.mask_rule for one in each]),
        temperatures=tuple(value for one in each for value in one.temperatures),
        mask_scores=tuple(score for one in each for score in one.mask_scores),
        networks=tuple(file for one in each for file in one.networks),
        trained_on=tuple(run for one in each for run in one.trained_on),
    )


def _all_of(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(itertools.chain.from_iterable(several)))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _mean_rule(rules: Sequence[MaskRule | None]) -> MaskRule | None:
    known = [rule for rule in rules if rule is not None]
    if not known:
        return None
    threshold = sum(rule.threshold for rule in known) / len(known)
    return MaskRule(threshold, round(sum(rule.min_area_px for rule in known) / len(known)))


def _saved(folder: Path) -> Source:
    description = read_description(folder / DESCRIPTION_NAME)
    known = read_sums(folder)
    stated = {file.name: file.sha256 for file in description.networks}
    stated[DESCRIPTION_NAME] = known.get(DESCRIPTION_NAME, "")
    for name, sha256 in stated.items():
        if Path(name).name != name:
            raise ValueError(f"{folder}: files of a model must lie in it. Received: {name}")
        check_file(folder / name, sha256)
    return Source(description, tuple(folder / file.name for file in description.networks))


def _finished_run(folder: Path) -> Source:
    path = folder / "model.keras"
    if not path.is_file():
        raise ValueError(f"{path} must exist: the network of a finished run")
    settings, result = read_json(folder / "config.json"), read_metrics(folder / "metrics.json")
    data = read_json(folder / DATA_NAME) if (folder / DATA_NAME).is_file() else {}
    pixels: ModelPixels = data.get("pixels", "unknown")
    shared: dict[str, Any] = {
        "image_size": settings["image_size"],
        "pixels": pixels,
        "mirror": settings["mirror_test"],
        "networks": (file_of(path),),
        "trained_on": (_trained_on(result, settings, data),),
    }
    if "backbone" in settings:
        return Source(_classifier(folder, settings, result, shared), (path,))
    return Source(_segmenter(folder, settings, result, shared), (path,))


def _classifier(
    folder: Path, settings: dict[str, Any], result: RunMetrics, shared: dict[str, Any]
) -> ModelDescription:
    one_window = settings["window"] == "brain" or settings["view"] == "neighbours"
    point = read_json(folder / "operating_point.json")
    return ModelDescription(
        task=settings["task"],
        windows=_windows(shared["pixels"], (BRAIN,) if one_window else THREE_WINDOWS),
        view=settings["view"],
        smooth_slices=settings["smooth_slices"],
        threshold=result.threshold,
        temperatures=(point["temperature"],),
        **shared,
    )


def _segmenter(
    folder: Path, settings: dict[str, Any], result: RunMetrics, shared: dict[str, Any]
) -> ModelDescription:
    task: ModelTask = "joint" if settings["architecture"] == "joint" else "segment"
    rule, view = folder / "mask_rule.json", settings.get("view", "windows")
    detects: dict[str, Any] = {"threshold": THRESHOLD if task == "joint" else None}
    if (score := folder / "mask_score.json").is_file():
        point = read_json(folder / "operating_point.json")
        detects = {
            "threshold": result.threshold,
            "temperatures": (point["temperature"],),
            "mask_scores": (mask_score_of_json(read_json(score)),),
        }
    return ModelDescription(
        task=task,
        windows=_windows(shared["pixels"], (BRAIN,) if view == "neighbours" else THREE_WINDOWS),
        view=view,
        smooth_slices=settings.get("smooth_slices", 0.0),
        mask_rule=MaskRule(**read_json(rule)) if rule.is_file() else None,
        **detects,
        **shared,
    )


def _windows(pixels: ModelPixels, windows: tuple[Window, ...]) -> tuple[Window, ...]:
    """Returns the windows; of a model trained on grey, the one that HU are made grey by."""
    return (BRAIN,) if pixels == "gray8" else windows


def _trained_on(result: RunMetrics, settings: dict[str, Any], data: dict[str, Any]) -> TrainedOn:
    return TrainedOn(
        experiment=result.experiment,
        row=result.row,
        seed=result.seed,
        protocol=result.protocol,
        split=result.split,
        n_test=result.n,
        data_manifest_sha256=result.data_manifest_sha256,
        scores=result.metrics,
        settings=settings,
        data=data,
    )
