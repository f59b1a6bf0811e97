"""Sample slices: figures 1 to 3 of the SAUCIS paper and figures 1 to 3 of the USTH report.

    python -m experiments.saucis_f1_f2_f3_samples --records records --out results

Writes to OUT/samples/figures: slices of each class (SAUCIS 1, USTH 1), of the second test session
(USTH 2, where the records have it), the augmentations (SAUCIS 2), and both types of stroke with
their lesions drawn in as on the organisers' overlays (SAUCIS 3, USTH 3). Cost: seconds; half a
minute on the TEKNOFEST set. The papers do not say how they chose their slices: here they are drawn
at random, from as many patients (or groups of near-duplicates) as there are. Nothing is trained:
the columns stand for the rows of other experiments, and there are no weights and no smoke run.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import tyro

FOLDER = Path("samples", "figures")


@dataclass(frozen=True)
class Samples:
    """What to show.

    Attributes:
        records: Folder of records.
        out: Folder of results.
        columns: Most slices of each class.
        image_size: Side of the slices, pixels.
        seed: Seed of the choice of slices.
    """

    records: Path = Path("records")
    out: Path = Path("results")
    columns: int = 6
    image_size: int = 256
    seed: int = 0


def main(config: Samples) -> int:
    """Writes the figures and prints where they are; returns the exit code."""
    from stroke_tf.reporting.figures import save_figure
    from stroke_tf.reporting.samples import draw_samples

    try:
        figures = draw_samples(
            config.records, columns=config.columns, image_size=config.image_size, seed=config.seed
        )
        for name, figure in figures:
            path = config.out / FOLDER / f"{name}.png"
            save_figure(figure, path)
            print(path)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    prog = "python -m experiments.saucis_f1_f2_f3_samples"
    sys.exit(main(tyro.cli(Samples, prog=prog, description=__doc__)))
