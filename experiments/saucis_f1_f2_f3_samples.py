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

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.tables.settings import ExperimentRun


@dataclass(frozen=True)
class Samples(ExperimentRun):
    """Settings of the sample figures.

    Attributes:
        columns: Most slices of each class.
        image_size: Side of the slices, pixels.
    """

    columns: int = 6
    image_size: int = 256


def main(config: Samples) -> int:
    """Writes the figures and prints where they are; returns the exit code."""
    from stroke_tf.reporting.samples import SMALL_SAMPLES, write_samples

    records, *_ = smoke_records(config.records, out=config.out) if config.smoke else config.records
    shown = {"columns": config.columns, "image_size": config.image_size}
    for seed in config.seeds:
        options = SMALL_SAMPLES if config.smoke else shown
        for path in write_samples(records, config.out, names=config.rows, seed=seed, **options):
            print(path)
    return 0


if __name__ == "__main__":
    command.run(main, Samples, doc=__doc__)
