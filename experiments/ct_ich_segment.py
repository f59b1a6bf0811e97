r"""Haemorrhage found and drawn in PhysioNet CT-ICH (Hssayeni et al. 2020) by one recipe.

    stroke-tf convert --data ct_ich --out records/ct-ich --size 256
    python -m experiments.ct_ich_segment --records records/ct-ich \
        --weights efficientnet_lite0_no_top.weights.h5

318 masks of 36 patients, and 2,183 slices without haemorrhage of 82 patients. Five-fold
cross-validation by patient: every slice is tested once, and a slice's score is that of its mask.
The data set's own paper reports a Dice of 0.31 (a U-Net, patients apart). The recipe was chosen by
`experiments.ct_ich_recipes` on folds 0 to 6, so folds 7 to 9 alone are new to it.

Cost: 18 to 23 minutes of a core a part, for `recipe`, `one-fold` and `as-the-slice-lies`; the
others are two minutes a part. Stopped, the same command continues.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.runs.presets import CT_ICH_UNET
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

_ALONE = replace(CT_ICH_UNET, smooth_slices=0)
_ONE_FOLD = replace(CT_ICH_UNET, choose_on="validation")

TABLE = Table(
    "ct-ich-segment",
    {
        "recipe": _ALONE,
        "recipe-smoothed": CT_ICH_UNET,
        "recipe-top": replace(_ALONE, mask_score="top"),
        "recipe-area": replace(_ALONE, mask_score="area"),
        "recipe-lesion": replace(_ALONE, mask_score="lesion"),
        "one-fold": replace(_ONE_FOLD, smooth_slices=0),
        "one-fold-smoothed": _ONE_FOLD,
        "as-the-slice-lies": replace(_ALONE, view="windows"),
    },
    folds="five",
    clean_only=("recipe-smoothed", "one-fold-smoothed"),
)
"""The recipe with each slice alone and with its neighbours, with other rules that make a slice's
score of its mask, with one validation fold to choose on, and without its view. Rows up to
`recipe-lesion` share the training of the first, the two of `one-fold` one of their own."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
