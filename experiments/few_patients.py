r"""The shipped model as initial weights for another hospital with few patients.

    stroke-tf convert --data phe_sich --table phe_sich/manifest.csv --out records/phe-sich \
        --size 192 --max-bad 292 --columns 'image=Patients_CT/{id.parent}/brain/{id.name}.png' \
        label=label_derived
    python -m experiments.few_patients --records records/phe-sich \
        --weights efficientnet_lite0_no_top.weights.h5 ct-ich-haemorrhage

Haemorrhage yes or no, by logistic regression on the features of the frozen encoder, of 5, 10 and 20
patients of half of the folds; tested on all patients of the other half. Cost: a few minutes on 2
cores, most of it for the features, which are kept. OUT/few-patients/ gets TABLE.md, aucs.csv and
few_patients.png.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.runs.settings import SMOKE_SIZE, ClassifierRun
from stroke_tf.zoo.shipped import DEFAULT, ZOO

RUN = ClassifierRun(
    experiment="few-patients",
    backbone=ZOO[DEFAULT].backbone,
    head="linear",
    pooling="layers",
    training="probe",
    image_size=192,
    test_folds=(5, 6, 7, 8, 9),
)
"""Settings that all rows share."""


@dataclass(frozen=True)
class FewPatients:
    """Settings of the comparison.

    Attributes:
        records: Folder of records.
        out: Folder of results.
        weights: Weights of the encoder, each a column: imagenet, a file (looked up in
            $STROKE_TF_WEIGHTS too) or the name of a shipped model; the others are compared with the
            first.
        patients: Numbers of patients to learn from, each a row.
        seeds: Seeds of the draws of patients.
        smoke: Only see that everything runs: tiny slices, random weights, phantoms where there are
            no records; results are under few-patients-smoke.
    """

    records: Path = Path("records/phe-sich")
    out: Path = Path("results")
    weights: tuple[str, ...] = ("imagenet", DEFAULT)
    patients: tuple[int, ...] = (5, 10, 20)
    seeds: tuple[int, ...] = tuple(range(10))
    smoke: bool = False


def main(config: FewPatients) -> int:
    """Fits and scores all, writes table and figure; returns the exit code."""
    run = replace(RUN, records=config.records, out=config.out)
    starts: dict[str, str | None] = {name: name for name in config.weights}
    patients, seeds = config.patients, config.seeds
    if config.smoke:
        records = smoke_records((run.records,), out=run.out)[0]
        name = f"{run.experiment}-smoke"
        run = replace(run, records=records, experiment=name, image_size=SMOKE_SIZE)
        starts, patients, seeds = dict.fromkeys(starts), (6, 10), (0, 1)
    from stroke_tf.tables.few_patients import score_few, write_few

    found = score_few(run, starts, patients=patients, seeds=seeds)
    print(write_few(found, run.out / run.experiment, seeds=seeds), end="")
    return 0


if __name__ == "__main__":
    command.run(main, FewPatients, doc=__doc__)
