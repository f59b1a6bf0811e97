r"""Ischaemia or haemorrhage: Table II of the USTH report, its figures 6 to 8 in the runs' folders.

    python -m experiments.usth_t2_type --records records records-published --out results

`records` are those of `data_tools.build_tfrecords`, `records-published` the same slices converted
with `--protocol as-published`, which deals them slice by slice as the report does. Cost on the
2,223 lesion slices of the TEKNOFEST set: 49 steps an epoch, on 2 cores about 4 s each for
EfficientNetV2B0, so 3 minutes an epoch and up to 3 hours a row and protocol. Stopped, the same
command continues.

Gaps in the report, and what is done here: no epochs (at most 50, stopped early), no learning rate
(1e-4 for loaded weights, 3e-4 for the CNN), no dropout (0.3), an augmentation that it does not
describe and that made its results worse (none), no class weights named (none). ResNet-18 had
"custom" weights and EfficientNetV2B0 "potentially" none: here both start from `--weights`. The
printed scores are of the slices that training was watched on: here fold 7 is watched, and folds 8
and 9 are tested once.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

_FIT = FitConfig(epochs=50, learning_rate=1e-4, patience=10, reduce_patience=4)
_BASE = ClassifierRun(
    task="type",  # class 1 is haemorrhage, as in Table II
    head="usth-type",  # II-C2, as all of this
    image_size=224,
    batch_size=32,
    window="brain",
    class_weights=False,
    augment=False,
    val_folds=(7,),
    test_folds=(8, 9),  # 80/20
    threshold_rule="fixed",  # two outputs, the larger one wins
    fit=_FIT,
)

TABLE = Table(
    "usth-t2-type",
    {
        "histogram": replace(_BASE, backbone="histogram", weights=None, image_size=96),
        "cnn-type": replace(
            _BASE, backbone="cnn-type", head="usth-cnn", weights=None,
            fit=replace(_FIT, learning_rate=3e-4),
        ),
        "efficientnetv2b0": replace(_BASE, backbone="efficientnetv2b0"),
        "resnet18": replace(_BASE, backbone="resnet18"),
    },
    published=("usth-t2",),
)  # fmt: skip
"""The rows of Table II after the histogram, which needs no network."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
