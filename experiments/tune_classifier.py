"""Searches for the settings of a classifier.

    python -m experiments.tune_classifier --records records --out results --strategy bayesian

A trial is a training as train_classifier does it, scored on validation folds; the test folds are
not read. With --training frozen, the default, all trials share the features of the backbone.
Everything is kept in OUT/EXPERIMENT/search-NAME-sSEED/: best.json, which train_classifier takes
with --config, trials.csv and a report. A search that was killed continues.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import tyro

from stroke_tf.processes import has_role, run_workers
from stroke_tf.search.settings import ClassifierSearch

_MODULE = "experiments.tune_classifier"


def main(config: ClassifierSearch, args: Sequence[str] = ()) -> int:
    """Searches, here or with workers that get the same arguments; returns the exit code."""
    if config.workers and not has_role():
        return run_workers(_MODULE, args, workers=config.workers)
    from stroke_tf.search.classifier_trials import classifier_kind
    from stroke_tf.search.run_search import run_search

    return run_search(config, lambda: classifier_kind(config))


if __name__ == "__main__":
    sys.exit(
        main(
            tyro.cli(ClassifierSearch, prog=f"python -m {_MODULE}", description=__doc__),
            sys.argv[1:],
        )
    )
