r"""The improved U-Net beside the plain one: Tables 3 and 6 of the SAUCIS paper, figures 4 and 5.

    stroke-tf convert --data slices --out records --size 256
    stroke-tf convert --data slices --out records-six --size 256 \
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

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import IMPROVED_UNET, PLAIN_UNET
from stroke_tf.runs.presets import SAUCIS_UNET
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.sizes import sizes_of_classes
from stroke_tf.tables.table import Table

TABLE = Table(
    "saucis-t6-unet",
    {
        "improved-unet": replace(SAUCIS_UNET, improvements=IMPROVED_UNET),
        "plain-unet": replace(SAUCIS_UNET, improvements=PLAIN_UNET),
    },
    published=("saucis-t6",),
    copies="segment",
    preface=sizes_of_classes,
)
"""The row of Table 6, and the network it improves."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the tables; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
