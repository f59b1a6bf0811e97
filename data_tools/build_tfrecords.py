"""Converts a folder of CT slices to folds of ZLIB TFRecords.

    stroke-tf convert --data DATA --out RECORDS

Every slice is read and checked first, then folds are dealt and shards written. With
more faults than `--max-bad` only a list of them is written, `faults.csv`, and the exit code is 1. A
run that was killed continues when it is started again; the same input and seed give the same bytes.
"""

from __future__ import annotations

import shlex
import sys

from data_tools.options import Conversion
from data_tools.workers import start_ahead
from stroke_tf import command

_NAMED = 20


def main(config: Conversion) -> int:
    """Converts, shows progress, prints what was written or every fault; returns the exit code."""
    if config.jobs > 1:
        start_ahead()
    from data_tools.conversion import BadInputError, build_tfrecords
    from data_tools.faults import FAULTS_NAME, fault_lines, write_faults
    from stroke_tf.progress import progress_bar

    try:
        with progress_bar() as progress:
            manifest = build_tfrecords(config, progress=progress)
    except BadInputError as error:
        for line in fault_lines(error.faults):
            print(line, file=sys.stderr)
        write_faults(config.out / FAULTS_NAME, error.faults)
        print(f"Nothing was written but {config.out / FAULTS_NAME}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        raise OSError(f"{error}. Finished work is kept: run again to continue") from error
    no_slices = [rejected for rejected in manifest.rejected if not rejected.is_fault]
    for left_out in no_slices[:_NAMED]:
        print(f"Left out: {left_out.file}: {left_out.reason}", file=sys.stderr)
    if len(no_slices) > _NAMED:
        print(f"Left out: {len(no_slices) - _NAMED} more, see manifest.json", file=sys.stderr)
    classes = ", ".join(f"{count} {name}" for name, count in manifest.classes.items())
    print(
        f"{config.out}: {manifest.records} records ({classes}), protocol {manifest.protocol}, "
        f"groups by {manifest.grouping}, {len(manifest.rejected)} left out"
    )
    out = shlex.quote(str(config.out))
    print(f"Next: stroke-tf train-classifier --records {out}, or stroke-tf audit {out}")
    return 0


if __name__ == "__main__":
    command.run(main, Conversion, doc=__doc__)
