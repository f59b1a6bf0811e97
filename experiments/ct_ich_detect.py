r"""Haemorrhage detection on PhysioNet CT-ICH (Hssayeni et al. 2020): what helps, and what leaks.

    python -m experiments.ct_ich_detect --records records/ct-ich records/ct-ich-published \
        --weights mobilenet_v2_1.0_224_no_top.weights.h5

Five-fold cross-validation, by patient under `clean` and by slice under `as-published`: the
difference is the leak. Cost: two to three hours a protocol on 2 cores. Known under `clean`, mean
ROC AUC: a grey histogram 0.833, frozen MobileNet features with it 0.869. A run that was killed
continues; a row that fails is named at the end, and the others go on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import AugmentStrength, FitConfig
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

MIRRORED = AugmentStrength(rotation_deg=0, contrast=0, brightness=0, mirror=1, roi=0)
_TUNE = FitConfig(epochs=4, learning_rate=1e-4, patience=3, reduce_patience=1)

_PLAIN = ClassifierRun(image_size=128, batch_size=16, watch="auc")
_HEAD = replace(
    _PLAIN, view="upright", image_size=192, pooling="layers", head="linear", dropout=0.5,
    training="probe",
)  # fmt: skip
_BEST = replace(_HEAD, copies=1, strength=MIRRORED, mirror_test=True)

TABLE = Table(
    "ct-ich-detect",
    {
        "histogram": replace(_PLAIN, backbone="histogram", image_size=96),
        "cnn-scratch": replace(
            _PLAIN, backbone="cnn-detect", weights=None, negatives_per_positive=2,
            fit=FitConfig(epochs=12, learning_rate=3e-4),
        ),
        "frozen": replace(_PLAIN, training="frozen"),
        "fine-tuned": replace(_PLAIN, training="two-phase", negatives_per_positive=2, fit=_TUNE),
        "probe": replace(_PLAIN, training="probe", head="linear"),
        "probe-layers": replace(_PLAIN, training="probe", head="linear", pooling="layers"),
        "probe-192": replace(
            _PLAIN, training="probe", head="linear", pooling="layers", image_size=192
        ),
        "probe-neighbours": replace(
            _PLAIN, training="probe", head="linear", pooling="layers", image_size=192,
            view="neighbours",
        ),
        "probe-upright": _HEAD,
        "probe-upright-mirror": _BEST,
        "probe-upright-augmented": replace(_BEST, copies=3, strength=AugmentStrength()),
        "probe-upright-tuned": replace(
            _BEST, training="probe+tune", unfreeze_from="block_14", negatives_per_positive=2,
            batch_size=32, fit=FitConfig(epochs=3, learning_rate=2e-5, patience=3),
        ),
    },
    folds="five",
    clean_only=("probe-neighbours",),
    smoothed={"probe-upright-mirror": 1.5},
)  # fmt: skip
"""Each row changes one thing; those after "fine-tuned" fit the head by logistic regression. One is
shown once more with its scores smoothed along the slices."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__, default=TableRun(records=(Path("records/ct-ich"),)))
