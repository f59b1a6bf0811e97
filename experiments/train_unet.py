"""Trains one U-Net that draws ischaemia and haemorrhage, and tests it.

    stroke-tf train-unet --records records --out results [--config FILE]

Scores count the pixels of the lesion classes over all test slices, never background. Everything is
kept in OUT/EXPERIMENT/ROW-sSEED/; a run that was killed continues, one that is done is skipped.
FILE holds defaults for all other flags, such as best.json of a search. `--auto` chooses what they
do not set of image size, batch, epochs and learning rate.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.processes import host_number, run_hosts
from stroke_tf.runs.settings import UnetTraining, small
from stroke_tf.runs.start import check_start

_HOST_MODULE = "stroke_tf.runs.unet_host"


def main(config: UnetTraining, *, args: Sequence[str] = ()) -> int:
    """Trains and tests, prints the result; returns the exit code.

    Args:
        config: The run's settings, and who trains. This process, on host 0, runs the test.
        args: The command line. Processes of a training over several hosts get it too. `--auto` does
            not choose what it sets.
    """
    run, number = config.run, host_number()
    if config.smoke:
        records = smoke_records((run.records,), out=run.out)[0]
        run, args = small(replace(run, records=records)), [*args, "--records", str(records)]
    shared = config.hosts > 1 or number is not None
    chooses = config.auto or config.minutes is not None
    if chooses and shared:
        raise ValueError("--auto must be left out where several hosts train: it measures one")
    check_start(run)
    if chooses:
        from stroke_tf.auto.choose import set_by_user, settled

        own = set_by_user(UnetTraining, args)
        run = settled(run, minutes=config.minutes, set_by_user=own)
    train_on_hosts = partial(run_hosts, _HOST_MODULE, args, hosts=config.hosts)
    if number:
        train_on_hosts()
        return 0
    from stroke_tf.runs.keep_or_run import show_run
    from stroke_tf.runs.unet import run_unet

    result = run_unet(run, train_elsewhere=train_on_hosts if shared else None)
    return show_run(result, out=run.out)


if __name__ == "__main__":
    command.run(partial(main, args=sys.argv[1:]), UnetTraining, doc=__doc__)
