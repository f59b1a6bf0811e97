"""One visit to the page: what was handed in is read, answered and deleted; pictures of the answer.

Knows nothing of the page itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stroke_tf.config import BRAIN, STROKE, SUBDURAL, Window
from stroke_tf.data.upright import turn_back
from stroke_tf.deploy.model import StrokeModel
from stroke_tf.deploy.predict import Prediction, predict_inputs
from stroke_tf.deploy.prediction_page import html_table, volumes_html, weight_of
from stroke_tf.deploy.studies import Study
from stroke_tf.deploy.views import ViewMaker
from stroke_tf.labels import LESION_CLASSES
from stroke_tf.progress import Progress
from stroke_tf.reading.hu_values import window_hu
from stroke_tf.reading.inputs import find_inputs
from stroke_tf.reading.mask_pictures import MASK_COLOURS, read_mask
from stroke_tf.square import undo_square

WINDOWS: dict[str, Window] = {
    "brain 40 / 80": BRAIN,
    "subdural 80 / 200": SUBDURAL,
    "stroke 32 / 8": STROKE,
    "bone 600 / 2800": (600, 2800),
}
"""Windows to choose from, (centre, width) in HU."""

GREY_WINDOW: Window = (127.5, 255)
"""Shows 8-bit grey as it is."""

_SHOWN_SIDE = 768
_LISTED = 100  # files left out
_LESIONS = 20


@dataclass(frozen=True)
class Limits:
    """How much may be handed in at a time: files and bytes."""

    files: int
    bytes: int


@dataclass(frozen=True)
class ShownSeries:
    """A series that was answered.

    Attributes:
        study: What was found in it.
        pixels: Folder of its slices' pixels.
        out: Folder of the prediction.
    """

    study: Study
    pixels: Path
    out: Path

    def read(self, place: int) -> NDArray[Any] | None:
        """Returns a slice: uint8 grey or int16 HU, shape (H, W); None where it has a fault."""
        if self.study.rows[place].fault:
            return None
        return np.load(self.pixels / f"{place}.npy", allow_pickle=False)

    def mask(self, place: int) -> NDArray[np.uint8] | None:
        """Returns a slice's class ids, shape (H, W); None where the model draws none."""
        row = self.study.rows[place]
        return read_mask(self.out / row.path("masks")) if row.lesion_px else None

    def most_telling(self) -> int:
        """Returns the place of the slice with most lesion or, without masks, the highest score."""
        rows = self.study.rows
        return max(range(len(rows)), key=lambda place: weight_of(rows[place]))


@dataclass(frozen=True)
class Visit:
    """The uploads of one visitor, answered.

    Attributes:
        folder: Folder of all of it, deleted when the visitor leaves.
        series: The series with at least one answer.
        faults: Name and reason of each file that was left out or could not be read.
        results: A zip of all results.
    """

    folder: Path
    series: tuple[ShownSeries, ...]
    faults: tuple[tuple[str, str], ...]
    results: Path

    def close(self) -> None:
        """Deletes everything of the visit."""
        shutil.rmtree(self.folder, ignore_errors=True)


def answer_visit(
    uploads: Sequence[Path],
    model: StrokeModel,
    folder: Path,
    *,
    limits: Limits,
    progress: Progress | None = None,
) -> Visit:
    """Answers what a visitor handed in, and deletes it.

    Args:
        uploads: The files.
        model: What answers.
        folder: A new folder of the visit's own.
        limits: How much may be handed in.
        progress: Told how far it is.

    Raises:
        ValueError: If it is nothing, too much, or none of it can be read.
        OSError: If the results cannot be written.
    """
    out = folder / "results"
    try:
        _check(uploads, limits)
        inputs = _moved(uploads, folder / "uploads")
        settings = Prediction(inputs=inputs, model=(), out=out, keep_going=True)
        result = predict_inputs(settings, model=model, progress=progress)
        series = _keep_pixels(inputs, result.studies, folder)
        if not series:
            raise ValueError("\n".join(f"{name}: {reason}" for name, reason in result.faults[:20]))
        shutil.rmtree(folder / "uploads")
        results = shutil.make_archive(str(folder / "stroke_tf_results"), "zip", out)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        for path in uploads:
            path.unlink(missing_ok=True)
    return Visit(folder, series, (*result.faults, *result.left_out), Path(results))


def _moved(uploads: Sequence[Path], folder: Path) -> tuple[Path, ...]:
    """Moves files into one folder, so that they go by their own names; equal names get a number."""
    folder.mkdir(parents=True)
    moved = []
    for number, path in enumerate(uploads, 1):
        target = folder / path.name
        if target.exists():
            target = folder / f"{path.stem}-{number}{path.suffix}"
        moved.append(path.rename(target))
    return tuple(moved)


def _keep_pixels(
    inputs: Sequence[Path], studies: Sequence[Study], folder: Path
) -> tuple[ShownSeries, ...]:
    """Keeps the pixels alone, so that the files can go."""
    shown = []
    for one, study in zip(find_inputs(inputs).series, studies, strict=True):
        pixels = folder / "pixels" / study.series
        pixels.mkdir(parents=True)
        places = [place for place, row in enumerate(study.rows) if not row.fault]
        for place in places:
            np.save(pixels / f"{place}.npy", one.slices[place].read().pixels)
        if places:
            shown.append(ShownSeries(study, pixels, folder / "results"))
    return tuple(shown)


def paint_slice(
    pixels: NDArray[Any],
    mask: NDArray[np.uint8] | None,
    *,
    window: Window,
    opacity: float,
    heatmap: NDArray[np.float32] | None = None,
) -> NDArray[np.uint8]:
    """Returns a slice as it is shown.

    Args:
        pixels: uint8 grey or int16 HU, shape (H, W).
        mask: Class ids, shape (H, W), drawn in the organisers' colours with an outline; None or
            all 0 draws nothing.
        window: (centre, width), of HU in HU, of grey in grey values.
        opacity: Of the mask's inside and of the heatmap, in [0, 1]; 0 draws neither.
        heatmap: What the answer rests on, in [0, 1], shape (H, W); None draws none.

    Returns:
        uint8 RGB, shape (h, w, 3), the longer side at least 768.
    """
    gray = window_hu(pixels[..., None], (window,))[..., 0]
    scale = max(1, round(_SHOWN_SIDE / max(gray.shape)))
    gray = cv2.resize(gray, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    shown = np.asarray(cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), np.uint8)
    if heatmap is not None:
        heat = cv2.resize(heatmap, gray.shape[::-1], interpolation=cv2.INTER_LINEAR)
        colours = cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO)
        share = opacity * heat[..., None]
        shown = (shown * (1 - share) + colours[..., ::-1] * share).astype(np.uint8)
    if mask is not None and opacity > 0:
        large = cv2.resize(mask, gray.shape[::-1], interpolation=cv2.INTER_NEAREST)
        for kind in LESION_CLASSES:
            _paint_lesion(shown, large == kind, np.array(MASK_COLOURS[kind]), opacity)
    return shown


def _paint_lesion(
    shown: NDArray[np.uint8], lesion: NDArray[np.bool_], colour: NDArray[Any], opacity: float
) -> None:
    inside = opacity / 2  # the picture must be seen through it
    shown[lesion] = (shown[lesion] * (1 - inside) + colour * inside).astype(np.uint8)
    outlines, _ = cv2.findContours(lesion.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(shown, outlines, -1, tuple(map(int, colour)), 1, cv2.LINE_AA)


def _check(uploads: Sequence[Path], limits: Limits) -> None:
    if not uploads:
        raise ValueError("Choose files first: PNG, JPG, DICOM or a zip of them")
    if len(uploads) > limits.files:
        raise ValueError(f"At most {limits.files} files at a time. Received: {len(uploads)}")
    size = sum(path.stat().st_size for path in uploads)
    if size > limits.bytes:
        raise ValueError(
            f"At most {limits.bytes / 1e6:.0f} MB at a time. Received: {size / 1e6:.0f} MB"
        )


def can_explain(model: StrokeModel) -> bool:
    """Returns whether `explain` can be used: slices are seen one by one, by Keras models."""
    return bool(model.networks) and model.description.view == "windows"


def explain(model: StrokeModel, pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Returns what the first network's answer rests on: float32, shape (H, W), in [0, 1].

    Args:
        model: Such as `can_explain` says.
        pixels: uint8 grey or int16 HU, shape (H, W).
    """
    from stroke_tf.evaluation.grad_cam import grad_cam, mask_grad_cam

    ((shape, rgb, move),) = ViewMaker(model.description, series=False)([pixels])
    explained = mask_grad_cam if model.description.draws_masks else grad_cam
    heatmap = explained(model.networks[0], rgb[None])[0]
    if move is not None:
        heatmap = turn_back(heatmap, move, outside=(0.0,))
    return undo_square(heatmap, height=shape[0], width=shape[1])


def describe_series(one: ShownSeries, visit: Visit) -> str:
    """Returns volumes, lesions and notes of a series, and the visit's faults, as HTML."""
    study = one.study
    parts = [*volumes_html(study.volumes, most=_LESIONS)] if study.volumes else []
    notes = "".join(f"<li>{escape(note)}</li>" for note in study.notes)
    parts += ["<h3>Notes</h3>", f"<ul>{notes}</ul>"] if notes else []
    faults = [(escape(name), escape(reason)) for name, reason in visit.faults[:_LISTED]]
    if faults:
        parts += ["<h3>Left out, or not read</h3>", html_table(("file", "why"), faults)]
    return "\n".join(parts)
