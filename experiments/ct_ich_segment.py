r"""Haemorrhage drawn in PhysioNet CT-ICH (Hssayeni et al. 2020).

    python -m experiments.ct_ich_segment --records records/ct_ich \
        --weights mobilenet_v2_1.0_224_no_top.weights.h5

318 masks of 36 patients, and 2,183 slices without haemorrhage of 82 patients. Five-fold
cross-validation by patient: every slice is tested once, an epoch of training has the masks of the
other folds and two slices without haemorrhage for each, drawn anew. The data set's own paper
reports a Dice of 0.31 (a U-Net, patients apart). No pixel threshold is chosen, and the epoch is
chosen by the loss on slices that are mostly without haemorrhage.

Cost: at most 170 steps of 4 slices an epoch and the validation fold, several hours a row on 2
cores (an estimate). Stopped, the same command continues.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import UnetRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

_BASE = UnetRun(
    encoder="mobilenetv2",
    image_size=192,
    batch_size=4,
    decoder_filters=(128, 64, 32, 24, 16),
    loss="dice+weighted-ce",
    negatives_per_positive=2,
    fit=FitConfig(epochs=10, learning_rate=1e-3, patience=10, reduce_patience=6),
)

TABLE = Table(
    "ct-ich-segment",
    {
        "unet-mobilenetv2": _BASE,
        "unet-mobilenetv2-frozen": replace(_BASE, freeze=True),
        "improved": replace(_BASE, architecture="improved", weights=None, filters=16),
    },
    folds="five",
)
"""A pretrained encoder, fine-tuned and not, and the SAUCIS network from scratch."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
