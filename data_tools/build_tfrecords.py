"""Converts a folder of CT slices to folds of ZLIB TFRecords.

    python -m data_tools.build_tfrecords --data DATA --out RECORDS

Every slice is read and checked first (`spool.py`), then folds are dealt and shards written. Faults
are all listed; with more of them than `--max-bad` nothing is written and the exit code is 1. A run
that was killed continues when it is started again; the same input and seed give the same bytes.
"""

from __future__ import annotations

import dataclasses
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from data_tools.options import Compression, CopiesFor, MaskMethod, Prefer
from data_tools.workers import start_ahead
from stroke_tf.machine import usable_cores
from stroke_tf.manifest import Protocol


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


def main(config: Conversion) -> int:
    """Converts, shows progress, prints what was written or every fault; returns the exit code."""
    if config.jobs > 1:
        start_ahead()
    from data_tools.conversion import BadInputError, build_tfrecords
    from data_tools.progress import progress_bar

    try:
        with progress_bar() as progress:
            manifest = build_tfrecords(config, progress=progress)
    except BadInputError as error:
        for fault in error.faults:
            print(f"{fault.file}: {fault.reason}", file=sys.stderr)
        print(f"Nothing was written: {error}", file=sys.stderr)
        return 1
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error}. Finished work is kept: run again to continue", file=sys.stderr)
        return 1
    classes = ", ".join(f"{count} {name}" for name, count in manifest.classes.items())
    print(
        f"{config.out}: {manifest.records} records ({classes}), protocol {manifest.protocol}, "
        f"groups by {manifest.grouping}, {len(manifest.rejected)} left out"
    )
    return 0


if __name__ == "__main__":
    sys.exit(
        main(tyro.cli(Conversion, prog="python -m data_tools.build_tfrecords", description=__doc__))
    )
