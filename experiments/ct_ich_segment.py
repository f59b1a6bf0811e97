r"""Haemorrhage found and drawn in PhysioNet CT-ICH (Hssayeni et al. 2020) by one recipe.

    stroke-tf convert --data ct_ich --out records/ct-ich --size 256
    python -m experiments.ct_ich_segment --records records/ct-ich \
        --weights efficientnet_lite0_no_top.weights.h5

318 masks of 36 patients, and 2,183 slices without haemorrhage of 82 patients. Five-fold
cross-validation by patient: every slice is tested once, and a slice's score is that of its mask.
The data set's own paper reports a Dice of 0.31 (a U-Net, patients apart). The recipe was chosen by
`experiments.ct_ich_recipes` on folds 0 and 1, so of the five parts the first is not new to it.

Cost: about 27 s an epoch on 2 cores, 20 epochs, five parts. Stopped, the same command continues.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import AugmentStrength, FitConfig
from stroke_tf.runs.settings import UnetRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

RECIPE = UnetRun(
    architecture="composed",
    encoder="efficientnetlite0",
    image_size=192,
    batch_size=8,
    decoder_filters=(128, 64, 32, 16),
    loss="dice+ce",
    view="upright",
    strength=AugmentStrength(
        rotation_deg=15, contrast=0.2, brightness=0.1, roi=0.2, gamma=0.3, elastic=0.02
    ),
    negatives_per_positive=1,
    score="mask",
    tune_mask=True,
    mirror_test=True,
    smooth_slices=1.0,
    fit=FitConfig(
        epochs=20,
        learning_rate=1e-3,
        patience=20,
        schedule="cosine",
        warmup_epochs=1,
        weight_decay=0.01,
        clip_norm=1.0,
        encoder_rate=0.5,
    ),
)
"""A U-Net of half the slice's side on a pretrained encoder that sees upright heads; what it says of
a slice is smoothed along the series."""

_ALONE = replace(RECIPE, smooth_slices=0)

TABLE = Table(
    "ct-ich-segment",
    {
        "recipe": _ALONE,
        "recipe-smoothed": RECIPE,
        "as-the-slice-lies": replace(_ALONE, view="windows"),
    },
    folds="five",
    clean_only=("recipe-smoothed",),
)
"""The recipe with each slice alone and with its neighbours, and without its view."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
