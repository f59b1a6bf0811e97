r"""One network for both tasks of the USTH report's phase 2, its future work, against one for each.

    python -m experiments.joint_phase2 --records records --out results

Lesion slices alone, five-fold cross-validation, three rows on one encoder, MobileNetV2: a U-Net for
the masks, a classifier for ischaemia or haemorrhage, and the joint network, a U-Net whose encoder
carries a second head. Its loss is that of the mask (Dice + cross-entropy) plus 0.5 times the
cross-entropy of the slice's class. The first table has the masks, the second the types; each has
the gain over the separate network on the same slices, with a paired interval.

Cost on the 2,223 lesion slices of the TEKNOFEST set: 195 steps of 8 slices an epoch, some 4 s each
on 2 cores (an estimate), so 13 minutes an epoch of a network with masks; five parts of twenty
epochs, three rows, take two days there, hours on a GPU. Stopped, the same command continues.

The report gives no setting for this network. All three rows have one size, batch, learning rate,
augmentation and number of epochs; the joint network costs about as much as its U-Net alone.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

_FIT = FitConfig(epochs=20, learning_rate=3e-4)
_MASKS = UnetRun(encoder="mobilenetv2", image_size=256, batch_size=8, lesions_only=True, fit=_FIT)

TABLE = Table(
    "joint-phase2",
    {
        "unet": _MASKS,
        "type": ClassifierRun(
            task="type", backbone="mobilenetv2", head="usth-type", image_size=256, batch_size=8,
            class_weights=False, threshold_rule="fixed", fit=_FIT,
        ),
        "joint": replace(_MASKS, architecture="joint", slice_weight=0.5),
    },
    folds="five",
)  # fmt: skip
"""The separate networks, and the one that does the work of both."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the tables; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
