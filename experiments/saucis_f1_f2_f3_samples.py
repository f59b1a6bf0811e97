"""Sample slices: figures 1 to 3 of the SAUCIS paper and figures 1 to 3 of the USTH report.

    python -m experiments.saucis_f1_f2_f3_samples --records records --out results

Writes to OUT/samples/figures: slices of each class (SAUCIS 1, USTH 1), of the second test session
(USTH 2, where the records have it), the augmentations (SAUCIS 2), and both types of stroke with
their lesions drawn in as on the organisers' overlays (SAUCIS 3, USTH 3). Cost: seconds; half a
minute on the TEKNOFEST set. The papers do not say how they chose their slices: here they are drawn
at random, from as many patients (or groups of near-duplicates) as there are. Nothing is trained:
there are no weights, and --rows are the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.tables.settings import ExperimentRun

FOLDER = Path("samples", "figures")


@dataclass(frozen=True)
class Samples(ExperimentRun):
    """What to show.

    Attributes:
        columns: Most slices of each class.
        image_size: Side of the slices, pixels.
    """

    columns: int = 6
    image_size: int = 256


def main(config: Samples) -> int:
    """Writes the figures and prints where they are; returns the exit code."""
    from stroke_tf.reporting.samples import FIGURES, draw_samples
    from stroke_tf.run_folder import save_figure

    records, *_ = smoke_records(config.records, out=config.out) if config.smoke else config.records
    if unknown := [name for name in config.rows if name not in FIGURES]:
        raise ValueError(f"--rows must be of {list(FIGURES)}. Received: {unknown}")
    for seed in config.seeds:
        figures = draw_samples(
            records,
            columns=2 if config.smoke else config.columns,
            image_size=96 if config.smoke else config.image_size,
            seed=seed,
        )
        for name, figure in figures:
            if config.rows and name not in config.rows:
                continue
            path = config.out / FOLDER / f"{name}-s{seed}.png"
            save_figure(figure, path)
            print(path)
    return 0


if __name__ == "__main__":
    command.run(main, Samples, doc=__doc__)
