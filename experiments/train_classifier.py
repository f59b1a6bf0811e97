"""Trains one stroke detector (or type classifier) by transfer learning and tests it.

    stroke-tf train-classifier --records records --out results [--config FILE]

The threshold is chosen on the validation folds (recall of at least 0.88 with the best precision, as
in the USTH report) and applied once to the test folds. Everything is kept in
OUT/EXPERIMENT/ROW-sSEED/; a run that was killed continues, one that is done is skipped.
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
from stroke_tf.runs.settings import ClassifierTraining, small
from stroke_tf.runs.start import check_start


def main(config: ClassifierTraining, *, args: Sequence[str] = ()) -> int:
    """Trains and tests, prints the result; returns the exit code.

    Args:
        config: The run's settings.
        args: The command line: `--auto` does not choose what it sets.
    """
    run = config.run
    if config.smoke:
        run = small(replace(run, records=smoke_records((run.records,), out=run.out)[0]))
    check_start(run)
    if config.auto or config.minutes is not None:
        from stroke_tf.auto.choose import set_by_user, settled

        own = set_by_user(ClassifierTraining, args)
        run = settled(run, minutes=config.minutes, set_by_user=own)
    from stroke_tf.runs.classifier import run_classifier
    from stroke_tf.runs.keep_or_run import show_run

    return show_run(run_classifier(run), out=run.out)


if __name__ == "__main__":
    command.run(partial(main, args=sys.argv[1:]), ClassifierTraining, doc=__doc__)
