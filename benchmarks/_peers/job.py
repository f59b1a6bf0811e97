"""One peer's job: where its slices lie, what it may spend, and where its answers go.

Runs in every interpreter: needs NumPy and the standard library alone.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from stroke_tf.files import read_json, replacing, write_json

Use = Literal["train", "val", "test"]
SLICES_NAME, JOB_NAME, TOLD_NAME = "slices.npz", "job.json", "told.json"
RESULT_NAME = "result.json"
"""Written last: its presence marks a peer as done."""
DATASET = "Dataset001_Slices"
"""Name of nnU-Net's data set."""
ANSWERED: tuple[Use, ...] = ("val", "test")
"""The slices that a trained peer answers: the mask rule is chosen on the first."""
_RESERVE_SHARE, _RESERVE_SECONDS = 0.01, 2.0


@dataclass(frozen=True)
class Job:
    """The job of one peer: its slices, its budget and its settings.

    Attributes:
        handed: Folder of the slices, see `Handed`.
        folder: Folder of what the peer makes.
        cpu_seconds: CPU time that its training may take, with all that belongs to its process.
        threads: Threads that it may use.
        seed: Seed of the training.
        options: Settings of this peer.
    """

    handed: Path
    folder: Path
    cpu_seconds: float
    threads: int
    seed: int
    options: dict[str, Any]

    def write(self) -> Path:
        """Writes the job into its folder; returns the file."""
        path = self.folder / JOB_NAME
        values = vars(self) | {"handed": str(self.handed), "folder": str(self.folder)}
        # Not by `write_json`, which keeps the last part of a path alone.
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(values, indent=2), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Job:
        """Returns what `write` wrote."""
        values = read_json(path)
        return cls(**values | {name: Path(values[name]) for name in ("handed", "folder")})

    @property
    def end(self) -> float:
        """CPU seconds at which the training must be over, so that its model can be saved."""
        return self.cpu_seconds - max(_RESERVE_SECONDS, _RESERVE_SHARE * self.cpu_seconds)

    def tell(self, **facts: Any) -> None:
        """Writes down what the training was, for the result."""
        write_json(self.folder / TOLD_NAME, facts)

    def save_answers(self, use: Use, probs: np.ndarray) -> None:
        """Writes what the peer says of some slices.

        Args:
            use: Which slices.
            probs: Probabilities of the lesion classes handed over, shape (N, K, S, S).
        """
        with replacing(self.answers(use)) as temporary:
            np.savez_compressed(temporary, probs=probs.astype(np.float16))

    def answers(self, use: Use) -> Path:
        """Returns the file of what the peer says of some slices."""
        return self.folder / f"{use}.npz"


class Slices(NamedTuple):
    """The slices of one use.

    Attributes:
        images: uint8, shape (N, S, S, C), C 1 or 3: the slice, or that between its neighbours.
        masks: uint8, shape (N, S, S): 0 background, 1 to K the lesion classes handed over.
    """

    images: np.ndarray
    masks: np.ndarray


def read_slices(folder: Path, use: Use) -> Slices:
    """Returns slices that were handed over."""
    with np.load(folder / SLICES_NAME) as arrays:
        return Slices(arrays[f"{use}_images"], arrays[f"{use}_masks"])


def lesion_classes(folder: Path) -> int:
    """Returns K, the number of lesion classes handed over."""
    with np.load(folder / SLICES_NAME) as arrays:
        return len(arrays["class_ids"])


def cpu_seconds() -> float:
    """Returns user and system time of this process's threads and of its ended children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def main(verbs: Mapping[str, Callable[[Job], None]]) -> None:
    """Runs the verb of the command line: `python -m benchmarks._peers.<peer> VERB JOB.json`."""
    verb, path = sys.argv[1:]
    verbs[verb](Job.read(Path(path)))
