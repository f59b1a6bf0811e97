r"""Haemorrhage drawn in PhysioNet CT-ICH (Hssayeni et al. 2020), as far as masks are at hand.

    python -m experiments.ct_ich_segment --records records/ct_ich \
        --weights mobilenet_v2_1.0_224_no_top.weights.h5

The open copy has 35 masks, of 5 patients, and 2,168 slices without haemorrhage of all patients; the
268 haemorrhages without a mask are left out. Five-fold cross-validation by patient: every slice is
tested once, an epoch of training has the masks of the other folds and two slices without
haemorrhage for each, drawn anew. The data set's own paper reports a Dice of 0.31 with all its masks
(a U-Net, patients apart). Five patients leave an interval that says little; a validation fold may
hold none of them, so no pixel threshold is chosen, and the epoch is chosen by the loss on
slices that are mostly without haemorrhage.

Cost: at most 27 steps of 4 slices an epoch and the validation fold; a row took 40 minutes with the
encoder frozen and 63 fine-tuned, beside other work. Stopped, the same command continues.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import UnetRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun

EXPERIMENT = "ct-ich-segment"

_BASE = UnetRun(
    encoder="mobilenetv2",
    image_size=192,
    batch_size=4,
    decoder_filters=(128, 64, 32, 24, 16),
    loss="dice+weighted-ce",
    negatives_per_positive=2,
    fit=FitConfig(epochs=10, learning_rate=1e-3, patience=10, reduce_patience=6),
)

ROWS: dict[str, UnetRun] = {
    "unet-mobilenetv2": _BASE,
    "unet-mobilenetv2-frozen": replace(_BASE, freeze=True),
    "improved": replace(_BASE, architecture="improved", weights=None, filters=16),
}
"""A pretrained encoder, fine-tuned and not, and the SAUCIS network from scratch."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, EXPERIMENT, ROWS, folds="five", smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
