r"""Lesions in open_stroke_ct, 192 open slices in the TEKNOFEST layout: networks, sources, choices.

    stroke-tf convert --data open_stroke_ct --out records/open_stroke_ct \
        --size 256 --groups open_stroke_ct/manifest.csv
    python -m experiments.open_stroke_segment --records records/open_stroke_ct \
        --columns open_stroke_ct/manifest.csv --by source \
        --weights mobilenet_v2_1.0_224_no_top.weights.h5

Five-fold cross-validation by patient. A class is one source or few (all ischaemia is `cpaisd`, all
slices without stroke are `ctich`), so a network can name the source instead of the lesion: the
slices of each source are shown apart, and between sources nothing is to be concluded. The 24
ischaemic slices are of 19 patients, the 84 haemorrhagic ones of 31.

Few and short epochs, for 2 cores: an epoch has half as many slices without a lesion as with one,
about 84 of them, and takes 15 to 45 s on one core, so a row with an encoder up to 45 minutes; the
forty epochs without one take an hour and more. Two rows side by side (`--rows`), on a core each,
take no longer than one on both. Stopped, the same command continues.
"""

from __future__ import annotations

from dataclasses import replace

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import PLAIN_UNET, FitConfig
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import ByColumns
from stroke_tf.tables.table import Table

_BASE = UnetRun(
    encoder="mobilenetv2",
    image_size=256,
    batch_size=4,
    decoder_filters=(128, 64, 32, 24, 16),
    loss="dice+weighted-ce",
    negatives_per_positive=0.5,
    fit=FitConfig(epochs=7, learning_rate=1e-3, patience=12, reduce_patience=6),
)
_OWN = replace(
    _BASE,
    architecture="improved",
    weights=None,
    filters=8,
    fit=replace(_BASE.fit, epochs=40, learning_rate=2e-3),
)
_TYPE = ClassifierRun(
    task="type",
    backbone="mobilenetv2",
    head="usth-type",
    image_size=256,
    batch_size=4,
    class_weights=False,
    threshold_rule="fixed",
    fit=_BASE.fit,
)

TABLE = Table(
    "open-stroke-segment",
    {
        "unet-mobilenetv2": _BASE,
        "unet-mobilenetv2-scratch": replace(_BASE, weights=None),
        "improved": _OWN,
        "plain": replace(_OWN, improvements=PLAIN_UNET),
        "type": _TYPE,
        "type-frozen": replace(_TYPE, unfreeze_from="none"),
        "joint": replace(_BASE, architecture="joint"),
        "joint-frozen": replace(_BASE, architecture="joint", freeze=True),
        "unet-mobilenetv2-128px": replace(_BASE, image_size=128),
        "unet-mobilenetv2-128px-slow": replace(
            _BASE, image_size=128, fit=replace(_BASE.fit, epochs=20, learning_rate=1e-4)
        ),
        "unet-mobilenetv2-frozen": replace(_BASE, freeze=True),
        "unet-mobilenetv2-128px-bfloat16": replace(
            _BASE, image_size=128, fit=replace(_BASE.fit, precision="bfloat16")
        ),
    },
    folds="five",
)
"""Pretrained and not, without a pretrained encoder; a classifier of the type, and the U-Net with a
head for it (frozen too: fine-tuned at this rate, the encoder's deepest features go silent); then
what makes the first one cheaper, whose cost in Dice is the difference from it, and at a tenth of
the rate for three times as long."""


def main(config: ByColumns) -> int:
    """Runs every row and writes the tables; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, ByColumns, doc=__doc__)
