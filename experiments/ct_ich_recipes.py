r"""Ablation of the CT-ICH recipe: each row changes one choice.

    python -m experiments.ct_ich_recipes --records records/ct-ich \
        --weights efficientnet_lite0_no_top.weights.h5

Trains on folds 2 and 4 to 6, chooses epoch and mask rule on fold 1 and tests on folds 0 and 3 (498
slices, 70 of them with haemorrhage). Folds 7 to 9 are left alone, for what is chosen here to be
tested on. A row of another encoder takes its own weights: `--rows lite2 --weights FILE`.

Cost: 16 epochs of some 28 s on 2 cores a row. Stopped, the same command continues.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.runs.presets import CT_ICH_UNET
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

_BASE = replace(
    CT_ICH_UNET,
    choose_on="validation",
    val_folds=(1,),
    test_folds=(0, 3),
    unused_folds=(7, 8, 9),
    mask_score="top",
    smooth_slices=0,
    fit=replace(CT_ICH_UNET.fit, epochs=16),
)
_ONE = replace(_BASE, negatives_per_positive=1)

TABLE = Table(
    "ct-ich-recipes",
    {
        "recipe": _BASE,
        "none-pasted": replace(_BASE, pasted_lesions=0),
        "one-negative": _ONE,
        "one-negative-none-pasted": replace(_ONE, pasted_lesions=0),
        "wide-skips": replace(_BASE, narrow_skips=False),
        "whole-side": replace(_BASE, decoder_filters=(128, 64, 32, 16, 8)),
        "improved-decoder": replace(_BASE, decoder="improved"),
        "256-px": replace(_BASE, image_size=256),
        "lite2": replace(_BASE, encoder="efficientnetlite2"),
        "mean-of-weights": replace(_BASE, fit=replace(_BASE.fit, average=0.95)),
        "small-lesions": replace(_BASE, small_lesions=0.5),
        "live-norms": replace(_BASE, live_norms=True),
        "as-the-slice-lies": replace(_BASE, view="windows"),
        "neighbours": replace(_BASE, view="neighbours"),
        "regression": replace(_BASE, mask_score="regression"),
        "smoothed": replace(_BASE, smooth_slices=CT_ICH_UNET.smooth_slices),
        "32-epochs": replace(_BASE, fit=replace(_BASE.fit, epochs=32)),
    },
    clean_only=("neighbours", "smoothed"),
)
"""The recipe, and each change of it."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
