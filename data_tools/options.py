"""The settings of the converter and their choices. Imports nothing heavy: `--help` is quick."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stroke_tf.machine import usable_cores
from stroke_tf.manifest import Protocol

Compression = Literal["zlib", "none"]
"""Compression of the TFRecord files."""

CopiesFor = Literal["none", "detect", "segment"]
"""What copies augmented before folding are for."""

Prefer = Literal["png", "dicom"]
"""Which file gives the pixels where a slice has both."""

MaskMethod = Literal["difference", "usth-hsv"]
"""How a mask is taken from an overlay."""


@dataclass(frozen=True)
class Conversion:
    """What to convert and how.

    Attributes:
        data: Folder of slices, in one of the known layouts.
        out: Folder to write: new, empty, or begun by this same conversion.
        protocol: clean keeps patients (or near-duplicates) in one fold, as-published does not.
        augment_before_folding: Add the offline copies of the SAUCIS paper (as-published only).
        copies_for: What the copies are for: detect (x4 stroke, x2 none) or segment (x6 stroke).
        size: Side of the stored slices, pixels; slices that are not square are padded with air.
        jobs: Worker processes.
        groups: CSV with columns id and patient.
        compression: Compression of the TFRecord files.
        layout: Source layout; auto recognises it.
        max_bad: How many faults may be left out instead of ending the conversion.
        seed: Seed of folds and copies.
        prefer: Which file gives the pixels where a slice has both.
        mask_method: How a mask is taken from an overlay where there is no mask file.
        shard_mb: Aimed-at size of a shard, MB.
        shards: Shards for each fold; 0 goes by --shard-mb.
    """

    data: Path
    out: Path
    protocol: Protocol = "clean"
    augment_before_folding: bool = False
    copies_for: Literal["detect", "segment"] = "detect"
    size: int = 512
    jobs: int = dataclasses.field(default_factory=usable_cores)
    groups: Path | None = None
    compression: Compression = "zlib"
    layout: str = "auto"
    max_bad: int = 0
    seed: int = 0
    prefer: Prefer = "png"
    mask_method: MaskMethod = "difference"
    shard_mb: int = 100
    shards: int = 0

    @property
    def copies(self) -> CopiesFor:
        """What copies are augmented before folding, if any."""
        return self.copies_for if self.augment_before_folding else "none"


@dataclass(frozen=True)
class Inspection:
    """What to inspect.

    Attributes:
        data: Folder of slices, in one of the known layouts.
        out: The page to write.
        layout: Source layout; auto recognises it.
        groups: CSV with columns id and patient.
        prefer: Which file gives the pixels where a slice has both, as in the conversion.
        jobs: Worker processes.
    """

    data: Path
    out: Path = Path("inspect.html")
    layout: str = "auto"
    groups: Path | None = None
    prefer: Prefer = "png"
    jobs: int = dataclasses.field(default_factory=usable_cores)


@dataclass(frozen=True)
class PhantomConfig:
    """What to make.

    Attributes:
        out: Folder to write; new or empty, or already made with the same values.
        patients: Patients for training, 8 slices each; the two test sessions have 10 % more.
        seed: Seed of everything. The same seed gives the same bytes.
        size: Side of the slices, pixels.
        jobs: Worker processes; they do not change the result.
    """

    out: Path
    patients: int = 40
    seed: int = 0
    size: int = 512
    jobs: int = 2
