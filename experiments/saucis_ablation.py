r"""Ablation of the SAUCIS U-Net: its improvements, and the losses that the paper names.

    python -m experiments.saucis_ablation --records records --out results

The records of `experiments.saucis_t6_unet`, whose settings these are but for the size: 128 pixels
and 16 filters, a sixteenth of the work. Cost on the TEKNOFEST set: 195 steps an epoch, some 0.6 s
each on 2 cores (an estimate), at most 50 epochs, so up to two hours for each of 21 rows. Stopped,
the same command continues.

The paper has no ablation: it adds five improvements at once and prints one network (2.4), and it
names the losses it chose from without their scores (2.5). Here each improvement is taken from the
whole and added to the plain network alone, and each loss takes the place of Dice in the whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.config import IMPROVED_UNET, PLAIN_UNET, Improvements
from stroke_tf.runs.presets import SAUCIS_UNET
from stroke_tf.runs.settings import Loss
from stroke_tf.search.spaces import SWITCHES
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table

_SMALL = replace(SAUCIS_UNET, image_size=128, filters=16)
_NAMES = {field.replace("_", "-"): field for field in SWITCHES}


def _with(field: str, *, of: Improvements, base: Improvements) -> Improvements:
    return replace(base, **{field: getattr(of, field)})


TABLE = Table(
    "saucis-ablation",
    {
        "improved": replace(_SMALL, improvements=IMPROVED_UNET),
        **{
            f"without-{name}": replace(
                _SMALL, improvements=_with(field, of=PLAIN_UNET, base=IMPROVED_UNET)
            )
            for name, field in _NAMES.items()
        },
        "plain": replace(_SMALL, improvements=PLAIN_UNET),
        **{
            f"plain-with-{name}": replace(
                _SMALL, improvements=_with(field, of=IMPROVED_UNET, base=PLAIN_UNET)
            )
            for name, field in _NAMES.items()
        },
        **{
            f"loss-{loss.replace('+', '-')}": replace(_SMALL, loss=loss)
            for loss in get_args(Loss)
            if loss != _SMALL.loss
        },
    },
    copies="segment",
)
"""The improved network with Dice, each change of it, and each improvement alone."""


def main(config: TableRun) -> int:
    """Runs every row in every protocol and writes the table; returns the exit code."""
    return run_table(config, TABLE, smoke_records=smoke_records)


if __name__ == "__main__":
    command.run(main, TableRun, doc=__doc__)
