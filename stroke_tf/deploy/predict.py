"""Says what a trained model sees in pictures, DICOM files, folders and zips of them.

    stroke-tf predict INPUT... [--model RUN [RUN ...]] [--out FOLDER]

Where no model is named, the package's own answers and says what it is not for.
Writes predictions.csv, studies.json and report.html, and for each series its masks, overlays and
pictures. Killed and run again it skips what is done. The exit code is 1 if anything could not be
read, and 2 for a wrong flag. Research software, no medical device.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from stroke_tf import command
from stroke_tf.config import PointName, Runtime
from stroke_tf.records import Pixels
from stroke_tf.zoo.shipped import located, or_shipped

if TYPE_CHECKING:
    from stroke_tf.deploy.model import StrokeModel
    from stroke_tf.deploy.outputs import SliceRow
    from stroke_tf.deploy.prediction_folder import Portion, PredictionFolder
    from stroke_tf.deploy.results import PredictionResult
    from stroke_tf.deploy.stream import Stream
    from stroke_tf.deploy.studies import Study
    from stroke_tf.progress import Progress
    from stroke_tf.reading.inputs import Found

DicomKind = Literal["seg", "sr", "captures"]
"""DICOM files that go back to the study: segmentation, report, pictures of the overlays."""

_TIMED_FROM = 32  # slices; fewer are done before a time would be known
_SHOWN = 20  # faults in an error
_TOLD = 6  # slices whose answers are printed

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Settings of one prediction.

    Attributes:
        inputs: Pictures, DICOM files, folders and zips; searched to their depths.
        model: The name of a shipped model, a finished run's folder, a folder by save-model or a
            .keras file; several are an ensemble; none: ct-ich-haemorrhage.
        out: Folder to write: new, empty, or begun by this same prediction; not inside an input.
        json: Print a summary as JSON on standard output.
        keep_going: Go on without files that cannot be read; the exit code is 1 all the same.
        mirror: Take the mean with the mirror image of each slice, which takes twice the time; a
            GPU does so anyway where the model's run did.
        as_series: Take the pictures of a folder for the slices of one patient, in the order of
            their names; without it each picture stands alone.
        operating_point: Which of the model's thresholds calls a slice positive: its own, or that of
            0.9 sensitivity or 0.9 specificity where it has them.
        pixels: What the model was trained on, where it does not say so itself: 8-bit grey or HU.
        runtime: What computes the networks; auto: OpenVINO on a CPU where it is installed.
        dicom: DICOM files to write for each series; they carry the identifiers of their study.
        overlays: Write pictures with the lesions painted in.
        batch_size: Slices in a batch.
    """

    inputs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="INPUT...")]
    model: tuple[Path, ...] = ()
    out: Path = Path("predictions")
    json: bool = False
    keep_going: bool = False
    mirror: bool = False
    as_series: bool = False
    operating_point: PointName = "default"
    pixels: Pixels | None = None
    runtime: Runtime = "auto"
    dicom: tuple[DicomKind, ...] = ()
    overlays: bool = True
    batch_size: int = 8


def main(settings: Prediction) -> int:
    """Predicts with a progress bar and says what was found; returns the exit code."""
    import sys

    from stroke_tf.deploy.prediction_page import facts_of
    from stroke_tf.files import to_json
    from stroke_tf.progress import progress_bar

    if not settings.inputs or settings.batch_size < 1:
        print("INPUT must name a file, and --batch-size be >= 1", file=sys.stderr)
        return 2
    command.quieten()
    with progress_bar() as progress:
        result = predict_inputs(settings, progress=progress)
    summary = result.summary()
    if settings.json:
        print(to_json(summary), end="")
    else:
        for row in result.rows[:_TOLD] if len(result.rows) <= _TOLD else ():
            print(f"{row.file}: {', '.join(f'{name} {value}' for name, value in facts_of(row))}")
        print(
            f"{summary['slices']} slices ({result.skipped} done before), "
            f"{summary['positive']} positive, {summary['with_lesion']} with a lesion, "
            f"{len(result.faults)} faults, {result.seconds:.1f} s. Page: "
            f"{settings.out / 'report.html'}"
        )
    return 1 if result.faults else 0


def predict_inputs(
    settings: Prediction,
    *,
    model: StrokeModel | None = None,
    progress: Progress | None = None,
) -> PredictionResult:
    """Predicts all slices at some paths and writes what was found.

    Args:
        settings: What to predict.
        model: The model, if it is loaded already; `settings.model` is not read then.
        progress: Told how far it is.

    Raises:
        ValueError: If there is no slice, a file cannot be read (unless `keep_going`), or the folder
            is of another prediction.
        OSError: If the folder holds something else or cannot be written.
        RuntimeError: If another process has the folder open.
    """
    from stroke_tf.files import locked
    from stroke_tf.reading.inputs import find_inputs

    started = time.monotonic()
    models = or_shipped(settings.model) if model is None else ()
    for path in models:
        located(path)  # before TensorFlow is loaded: a missing one is told at once
    _check_apart(settings)
    found = find_inputs(settings.inputs)
    if settings.dicom and found.series and not any(one.is_series for one in found.series):
        raise ValueError(
            "`dicom` needs inputs in DICOM, whose study the files belong to. Received: pictures"
        )
    if settings.as_series:
        ordered = (dataclasses.replace(one, is_series=True) for one in found.series)
        found = dataclasses.replace(found, series=tuple(ordered))
    _check_found(found, keep_going=settings.keep_going)
    with locked(settings.out):
        if model is None:
            from stroke_tf.deploy.load import load_model

            mirror = True if settings.mirror else None
            stated: dict[str, Any] = {"pixels": settings.pixels} if settings.pixels else {}
            model = load_model(
                models,
                runtime=settings.runtime,
                mirror=mirror,
                operating_point=settings.operating_point,
                **stated,
            )
        _check_dicom(settings, model)
        return _predict(settings, found, model, progress or _quiet, started)


def _predict(
    settings: Prediction, found: Found, model: StrokeModel, progress: Progress, started: float
) -> PredictionResult:
    from stroke_tf.deploy.prediction_folder import PredictionFolder
    from stroke_tf.deploy.results import PredictionResult, write_results
    from stroke_tf.deploy.studies import model_notes, study_of

    identity, out = _identity(settings, model), settings.out
    folder = PredictionFolder(out, identity)
    for note in dict.fromkeys(note for one in found.series for note in model_notes(one, model)):
        _log.info("%s", note)
    rows, redone = _rows(settings, found, model, folder, progress)
    folder.sweep([row for its in rows.values() for row in its])
    studies = tuple(
        study_of(series, rows[series.name], out=out, model=model) for series in found.series
    )
    broken = [(row.file, row.fault) for its in rows.values() for row in its if row.fault]
    broken += _write_dicom(settings, found, studies, model, redone)
    for name, reason in broken:
        _log.warning("%s: %s", name, reason)
    result = PredictionResult(
        out=out,
        studies=studies,
        left_out=found.left_out,
        faults=(*found.faults, *broken),
        skipped=sum(len(rows[name]) for name in rows) - sum(redone.values()),
        seconds=time.monotonic() - started,
    )
    write_results(result, identity=identity, described=model.description)
    told = {key: value for key, value in result.summary().items() if key not in ("out", "series")}
    folder.finish(told)
    return result


def _rows(
    settings: Prediction,
    found: Found,
    model: StrokeModel,
    folder: PredictionFolder,
    progress: Progress,
) -> tuple[dict[str, list[SliceRow]], Counter[str]]:
    """Predicts what is not done; returns the rows of each series, and how many of them are new."""
    from stroke_tf.deploy.prediction_folder import portions_of
    from stroke_tf.deploy.stream import Stream

    needs_order = model.description.needs_order
    portions = [
        portion for one in found.series for portion in portions_of(one, needs_order=needs_order)
    ]
    done = [folder.rows_of(portion) for portion in portions]
    total, skipped = (
        sum(len(portion.slices) for portion in portions),
        sum(len(kept or ()) for kept in done),
    )
    count = iter(range(skipped + 1, total + 1))
    rows: dict[str, list[SliceRow]] = {one.name: [] for one in found.series}
    redone: Counter[str] = Counter()
    with Stream(
        model,
        settings.out,
        batch_size=settings.batch_size,
        overlays=settings.overlays,
        keep_going=settings.keep_going,
        told=lambda: progress("slices", next(count), total),
    ) as stream:
        _tell_time(
            stream, [portion for portion, kept in zip(portions, done, strict=True) if kept is None]
        )
        for portion, kept in zip(portions, done, strict=True):
            if kept is None:
                kept = stream.run(portion)
                folder.keep(portion, kept)
                redone[portion.series.name] += len(kept)
            rows[portion.series.name] += kept
    return rows, redone


def _write_dicom(
    settings: Prediction,
    found: Found,
    studies: Sequence[Study],
    model: StrokeModel,
    redone: Mapping[str, int],
) -> list[tuple[str, str]]:
    """Writes the DICOM files of each series; returns the series that have none, and why."""
    from stroke_tf.deploy.dicom_results import write_dicom

    name = "+".join(one.sha256[:12] for one in model.description.networks)
    faults = []
    for series, study in zip(found.series, studies, strict=True):
        try:
            write_dicom(
                series,
                study,
                settings.dicom,
                out=settings.out,
                model=name,
                anew=bool(redone[series.name]),
            )
        except ValueError as error:
            if not settings.keep_going:
                raise
            faults.append((series.name, str(error).removeprefix(f"{series.name}: ")))
    return faults


def _identity(settings: Prediction, model: StrokeModel) -> dict[str, Any]:
    """Returns all that decides which files are written, except the inputs."""
    import importlib.metadata

    described = model.description.to_json()
    return {
        "stroke_tf": importlib.metadata.version("stroke_tf"),
        "model": {name: value for name, value in described.items() if name != "trained_on"},
        "mirror": model.mirror,
        "as_series": settings.as_series,
        "overlays": settings.overlays,
        "dicom": sorted(settings.dicom),
    }


def _check_apart(settings: Prediction) -> None:
    """Refuses a folder that the same command would take for an input the next time."""
    out = settings.out.resolve()
    for one in settings.inputs:
        if out.is_relative_to(one.resolve()):
            raise ValueError(f"`out` must not lie in an input. Received: {settings.out} in {one}")


def _check_dicom(settings: Prediction, model: StrokeModel) -> None:
    if settings.dicom and not model.description.draws_masks:
        raise ValueError(f"`dicom` needs a model of masks. Received: {model.description.task}")
    if "captures" in settings.dicom and not settings.overlays:
        raise ValueError("`dicom` captures are made of overlays. Received: no overlays")


def _check_found(found: Found, *, keep_going: bool) -> None:
    from stroke_tf.deploy.stream import KEEP_GOING

    faults = [f"{found.given.get(name, name)}: {reason}" for name, reason in found.faults]
    if faults and not keep_going:
        hint = [KEEP_GOING] if found.series else []
        raise ValueError(_lines([*faults[:_SHOWN], *hint], faults))
    for fault in faults:
        _log.warning("%s", fault)
    for name, reason in found.left_out:
        _log.info("%s: left out, %s", name, reason)
    if not found.series:
        others = [f"{name}: left out, {reason}" for name, reason in found.left_out]
        told = f"inputs must hold a slice. Received: {len(faults)} that cannot be read, "
        listed = [f"{told}{len(others)} left out", *faults, *others]
        raise ValueError(_lines(listed[: _SHOWN + 1], listed[1:]))


def _lines(shown: Sequence[str], all_of_them: Sequence[str]) -> str:
    more = len(all_of_them) - _SHOWN
    return "\n".join([*shown, *([f"and {more} more"] if more > 0 else [])])


def _tell_time(stream: Stream, portions: Sequence[Portion]) -> None:
    """Says how long all will take, from a few slices that are timed."""
    count = sum(len(portion.slices) for portion in portions)
    if count < _TIMED_FROM:
        return
    first = portions[0].slices[: stream.batch_size]
    stream.time(first)  # the first batch also builds the graph
    each = stream.time(first)
    _log.info("%d slices, about %s (%.0f ms a slice)", count, _duration(each * count), 1000 * each)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"


def _quiet(what: str, done: int, total: int) -> None:
    """Tells nobody."""


if __name__ == "__main__":
    command.run(main, Prediction, doc=__doc__)
