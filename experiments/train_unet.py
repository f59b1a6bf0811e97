"""Trains one U-Net that draws ischaemia and haemorrhage, and tests it.

    python -m experiments.train_unet --records records --out results [--config FILE]

Scores count the pixels of the lesion classes over all test slices, never background. Everything is
kept in OUT/EXPERIMENT/ROW-sSEED/; a run that was killed continues, one that is done is skipped.
FILE holds defaults for all other flags, such as best.json of a search.
"""

from __future__ import annotations

import sys

from experiments.config_file import parse_settings
from experiments.settings import UnetRun


def main(config: UnetRun) -> int:
    """Trains and tests, prints the result; returns the exit code."""
    from experiments.running import run_command
    from experiments.unet import run_unet

    return run_command(lambda: run_unet(config), out=config.out)


if __name__ == "__main__":
    sys.exit(
        main(parse_settings(UnetRun, prog="python -m experiments.train_unet", description=__doc__))
    )
