"""All that a model needs beside its weights: the steps before and after them, and model.json.

Knows nothing of TensorFlow or of where a model lies.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from stroke_tf.config import ModelTask, PointName, View, Window
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.mask_rule import MaskRule
from stroke_tf.evaluation.mask_score import MaskScore, mask_score_of_json
from stroke_tf.files import plain, read_fields
from stroke_tf.run_folder import json_of_metrics, metrics_of_json

MODEL_SCHEMA_VERSION = 2

ModelPixels = Literal["gray8", "hu16", "mixed", "unknown"]
"""The pixels that a model was trained on: 8-bit grey, HU, both, or unknown."""

CLASSES: dict[ModelTask, tuple[str, ...]] = {
    "detect": ("no stroke", "stroke"),
    "type": ("ischaemia", "haemorrhage"),
    "segment": ("background", "ischaemia", "haemorrhage"),
    "joint": ("background", "ischaemia", "haemorrhage"),
}
"""The classes of each task, by the ids that networks and masks have for them."""


@dataclass(frozen=True)
class NetworkFile:
    """One file of a network: its name without folder, SHA-256 and bytes."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class TrainedOn:
    """The run that a network comes from.

    Attributes:
        experiment: Name of the experiment.
        row: Name of the run's row.
        seed: Seed of the run.
        protocol: Protocol of the folds: a number is never printed without it.
        split: Folds used as "train", "val" and "test".
        n_test: Number of test slices.
        data_manifest_sha256: SHA-256 of the manifest of the records.
        scores: The numbers with their 95 % intervals; NaN where undefined.
        settings: What config.json says.
        data: What the manifest of the records says of them, as far as the run kept it.
    """

    experiment: str
    row: str
    seed: int
    protocol: str
    split: Mapping[str, tuple[int | str, ...]]
    n_test: int
    data_manifest_sha256: str
    scores: Mapping[str, Metric]
    settings: Mapping[str, Any]
    data: Mapping[str, Any]


@dataclass(frozen=True)
class ModelDescription:
    """A model's task and input, and the steps before and after its networks.

    Attributes:
        task: What it answers.
        image_size: Side of the networks' input in pixels.
        pixels: What it was trained on.
        windows: (centre, width) in HU of the channels; of a model trained on 8-bit grey the one
            through which slices in HU become grey.
        view: What the channels show.
        mirror: Whether the runs took the mean with the mirror image.
        smooth_slices: Standard deviation, in slices, of the smoothing along a series: of scores
            and of what is said of pixels.
        threshold: The score of class one, or of joint networks that of any stroke, from which on a
            slice is positive; as the networks give it, not calibrated. Where masks detect, it is
            of their score. None where there is none.
        temperatures: What calibrates the score of each network, where masks detect that of its
            masks; empty where nothing was fitted.
        mask_rule: Which pixels are lesion, its area in pixels of the networks' input; None where
            each pixel takes its likeliest class.
        mask_scores: How the masks of each network give a slice's score; empty where they do not.
        networks: The files; several are an ensemble.
        trained_on: The run of each network; empty where unknown.
        operating_points: Further thresholds by the name of their operating point.
        limits: What it cannot do or is not for.
        sources: What it learned from, each with authors and licence.

    Raises:
        ValueError: If a value is out of range.
    """

    task: ModelTask
    image_size: int
    pixels: ModelPixels
    windows: tuple[Window, ...]
    view: View = "windows"
    mirror: bool = False
    smooth_slices: float = 0.0
    threshold: float | None = None
    temperatures: tuple[float, ...] = ()
    mask_rule: MaskRule | None = None
    mask_scores: tuple[MaskScore, ...] = ()
    networks: tuple[NetworkFile, ...] = ()
    trained_on: tuple[TrainedOn, ...] = ()
    operating_points: Mapping[str, float] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    schema_version: int = field(default=MODEL_SCHEMA_VERSION, kw_only=True)

    def __post_init__(self) -> None:
        for name, known in (("task", ModelTask), ("pixels", ModelPixels), ("view", View)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(
                    f"`{name}` must be one of {get_args(known)}. Received: {getattr(self, name)!r}"
                )
        if self.image_size < 1:
            raise ValueError(f"`image_size` must be >= 1. Received: {self.image_size}")
        if len(self.windows) not in (1, 3) or any(width <= 0 for _, width in self.windows):
            raise ValueError(
                f"`windows` must be one or three of a width > 0. Received: {self.windows}"
            )
        for name in ("temperatures", "mask_scores"):
            if len(getattr(self, name)) not in (0, len(self.networks)):
                raise ValueError(
                    f"`{name}` must be none or one for each of {len(self.networks)} networks. "
                    f"Received: {getattr(self, name)}"
                )
        if self.mask_scores and not self.draws_masks:
            raise ValueError(f"`mask_scores` needs a model of masks. Received: task {self.task}")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, by id."""
        return CLASSES[self.task]

    @property
    def draws_masks(self) -> bool:
        """Whether it gives a class to each pixel."""
        return self.task in ("segment", "joint")

    @property
    def mask_score_rule(self) -> str | None:
        """The rule by which masks give a slice's score; None where they do not."""
        return self.mask_scores[0].rule if self.mask_scores else None

    @property
    def needs_order(self) -> bool:
        """Whether the answer for a slice depends on those beside it in its series."""
        beside = self.view != "windows" or self.smooth_slices > 0
        return beside or any(score.of_series for score in self.mask_scores)

    def at(self, point: PointName) -> ModelDescription:
        """Returns the same with the threshold of an operating point.

        Raises:
            ValueError: If the model has no such point; lists those that it has.
        """
        if point == "default":
            return self
        if point not in self.operating_points:
            known = ["default", *self.operating_points]
            raise ValueError(f"the operating point must be one of {known}. Received: {point}")
        return dataclasses.replace(self, threshold=self.operating_points[point])

    def to_json(self) -> dict[str, Any]:
        """Returns the content of model.json, of values that JSON has; NaN is null."""
        values = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        values["trained_on"] = [
            vars(run) | {"scores": json_of_metrics(run.scores)} for run in self.trained_on
        ]
        return plain({"classes": self.classes, **values})


def read_description(path: Path) -> ModelDescription:
    """Returns the description in a model.json.

    Raises:
        ValueError: If it is not what this version writes; names the file.
    """
    values = read_fields(path, ModelDescription, version=MODEL_SCHEMA_VERSION, more=("classes",))
    try:
        return _from_json(values)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} must describe a model. Received: {error}") from error


def _from_json(values: dict[str, Any]) -> ModelDescription:
    rule = values["mask_rule"]
    described = ModelDescription(
        **{
            **{name: value for name, value in values.items() if name != "classes"},
            "windows": tuple((float(centre), float(width)) for centre, width in values["windows"]),
            "temperatures": tuple(map(float, values["temperatures"])),
            "mask_rule": MaskRule(**rule) if rule is not None else None,
            "mask_scores": tuple(map(mask_score_of_json, values["mask_scores"])),
            "networks": tuple(NetworkFile(**file) for file in values["networks"]),
            "trained_on": tuple(_run_from_json(run) for run in values["trained_on"]),
            "operating_points": {
                name: float(value) for name, value in values["operating_points"].items()
            },
            "limits": tuple(values["limits"]),
            "sources": tuple(values["sources"]),
        }
    )
    if list(described.classes) != values["classes"]:
        raise ValueError(f"classes {values['classes']} for task {described.task}")
    return described


def _run_from_json(values: dict[str, Any]) -> TrainedOn:
    split = {name: tuple(folds) for name, folds in values["split"].items()}
    scores = metrics_of_json(values["scores"])
    return TrainedOn(**values | {"scores": scores, "split": split})
