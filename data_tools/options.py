"""The settings of the converter and their choices. Imports nothing heavy: `--help` is quick."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stroke_tf.machine import usable_cores
from stroke_tf.manifest import FOLDS, Compression, Protocol

CopiesFor = Literal["detect", "segment"]
"""The task that copies augmented before folding are for."""

Prefer = Literal["png", "dicom"]
"""Which file gives the pixels where a slice has both."""

Colour = Literal["refuse", "grey"]
"""Whether coloured pictures are refused or read as grey."""

MaskMethod = Literal["difference", "usth-hsv"]
"""How a mask is taken from an overlay."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """Settings of the input: slices, labels, patients and folds.

    Attributes:
        data: Folder of slices, in one of the known layouts; with --table, where its paths start.
        table: CSV or TSV, a row for each slice: image, and any of id, mask, overlay, label,
            patient, series, fold; paths are relative to it, or to --data.
        columns: Other names of columns, such as image=file patient=subject; names in braces are
            filled in: image=scans/{id}.png
        labels: Classes of the labels of a table or a dataset.json, such as 0=normal 1=ischemia.
        mask_values: Classes of the values of grey masks, such as 1=ischemia 2=hemorrhage.
        colour: Whether coloured pictures (a caption, a tint) are refused or read as grey.
        hu_offset: What 16-bit pictures hold more than HU, such as 32768 or 1024.
        groups: CSV with columns id and patient.
        layout: Name of the layout (docs/howto/your_data.md lists them); auto recognises it.
        prefer: Which file gives the pixels where a slice has both.
        mask_method: How a mask is taken from an overlay where there is no mask file.
        protocol: clean keeps patients (or near-duplicates) in one fold, as-published does not.
        folds: How many folds to deal, 2 to 10; or a file of folds to take as they are: a CSV with
            the columns id and fold, nnU-Net's splits_final.json, or JSON lists of ids.
        jobs: Worker processes.
    """

    data: Path | None = None
    table: Path | None = None
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    mask_values: tuple[str, ...] = ()
    colour: Colour = "refuse"
    hu_offset: int | None = None
    groups: Path | None = None
    layout: str = "auto"
    prefer: Prefer = "png"
    mask_method: MaskMethod = "difference"
    protocol: Protocol = "clean"
    folds: int | Path = FOLDS
    jobs: int = dataclasses.field(default_factory=usable_cores)

    @property
    def name(self) -> str:
        """The name of the folder or the table."""
        given = self.table or self.data
        return given.resolve().name if given else ""


@dataclass(frozen=True, kw_only=True)
class Conversion(Input):
    """Settings of one conversion.

    Attributes:
        out: Folder to write: new, empty, or begun by this same conversion.
        augment_before_folding: Add the offline copies of the SAUCIS paper (as-published only).
        copies_for: What the copies are for: detect (x4 stroke, x2 none) or segment (x6 stroke).
        size: Side of the stored slices, pixels; slices that are not square are padded with air.
        compression: Compression of the TFRecord files.
        max_bad: How many faults may be left out instead of ending the conversion.
        seed: Seed of folds and copies.
        shard_mb: Aimed-at size of a shard, MB.
        shards: Shards for each fold; 0 goes by --shard-mb.
    """

    out: Path
    augment_before_folding: bool = False
    copies_for: CopiesFor = "detect"
    size: int = 512
    compression: Compression = "zlib"
    max_bad: int = 0
    seed: int = 0
    shard_mb: int = 100
    shards: int = 0

    @property
    def copies(self) -> CopiesFor | Literal["none"]:
        """The task of the copies augmented before folding; "none" if there are no copies."""
        return self.copies_for if self.augment_before_folding else "none"


@dataclass(frozen=True, kw_only=True)
class Inspection(Input):
    """Settings of one inspection.

    Attributes:
        out: The page to write.
    """

    out: Path = Path("inspect.html")


@dataclass(frozen=True)
class PhantomConfig:
    """Settings of one phantom set.

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
