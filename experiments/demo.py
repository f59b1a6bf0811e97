"""The whole road in minutes: slices to TFRecords, a classifier, a U-Net, and a report.

    stroke-tf demo [--data DATA] [--out results]

Without --data the slices are head phantoms, made on the spot: they show that everything works, and
say nothing about patients. The classifier starts from pretrained weights where they can be had, the
U-Net from random ones. The report is OUT/demo/report.html. A run that was killed continues.
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
from stroke_tf.config import FitConfig
from stroke_tf.machine import usable_cores
from stroke_tf.runs.settings import ClassifierRun, UnetRun

if TYPE_CHECKING:
    from stroke_tf.run_folder import RunMetrics

EXPERIMENT = "demo"
_DATA = "demo-data"
_WEIGHTS_FILE = "mobilenet_v2_1.0_224_no_top.weights.h5"


@dataclass(frozen=True)
class Demo:
    """What to show.

    Attributes:
        data: Folder of slices; phantoms when there is none.
        out: Folder of results.
        patients: Number of phantom patients.
        size: Side of the slices, pixels; a multiple of 32.
        prefer: Which file gives the pixels where a slice has both: DICOM keeps HU.
        classifier_epochs: Most epochs of the classifier.
        unet_epochs: Most epochs of the U-Net.
        weights: Weights of the classifier: imagenet, a file, None for random, or auto: a file of
            $STROKE_TF_WEIGHTS, else imagenet, else, where that cannot be downloaded, random.
        max_bad: How many faults of the slices may be left out.
        groups: CSV with columns id and patient.
        jobs: Worker processes of the conversion.
        seed: Seed of everything.
        smoke: Only see that everything runs: few and small slices, tiny networks, one epoch.
    """

    data: Path | None = None
    out: Path = Path("results")
    patients: int = 40
    size: int = 96
    prefer: Prefer = "dicom"
    classifier_epochs: int = 9
    unet_epochs: int = 8
    weights: str | None = "auto"
    max_bad: int = 0
    groups: Path | None = None
    jobs: int = dataclasses.field(default_factory=usable_cores)
    seed: int = 0
    smoke: bool = False

    @property
    def experiment(self) -> str:
        """What the runs are kept under: data of another name has a folder of its own."""
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
            phantom = PhantomConfig(out=data, size=256, **given)
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
    """Trains and tests the classifier and, where there are masks, the U-Net."""
    from stroke_tf.manifest import read_folds
    from stroke_tf.runs.classifier import run_classifier

    results = [run_classifier(classifier_run(config, records))]
    if any(row.has_mask and row.stroke_type != "NONE" for row in read_folds(records)):
        from stroke_tf.runs.unet import run_unet

        results.append(run_unet(unet_run(config, records)))
    else:
        logging.info("No lesion mask in the data: no U-Net is trained")
    return results


def classifier_run(config: Demo, records: Path) -> ClassifierRun:
    """Returns the settings of the demo's classifier."""
    weights = _find_weights(config)
    backbone = "cnn-detect" if config.smoke else "mobilenetv2"
    rate = 1e-4 if weights else 1e-3
    return ClassifierRun(
        **_shared(config, records),
        row=f"classifier-{backbone}",
        backbone=backbone,
        weights=weights,
        batch_size=16,
        fit=FitConfig(epochs=config.classifier_epochs, learning_rate=rate, seed=config.seed),
    )


def unet_run(config: Demo, records: Path) -> UnetRun:
    """Returns the settings of the demo's U-Net."""
    run = UnetRun(
        **_shared(config, records),
        row="unet-mobilenetv2",
        weights=None,
        batch_size=8,
        decoder_filters=(128, 64, 32, 24, 16),
        score="mask",
        fit=FitConfig(epochs=config.unet_epochs, learning_rate=1e-3, seed=config.seed),
    )
    if not config.smoke:
        return run
    return dataclasses.replace(
        run, row="unet-improved", architecture="improved", filters=2, depth=1
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
    """Settles what auto stands for; which weights were taken is in the run's settings."""
    from stroke_tf.models import build_backbone, resolve_weights

    if config.weights != "auto":
        return config.weights
    with contextlib.suppress(FileNotFoundError):
        resolve_weights(_WEIGHTS_FILE)
        return _WEIGHTS_FILE
    try:
        build_backbone("mobilenetv2", image_size=config.size, weights="imagenet")
    except OSError as error:
        logging.warning("%s\nThe classifier starts from random weights: expect little of it", error)
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
            f"A quick look: small networks, slices of {config.size} x {config.size} pixels, few "
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
            classifier_epochs=1,
            unet_epochs=1,
            weights=None,
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
