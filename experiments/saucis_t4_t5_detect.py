r"""Stroke or no stroke by five networks: Tables 1, 2, 4 and 5 of the SAUCIS paper.

    stroke-tf convert --data slices --out records
    stroke-tf convert --data slices --out records-published \
        --protocol as-published --augment-before-folding
    python -m experiments.saucis_t4_t5_detect --records records records-published --out results

The second conversion adds the paper's copies before it deals folds, so that copies of test slices
are trained on: the sizes of Tables 1 and 2 come out as printed. Cost on the TEKNOFEST set: 146
steps an epoch under `clean`, 388 under `as-published`, 4 s and more each on 2 cores, so the table
takes days there and hours on a GPU. Stopped, the same command continues.

Gaps in the paper, and what is done here: no input size (224), batch size (32), epochs (40 for the
head, at most 20 after it, both stopped early), learning rates (1e-3, then 1e-5) nor the block from
which fine-tuning starts (the last one). "DenseNet" is read as DenseNet121. Under
`clean` the augmentations happen while fine-tuning; under `as-published` they come on top of the
copies. Table 4 shows the best epoch; what Table 5 counts is not said, here it is the test folds.
Only its F1 columns have ours beside them: what its accuracy and precision-recall of one class are
is not said.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.sizes import sizes_of_split
from stroke_tf.tables.table import Table

_BASE = ClassifierRun(
    head="saucis",  # 2.3
    training="two-phase",  # 2.1: feature extraction and fine-tuning
    window="brain",
    val_folds=(7,),
    test_folds=(8, 9),  # Table 2: 70/20/10
    threshold_rule="fixed",
    fit=FitConfig(epochs=20, learning_rate=1e-5, patience=5, reduce_patience=2),
    head_fit=FitConfig(epochs=40, learning_rate=1e-3, patience=10, reduce_patience=5),
)

TABLE = Table(
    "saucis-t4-t5-detect",
    {
        "histogram": replace(_BASE, backbone="histogram", weights=None, image_size=96),
        "vgg16": replace(_BASE, backbone="vgg16", unfreeze_from="block5"),
        "inceptionv3": replace(_BASE, backbone="inceptionv3", unfreeze_from="mixed9"),
        "densenet121": replace(_BASE, backbone="densenet121", unfreeze_from="conv5"),
        "xception": replace(_BASE, backbone="xception", unfreeze_from="block14"),
        "inceptionresnetv2": replace(
            _BASE, backbone="inceptionresnetv2", unfreeze_from="conv_7b"
        ),
    },
    published=("saucis-t4", "saucis-t5"),
    copies="detect",
    preface=partial(sizes_of_split, val=_BASE.val_folds, test=_BASE.test_folds),
)  # fmt: skip
"""The rows of Tables 4 and 5 after the histogram, which needs no network."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the tables; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
