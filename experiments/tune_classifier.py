"""Searches for the settings of a classifier.

    stroke-tf tune-classifier --records records --out results --strategy bayesian

A trial is a training as train_classifier does it, scored on validation folds; the test folds are
not read. With --training frozen, the default, all trials share the features of the backbone.
Everything is kept in OUT/EXPERIMENT/search-NAME-sSEED/: best.json, which train_classifier takes
with --config, trials.csv and a report. A search that was killed continues.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.processes import has_role, run_workers
from stroke_tf.search.settings import ClassifierSearch, small_search

_MODULE = "experiments.tune_classifier"


def main(config: ClassifierSearch, *, args: Sequence[str] = ()) -> int:
    """Searches, here or with workers that get the same arguments; returns the exit code."""
    if config.smoke:
        (records, *_) = smoke_records((config.run.records,), out=config.run.out)
        config, args = small_search(config, records), [*args, "--records", str(records)]
    if config.workers and not has_role():
        return run_workers(_MODULE, args, workers=config.workers)
    from stroke_tf.search.classifier_trials import classifier_kind
    from stroke_tf.search.run_search import run_search

    return run_search(config, lambda: classifier_kind(config))


if __name__ == "__main__":
    command.run(partial(main, args=sys.argv[1:]), ClassifierSearch, doc=__doc__)
