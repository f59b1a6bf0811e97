r"""Where is the lesion, and of what type: Table III of the USTH report, and its figure 9.

    python -m experiments.usth_t3_segment --records records records-published --out results

`records` are those of `data_tools.build_tfrecords` with `--size 512`, `records-published` the same
slices converted with `--protocol as-published`. Cost on the 2,223 lesion slices of the TEKNOFEST
set: 890 steps of 2 slices an epoch, on 2 cores about 9 s each for ResNet50, so 2 hours an epoch and
a day a row and protocol; a GPU takes minutes an epoch. Stopped, the same command continues.

`sm_f1` and `sm_iou` are the scores of the report: background counts, and batches of 2 are averaged.
The second table has what they hide (`docs/explanation/sm_scores.md`). Figure 9 is `history.png` and
`segmentation.png` in the folder of each run.

Gaps in the report, and what is done here: no learning rate (1e-4), no patience for its
ReduceLROnPlateau (3), no word on augmentation (none) nor on slices without stroke (left out), no
initial weights (`--weights`). It scales pixels to [0, 1]; here they are what each encoder's weights
expect. Its masks come from the red of the overlays, ours from the MASK pictures where there are
some. The printed scores are of training, or of the slices that training was watched on: here fold
8 is watched, and fold 9 is tested once.
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
    image_size=512,  # II-C1, II-C2, as all of this
    batch_size=2,
    loss="sm-dice",
    lesions_only=True,
    augment=False,
    val_folds=(8,),
    test_folds=(9,),  # 90/10
    fit=FitConfig(epochs=10, learning_rate=1e-4, patience=10, reduce_patience=3),
)

TABLE = Table(
    "usth-t3-segment",
    {name: replace(_BASE, encoder=name) for name in ("resnet50", "efficientnetb3")},
    published=("usth-t3",),
)
"""The rows of Table III: U-Nets by the name of their encoder."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
