"""The search spaces of the models as frozen dataclasses: command lines come from them.

A field is a `Range` or a tuple of values; a parameter with one value is set, not searched, and one
with none keeps what the searched run has. Imports nothing heavy, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

_DIGITS = 4  # significant digits: more mean nothing, and get lost between processes


@dataclass(frozen=True)
class Range:
    """All numbers between two bounds.

    Attributes:
        low: The lower bound, above 0 on a logarithmic scale.
        high: The upper bound, not below the lower one.
        log: Whether the scale is logarithmic.
        points: How many of them a grid takes.

    Raises:
        ValueError: If a bound or `points` is out of range.
    """

    low: float
    high: float
    log: bool = False
    points: int = 3

    def __post_init__(self) -> None:
        if not self.low <= self.high or (self.log and self.low <= 0) or self.points < 1:
            raise ValueError(
                "a range must have low <= high, above 0 on a logarithmic scale, and at least one "
                f"point. Received: {self}"
            )

    def grid(self) -> tuple[float, ...]:
        """Returns `points` values, evenly spaced on the scale, the bounds among them."""
        if self.points == 1 or self.low == self.high:
            return (rounded(self.low),)
        shares = [step / (self.points - 1) for step in range(self.points)]
        if self.log:
            return tuple(rounded(self.low * (self.high / self.low) ** share) for share in shares)
        return tuple(rounded(self.low + (self.high - self.low) * share) for share in shares)


Values: TypeAlias = Range | tuple[Any, ...]
Space: TypeAlias = Mapping[str, Values]
"""The values that each parameter may take."""


def rounded(value: float) -> float:
    """Returns a number of a range as it is used and written: with four significant digits."""
    return 0.0 if value == 0 else round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))


@dataclass(frozen=True)
class ClassifierSpace:
    """The search space of a classifier. Only what its training uses is searched.

    Attributes:
        backbone: Network names, as --backbone takes them; none keeps that one.
        learning_rate: Of Adam: on the features for a frozen backbone, else of the whole.
        batch_size: Slices in a batch.
        dropout: Share of the head's inputs dropped while training.
        dense_units: Units of the head's hidden layer.
        unfrozen: Share of the backbone's blocks that train, from the last on, in [0, 1].
        augmentation: What the strength of the augmentations is multiplied by; 0 is none. A frozen
            backbone has augmented slices only if the run has copies.
        inverse_penalty: C of the logistic regression of a probe.
    """

    backbone: tuple[str, ...] = ()
    learning_rate: Range = Range(1e-5, 1e-2, log=True)
    batch_size: tuple[int, ...] = (8, 16, 32, 64)
    dropout: Range = Range(0.0, 0.6)
    dense_units: tuple[int, ...] = (32, 64, 128, 256)
    unfrozen: tuple[float, ...] = (0.25, 0.5, 1.0)
    augmentation: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    inverse_penalty: Range = Range(1e-5, 1.0, log=True)

    def of(self, training: str, *, copies: int) -> Space:
        """Returns the parameters that a way of training uses.

        Args:
            training: A value of `ClassifierRun.training`.
            copies: Augmented copies among the features of a frozen backbone.
        """
        head = ("learning_rate", "batch_size", "dropout", "dense_units")
        used = {
            "probe": ("inverse_penalty",),
            "frozen": head,
            "probe+tune": (*head, "unfrozen", "augmentation", "inverse_penalty"),
        }.get(training, (*head, "unfrozen", "augmentation"))
        if copies and "augmentation" not in used:
            used = (*used, "augmentation")
        return _chosen(self, ("backbone", *used))


@dataclass(frozen=True)
class UnetSpace:
    """The search space of a U-Net. Only what its network has is searched.

    Attributes:
        encoder: Network names, as --encoder takes them; none keeps that one.
        learning_rate: Of Adam.
        batch_size: Slices in a batch.
        loss: Losses of the masks.
        augmentation: What the strength of the augmentations is multiplied by; 0 is none.
        filters: Filters of the finest level; each deeper one has twice as many.
        depth: Levels of the improved network.

    The others are the switches of the improved network, see `Improvements`.
    """

    encoder: tuple[str, ...] = ()
    learning_rate: Range = Range(1e-4, 3e-3, log=True)
    batch_size: tuple[int, ...] = (4, 8, 16)
    loss: tuple[str, ...] = ("dice", "dice+ce", "tversky", "focal")
    augmentation: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5)
    filters: tuple[int, ...] = (8, 16, 32)
    depth: tuple[int, ...] = (3, 4)
    attention: tuple[bool, ...] = (False, True)
    multi_scale: tuple[bool, ...] = (False, True)
    residual: tuple[bool, ...] = (False, True)
    spatial_dropout: tuple[float, ...] = (0.0, 0.2)
    batch_norm: tuple[bool, ...] = (False, True)

    def of(self, architecture: str) -> Space:
        """Returns the parameters of a network, a value of `UnetRun.architecture`."""
        both = ("learning_rate", "batch_size", "loss", "augmentation")
        if architecture == "improved":
            return _chosen(self, (*both, "filters", "depth", *SWITCHES))
        return _chosen(self, ("encoder", *both, *(("filters",) if architecture == "unet" else ())))


SWITCHES = ("attention", "multi_scale", "residual", "spatial_dropout", "batch_norm")
"""The parameters of a `UnetSpace` that are fields of `Improvements`."""


def _chosen(space: ClassifierSpace | UnetSpace, names: Iterable[str]) -> dict[str, Values]:
    known = {field.name: getattr(space, field.name) for field in dataclasses.fields(space)}
    return {name: known[name] for name in names if known[name] != ()}
