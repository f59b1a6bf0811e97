"""The whole road in minutes: slices to TFRecords, a network that finds strokes, and a report.

    stroke-tf demo [--data DATA] [--out results]

Without --data the slices are head phantoms, made on the spot: they show that everything works, and
say nothing about patients. One small U-Net is trained from random weights: it draws the lesions,
and what it draws is the slice's score. Beside it stands the histogram, a baseline without a
network. Slices without masks are learned by a classifier instead, on ImageNet features, if these
can be had. The report is OUT/demo/report.html. A run that was killed continues.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_tools.options import Prefer
from stroke_tf import command
from stroke_tf.config import PLAIN_DECODER, FitConfig
from stroke_tf.machine import usable_cores
from stroke_tf.runs.settings import HISTOGRAM, ClassifierRun, UnetRun

if TYPE_CHECKING:
    from stroke_tf.run_folder import RunMetrics

EXPERIMENT = "demo"
_DATA = "demo-data"
_WEIGHTS_FILE = "mobilenet_v2_1.0_224_no_top.weights.h5"


@dataclass(frozen=True)
class Demo:
    """Settings of the demo.

    Attributes:
        data: Folder of slices; phantoms when there is none.
        out: Folder of results.
        patients: Number of phantom patients.
        size: Side of the slices, pixels; a multiple of 32.
        prefer: Which file gives the pixels where a slice has both: DICOM keeps HU.
        epochs: Epochs of the U-Net.
        max_bad: How many faults of the slices may be left out.
        groups: CSV with columns id and patient.
        jobs: Worker processes of the conversion.
        seed: Seed of everything.
        smoke: Only see that everything runs: few and small slices, a tiny network, one epoch.
    """

    data: Path | None = None
    out: Path = Path("results")
    patients: int = 40
    size: int = 96
    prefer: Prefer = "dicom"
    epochs: int = 24
    max_bad: int = 0
    groups: Path | None = None
    jobs: int = dataclasses.field(default_factory=usable_cores)
    seed: int = 0
    smoke: bool = False

    @property
    def experiment(self) -> str:
        """Name that the runs are kept under. Data of another name has a folder of its own."""
        return EXPERIMENT if self.data is None else f"{EXPERIMENT}-{self.data.resolve().name}"


def convert(config: Demo) -> Path:
    """Makes the phantoms if need be, converts the slices; returns the folder of records."""
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion, PhantomConfig
    from data_tools.phantom.data_set import make_phantom
    from stroke_tf.progress import progress_bar

    folder = config.out / _DATA
    with progress_bar() as progress:
        data = config.data
        if data is None:
            data = folder / f"phantom-{config.patients}-s{config.seed}"
            given = {"patients": config.patients, "seed": config.seed, "jobs": config.jobs}
            phantom = PhantomConfig(out=data, size=config.size if config.smoke else 256, **given)
            make_phantom(phantom, progress=lambda n, total: progress("draw phantoms", n, total))
        conversion = Conversion(
            data=data,
            out=folder / f"records-{data.name}-{config.size}",
            size=config.size,
            prefer=config.prefer,
            jobs=config.jobs,
            groups=config.groups,
            max_bad=config.max_bad,
            seed=config.seed,
        )
        build_tfrecords(conversion, progress=progress)
    return conversion.out


def train(config: Demo, records: Path) -> list[RunMetrics]:
    """Fits and tests the histogram; trains and tests the U-Net, or without masks a classifier."""
    from stroke_tf.manifest import read_folds
    from stroke_tf.runs.histogram import run_histogram

    baseline = ClassifierRun(**_shared(config, records), backbone=HISTOGRAM)
    results = [run_histogram(baseline)]
    if any(row.has_mask and row.stroke_type != "NONE" for row in read_folds(records)):
        from stroke_tf.runs.unet import run_unet

        return [*results, run_unet(unet_run(config, records))]
    logging.info("No lesion mask in the data: a classifier is trained, and no U-Net")
    if weights := _find_weights(config):
        from stroke_tf.runs.classifier import run_classifier

        results.append(run_classifier(classifier_run(config, records, weights=weights)))
    return results


def unet_run(config: Demo, records: Path) -> UnetRun:
    """Returns the settings of the demo's U-Net."""
    return UnetRun(
        **_shared(config, records),
        row="unet",
        architecture="improved",
        improvements=PLAIN_DECODER,
        filters=2 if config.smoke else 8,
        depth=1 if config.smoke else 4,
        weights=None,
        loss="dice+weighted-ce",
        score="mask",
        fit=FitConfig(
            epochs=config.epochs,
            learning_rate=3e-3,
            schedule="cosine",
            warmup_epochs=1,
            seed=config.seed,
        ),
    )


def classifier_run(config: Demo, records: Path, *, weights: str) -> ClassifierRun:
    """Returns the settings of the demo's classifier."""
    return ClassifierRun(
        **_shared(config, records),
        row="probe",
        weights=weights,
        training="probe",
        head="linear",
        pooling="layers",
        view="upright",
        fit=FitConfig(seed=config.seed),
    )


def _shared(config: Demo, records: Path) -> dict[str, Any]:
    return {
        "records": records,
        "out": config.out,
        "experiment": config.experiment,
        "image_size": config.size,
        "val_folds": (6, 7),
        "test_folds": (8, 9),
    }


def _find_weights(config: Demo) -> str | None:
    """Returns where ImageNet weights are: a file of $STROKE_TF_WEIGHTS, imagenet, or nowhere."""
    from stroke_tf.models import build_backbone, resolve_weights

    with contextlib.suppress(FileNotFoundError):
        resolve_weights(_WEIGHTS_FILE)
        return _WEIGHTS_FILE
    try:
        build_backbone("mobilenetv2", image_size=config.size, weights="imagenet")
    except OSError as error:
        logging.warning("%s\nNo classifier is trained: there is the histogram alone", error)
        return None
    return "imagenet"


def report(config: Demo) -> Path:
    """Writes the report; returns the path of its HTML page."""
    from stroke_tf.reporting.report import write_report

    if config.data is None:
        title = "Demo: stroke detection and segmentation on head phantoms"
        notes = (
            "The slices are **phantoms**: computed drawings of heads. The numbers show that the "
            "package works from end to end. They are no medical result.",
        )
    else:
        title = f"Demo: stroke detection and segmentation on {config.data.name}"
        notes = (
            f"A quick look: a small network, slices of {config.size} x {config.size} pixels, few "
            "epochs. See docs/howto/train.md for full trainings.",
        )
    return write_report(config.out, config.experiment, title=title, notes=notes)


def main(config: Demo) -> int:
    """Runs the demo; the last line says where the report is. Returns the exit code."""
    from stroke_tf.run_folder import read_runs
    from stroke_tf.runs.keep_or_run import print_result

    if config.smoke:
        config = dataclasses.replace(
            config,
            out=config.out / "demo-smoke",
            patients=12,
            size=64,
            epochs=1,
        )
    train(config, convert(config))
    page = report(config)
    for result in read_runs(config.out):
        if result.experiment == config.experiment:
            print_result(result)
    print(f"Report: {page} and {page.with_name('REPORT.md')}")
    return 0


if __name__ == "__main__":
    command.run(main, Demo, doc=__doc__)
