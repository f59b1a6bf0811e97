"""Cross-validates a network on your records: each slice is answered by a model that never saw it.

    stroke-tf cross-validate RECORDS --task detect|type|segment|joint [--model NETWORK] [--folds 5]

The folds of the records, ten as they are converted, are dealt to 2, 5 or 10 parts. Each part is
tested by a model that was trained on the others. Its epoch, threshold, temperature and mask rule
are chosen on the fold after it or, with `--choose-on other-parts`, its rules on the other parts.
Under the protocol clean no patient is ever on two sides.

OUT/EXPERIMENT/ gets TABLE.md, with 95 % intervals by patient; predictions.csv, a line for each
slice and seed; a report; the runs; and `ensemble`, all models as one, which `stroke-tf predict
--model` takes. Stopped at any time, the same command goes on. Flags but the first ones are those of
train-classifier or, for masks, train-unet: `--task segment --help` shows them. `--auto` chooses
image size, batch, epochs and learning rate for the records, the memory and the time there is.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.runs.parts import parts_of
from stroke_tf.runs.settings import HISTOGRAM, ClassifierRun
from stroke_tf.tables.cross_settings import (
    ClassifierCrossValidation,
    UnetCrossValidation,
    kind_of,
)
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.table import Row


def main(
    config: ClassifierCrossValidation | UnetCrossValidation, *, args: Sequence[str] = ()
) -> int:
    """Runs all parts and writes the table; returns the exit code.

    Args:
        config: What is cross-validated.
        args: The command line: `--auto` does not choose what it sets.
    """
    row = config.row
    chooses = config.auto or config.minutes is not None
    if chooses and config.smoke:
        raise ValueError(
            "--auto and --minutes choose settings, and --smoke has small ones of its own: leave "
            "one out. Received: both"
        )
    is_network = not isinstance(row, ClassifierRun) or row.backbone != HISTOGRAM
    if chooses:
        if not is_network:
            raise ValueError("--auto chooses the settings of networks. Received: histogram")
        row = _chosen(config, row, args)
    return run_table(
        config.table_run(row),
        config.table(row),
        smoke_records=partial(smoke_records, copies=()),
        save_ensemble=save_ensemble if is_network else None,
    )


def _chosen(
    config: ClassifierCrossValidation | UnetCrossValidation, row: Row, args: Sequence[str]
) -> Row:
    """Returns the row with its settings chosen for the run of its first part."""
    from stroke_tf.auto.choose import set_by_user, settled
    from stroke_tf.tables.columns import read_columns

    if config.columns:  # a mistake in it is said before steps are timed
        read_columns(config.columns, row.records, config.by)
    table, seeds = config.table(row), config.table_run(row).seeds
    (name,) = table.rows
    first = replace(parts_of(row, config.folds)[0], experiment=table.experiment, row=name)
    run = settled(
        first,
        minutes=config.minutes,
        trainings=config.folds * len(seeds),
        set_by_user=set_by_user(type(config), args),
    )
    return replace(row, image_size=run.image_size, batch_size=run.batch_size, fit=run.fit)


def save_ensemble(runs: Sequence[Path], out: Path) -> None:
    """Saves the models of some runs as one, in the place of an earlier one."""
    from stroke_tf.deploy.save_model import save_model

    if out.exists():
        shutil.rmtree(out)
    save_model(runs, out)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    command.run(partial(main, args=arguments), kind_of(arguments), doc=__doc__)
