"""Writes a model for other libraries, from raw pixels on, and checks the files on slices.

    stroke-tf export MODEL --to openvino onnx litert saved-model --out FOLDER --records RECORDS

FOLDER/<format>/ holds the files, FOLDER/sidecar.json what stands around them, and
FOLDER/export.json, written last, how far they are from Keras and how fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from stroke_tf import command
from stroke_tf.config import ExportFormat
from stroke_tf.records import Pixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stroke_tf.deploy.description import ModelDescription
    from stroke_tf.deploy.export_check import Answer, Known
    from stroke_tf.deploy.raw_pixels import RawModel
    from stroke_tf.manifest import FoldName

REPORT_NAME = "export.json"
BFLOAT16 = "openvino, bfloat16"
_SPLIT: dict[str, tuple[FoldName, ...]] = {"train": tuple(range(8)), "val": (8,)}  # as runs have
_NAMES = {"validation": "val", "test": "test", "training": "train"}


@dataclass(frozen=True, kw_only=True)
class Export:
    """Settings of one export and its check.

    Attributes:
        models: A finished run's folder, a folder by save-model or a .keras file; several become one
            file with the mean of their probabilities.
        out: Folder to write.
        to: Formats to write.
        int8: Write LiteRT with whole numbers of 8 bits too, their ranges from training slices.
        records: Folder of records whose validation slices the files are checked on.
        pictures: Pictures, DICOM files, folders or zips to check the files on instead.
        pixels: What a .keras file takes, which it does not say itself.
        slices: Slices that the files are compared with Keras on.
        calibration: Training slices for the ranges of 8 bits.
        scored: Validation slices on which 8 bits are scored beside Keras.
        rounds: Turns of each file when time is taken.
    """

    models: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    to: tuple[ExportFormat, ...] = ("openvino", "onnx", "litert", "saved-model")
    int8: bool = False
    records: Path | None = None
    pictures: tuple[Path, ...] = ()
    pixels: Pixels | None = None
    slices: int = 16
    calibration: int = 64
    scored: int = 400
    rounds: int = 7


def main(settings: Export) -> int:
    """Exports, prints what was found and returns the exit code."""
    command.quieten()
    found = export_model(settings)
    _print(found)
    return 0


def export_model(settings: Export) -> dict[str, Any]:
    """Writes the files of a model and checks them; returns what export.json holds.

    Raises:
        ImportError: If a package is not installed; names it and its extra.
        ValueError: If there is no slice to check on, the model does not say what it takes, or a
            slice does not fit it.
        OSError: If a file cannot be read or written.
    """
    from stroke_tf.deploy.export_check import compare
    from stroke_tf.deploy.exported import (
        INT8,
        SIDECAR_NAME,
        files_of,
        load_file,
        write_files,
        write_sidecar,
    )
    from stroke_tf.deploy.load import read_model
    from stroke_tf.deploy.raw_pixels import RawModel, raw_and_seen
    from stroke_tf.fast.runtimes import check_packages
    from stroke_tf.files import locked, write_json
    from stroke_tf.machine import processor

    _check(settings)
    out = settings.out
    for kind in settings.to:
        check_packages(kind)
    told = {} if settings.pixels is None else {"pixels": settings.pixels}
    model, networks = read_model(settings.models, **told)
    raw = RawModel(model, networks)
    known = _slices(settings, model)
    formats = [*settings.to, INT8] if settings.int8 else [*settings.to]
    with locked(out):
        for name in (REPORT_NAME, SIDECAR_NAME):
            (out / name).unlink(missing_ok=True)
        ranges: list[NDArray[np.float32]] = []
        if settings.int8:
            training = _known(settings, model, "train", settings.calibration).images
            ranges = [one[None] for one in raw_and_seen(training, model)[0]]
        write_files(raw, out, formats, calibration=ranges)
        write_sidecar(raw, out, formats, model)
        answers: dict[str, Answer] = {name: load_file(out, name) for name in formats}
        answers |= _bfloat16(settings)
        found = {
            "processor": processor(),
            "slices": len(known.images),
            "from": "pictures" if settings.pictures else f"{_checked_on(model)} slices of records",
            **_trained_on_these(settings, model),
            "formats": compare(raw, answers, known.images, model, rounds=settings.rounds),
            "bytes": {name: sum(file["bytes"] for file in files_of(out, name)) for name in formats},
        }
        if settings.int8:
            found["int8"] = _loss(settings, raw, model, answers[INT8]) | {
                "calibrated_on": len(ranges)
            }
        write_json(out / REPORT_NAME, found)
    return found


def _check(settings: Export) -> None:
    for name in ("slices", "calibration", "scored", "rounds"):
        if getattr(settings, name) < 1:
            raise ValueError(f"`{name}` must be >= 1. Received: {getattr(settings, name)}")
    if (settings.records is None) == (not settings.pictures):
        raise ValueError(
            "files are checked on slices: one of --records and --pictures must be given. "
            f"Received: {settings.records}, {list(map(str, settings.pictures))}"
        )
    if settings.int8 and settings.records is None:
        raise ValueError("--int8 needs --records: its ranges are taken from training slices")


def _slices(settings: Export, model: ModelDescription) -> Known:
    from stroke_tf.deploy.export_check import Known
    from stroke_tf.reading.inputs import find_inputs

    if settings.records is not None:
        return _known(settings, model, "val", settings.slices)
    found = [one for series in find_inputs(settings.pictures).series for one in series.slices]
    if not found:
        raise ValueError(f"no slice was found in {', '.join(map(str, settings.pictures))}")
    step = max(1, len(found) // settings.slices)
    return Known([one.read().pixels for one in found[::step][: settings.slices]])


def _known(
    settings: Export, model: ModelDescription, part: Literal["train", "val"], count: int
) -> Known:
    """Returns slices of the first network's split; without one, of the usual split."""
    from stroke_tf.deploy.export_check import known_slices

    if settings.records is None:
        raise ValueError("--records must be given")
    used = _split_of(model)["train" if part == "train" else _NAMES[_checked_on(model)]]
    return known_slices(settings.records, tuple(used), model, count=count)


def _split_of(model: ModelDescription) -> Mapping[str, tuple[FoldName, ...]]:
    return model.trained_on[0].split if model.trained_on else _SPLIT


def _checked_on(model: ModelDescription) -> str:
    """Returns the kind of slices that files are checked on: the first that the network had."""
    return next(told for told, name in _NAMES.items() if _split_of(model).get(name))


def _trained_on_these(settings: Export, model: ModelDescription) -> dict[str, Any]:
    """Returns whether the records are those of the first network's run; None where unknown."""
    from stroke_tf.manifest import manifest_sha256

    if settings.records is None or not model.trained_on:
        return {"records_of_the_run": None}
    same = manifest_sha256(settings.records) == model.trained_on[0].data_manifest_sha256
    return {"records_of_the_run": same}


def _bfloat16(settings: Export) -> dict[str, Answer]:
    """Returns OpenVINO's file computed in bfloat16, where the processor has that."""
    from stroke_tf.fast.runtimes import load_openvino
    from stroke_tf.machine import cpu_flags

    if "openvino" not in settings.to or "avx512_bf16" not in cpu_flags():
        return {}
    return {BFLOAT16: load_openvino(settings.out / "openvino", precision="bf16")}


def _loss(
    settings: Export, raw: RawModel, model: ModelDescription, answer: Answer
) -> dict[str, Any]:
    """Returns scores on slices of `_checked_on`, of Keras and of the file of whole numbers."""
    from stroke_tf.deploy.export_check import keras_answer, scores_of
    from stroke_tf.deploy.raw_pixels import raw_and_seen

    known = _known(settings, model, "val", settings.scored)
    taken, seen = raw_and_seen(known.images, model)
    scores = {
        "keras": scores_of(keras_answer(raw), seen, known, model),
        "int8": scores_of(answer, taken, known, model),
    }
    return {
        "scored_on": len(known.images),
        "of": _checked_on(model),
        "positive": sum(known.labels),
        **scores,
    }


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        *("", "MB", "ms a slice", "of Keras", "largest difference", "pixels of another class"),
        title=f"{found['slices']} {found['from']}; {found['processor']}",
    )
    keras = found["formats"]["keras"]["ms_a_slice"]
    for name, row in found["formats"].items():
        size = found["bytes"].get(name)
        differences = [value for key, value in row.items() if key.endswith("_difference")]
        other = row.get("pixels_of_another_class")
        table.add_row(
            name,
            f"{size / 1e6:.1f}" if size else "",
            f"{row['ms_a_slice']:.1f}",
            f"{row['ms_a_slice'] / keras:.2f}x",
            f"{max(differences):.1e}" if differences else "",
            "" if other is None else f"{100 * other:.3g} %",
        )
    console = Console(markup=False)
    console.print(table)
    if loss := found.get("int8"):
        console.print(
            f"8 bits, ranges of {loss['calibrated_on']} training slices; {loss['scored_on']} "
            f"{loss['of']} slices, {loss['positive']} positive: Keras {loss['keras']}, "
            f"8 bits {loss['int8']}"
        )


if __name__ == "__main__":
    command.run(main, Export, doc=__doc__)
