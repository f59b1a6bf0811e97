"""Trains one stroke detector (or type classifier) by transfer learning and tests it.

    python -m experiments.train_classifier --records records --out results [--config FILE]

The threshold is chosen on the validation folds (recall of at least 0.88 with the best precision, as
in the USTH report) and applied once to the test folds. Everything is kept in
OUT/EXPERIMENT/ROW-sSEED/; a run that was killed continues, one that is done is skipped.
FILE holds defaults for all other flags, such as best.json of a search.
"""

from __future__ import annotations

import sys

from stroke_tf.command import parse_settings
from stroke_tf.runs.settings import ClassifierRun


def main(config: ClassifierRun) -> int:
    """Trains and tests, prints the result; returns the exit code."""
    from stroke_tf.runs.classifier import run_classifier
    from stroke_tf.runs.keep_or_run import run_command

    return run_command(lambda: run_classifier(config), out=config.out)


if __name__ == "__main__":
    sys.exit(
        main(
            parse_settings(
                ClassifierRun, prog="python -m experiments.train_classifier", description=__doc__
            )
        )
    )
