"""Searches for the settings of a U-Net.

    stroke-tf tune-unet --records records --out results --strategy bayesian

A trial is a training as train_unet does it, scored by the mean IoU of the lesion classes on
validation folds; the test folds are not read, and slices are decoded once for all trials.
Everything is kept in OUT/EXPERIMENT/search-NAME-sSEED/: best.json, which train_unet takes with
--config, trials.csv and a report. A search that was killed continues.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.processes import has_role, run_workers
from stroke_tf.search.settings import UnetSearch, small_search

_MODULE = "experiments.tune_unet"


def main(config: UnetSearch, *, args: Sequence[str] = ()) -> int:
    """Searches, here or with workers that get the same arguments; returns the exit code."""
    if config.smoke:
        (records, *_) = smoke_records((config.run.records,), out=config.run.out)
        config, args = small_search(config, records), [*args, "--records", str(records)]
    if config.workers and not has_role():
        return run_workers(_MODULE, args, workers=config.workers)
    from stroke_tf.search.run_search import run_search
    from stroke_tf.search.unet_trials import unet_kind

    return run_search(config, lambda: unet_kind(config))


if __name__ == "__main__":
    command.run(partial(main, args=sys.argv[1:]), UnetSearch, doc=__doc__)
