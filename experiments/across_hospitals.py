r"""A detector of haemorrhage trained at one hospital, tested at another, and trained at both.

    stroke-tf convert --data ct_ich --out records/ct-ich --size 256
    stroke-tf convert --data phe_sich --table phe_sich/manifest.csv --out records/phe-sich \
        --size 256 --max-bad 292 --columns 'image=Patients_CT/{id.parent}/brain/{id.name}.png' \
        label=label_derived
    python -m experiments.across_hospitals --records records/ct-ich records/phe-sich \
        --weights efficientnet_lite0_no_top.weights.h5

Logistic regression on the features of a frozen network, upright heads, five parts by patient. Cost:
a few minutes on 2 cores, most of it for the features, which are kept. OUT/across-hospitals/ gets
TABLE.md and predictions.csv with every score.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.runs.settings import SMOKE_SIZE, ClassifierRun
from stroke_tf.zoo.shipped import DEFAULT, ZOO

RUN = ClassifierRun(
    experiment="across-hospitals",
    backbone=ZOO[DEFAULT].backbone,
    head="linear",
    pooling="layers",
    training="probe",
    view="upright",
    image_size=192,
)
"""What all rows share."""


@dataclass(frozen=True)
class AcrossHospitals:
    """The sources to train on and to test on.

    Attributes:
        records: Folders of records, each of one source: its name is the folder's.
        out: Folder of results.
        weights: Weights of the encoder: imagenet, or a file (looked up in $STROKE_TF_WEIGHTS too).
        smoke: Only see that everything runs: tiny slices, random weights, phantoms where there are
            no records; results are under across-hospitals-smoke.
    """

    records: tuple[Path, ...] = (Path("records/ct-ich"), Path("records/phe-sich"))
    out: Path = Path("results")
    weights: str | None = "imagenet"
    smoke: bool = False


def main(config: AcrossHospitals) -> int:
    """Fits and scores all, writes the table; returns the exit code."""
    run = replace(RUN, out=config.out, weights=config.weights)
    sources = {path.name: path for path in config.records}
    if len(sources) < len(config.records):
        raise ValueError(
            "--records must be folders of different names. "
            f"Received: {[str(path) for path in config.records]}"
        )
    if config.smoke:
        name = f"{run.experiment}-smoke"
        run = replace(run, weights=None, experiment=name, image_size=SMOKE_SIZE)
        made = smoke_records(config.records, out=run.out)[0]
        sources = {"phantoms": made, "phantoms-again": made}
    from stroke_tf.tables.across_sources import score_across, write_across

    found = score_across(run, sources)
    print(write_across(found, run.out / run.experiment), end="")
    return 0


if __name__ == "__main__":
    command.run(main, AcrossHospitals, doc=__doc__)
