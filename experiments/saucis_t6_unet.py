r"""The improved U-Net beside the plain one: Tables 3 and 6 of the SAUCIS paper, figures 4 and 5.

    python -m data_tools.build_tfrecords --data slices --out records --size 256
    python -m data_tools.build_tfrecords --data slices --out records-six --size 256 \
        --protocol as-published --augment-before-folding --copies-for segment
    python -m experiments.saucis_t6_unet --records records records-six --out results

The second conversion adds the paper's copies before it deals folds, so that copies of test slices
are trained on: the sizes of Table 3 come out as printed. Cost on the TEKNOFEST set: 195 steps of 8
slices an epoch under `clean`, 1,167 under `as-published`, some 10 s each on 2 cores (an estimate),
so half an hour and 3 hours an epoch; a GPU takes minutes. Stopped, the same command continues.

Figures 4 and 5 are `segmentation.png` and `history.png` (IoU, Dice, loss over the epochs) in the
folder of each run.

Gaps in the paper, and what is done here: no input size (256), batch size (8), epochs (at most 50,
stopped early), learning rate (3e-4), filters (32, doubled at each of 4 levels), dropout rate (0.2)
nor split (70/10/20, as for its classifiers); what the improvements are is read as
`build_improved_unet` says. Its loss is Dice (2.5), its pixel threshold chosen on validation slices
(2.5). Table 6 does not say what its IoU counts: its 0.6505 is that of the training loss. Ours is
the mean of the two lesion classes over all pixels of the test folds; accuracy is that of all
pixels, which can hardly be what the paper prints.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import tyro

from stroke_tf.config import IMPROVED_UNET, PLAIN_UNET, FitConfig
from stroke_tf.runs.settings import UnetRun
from stroke_tf.tables.run_table import TableRun, run_table

EXPERIMENT = "saucis-t6-unet"

BASE = UnetRun(
    architecture="improved",
    weights=None,
    image_size=256,
    batch_size=8,
    loss="dice",  # 2.5, equation 6
    tune_mask=True,  # 2.5
    lesions_only=True,  # Table 3
    val_folds=(7,),
    test_folds=(8, 9),
    fit=FitConfig(epochs=50, learning_rate=3e-4, patience=10, reduce_patience=4),
)

ROWS: dict[str, UnetRun] = {
    "improved-unet": replace(BASE, improvements=IMPROVED_UNET),
    "plain-unet": replace(BASE, improvements=PLAIN_UNET),
}
"""The row of Table 6, and the network it improves."""


def sizes_table(records: Path) -> str:
    """Returns the sizes of Table 3 beside those of a folder of records, test sessions left out."""
    from stroke_tf.manifest import FOLDS, read_manifest
    from stroke_tf.reporting.page import markdown_table
    from stroke_tf.tables.papers import TABLES

    folds = [fold for fold in read_manifest(records).folds if fold.fold in range(FOLDS)]
    lines = [
        [
            row.name,
            f"{row.values['slices']:.0f}",
            str(sum(fold.classes.get(row.name.upper(), 0) for fold in folds)),
        ]
        for row in TABLES["saucis-t3"].rows
    ]
    return markdown_table(("slices", "SAUCIS Table 3", "ours"), lines)


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the tables; returns the exit code."""
    return run_table(config, EXPERIMENT, ROWS, published=("saucis-t6",), preface=sizes_table)


if __name__ == "__main__":
    prog = "python -m experiments.saucis_t6_unet"
    sys.exit(main(tyro.cli(TableRun, prog=prog, description=__doc__)))
