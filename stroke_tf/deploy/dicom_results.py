"""The DICOM files of a series that is done: SEG, SR and secondary captures.

They belong to its study. How each is made stands in `dicom_seg`, `dicom_sr` and `dicom_captures`.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from stroke_tf.deploy.outputs import WrittenMasks
from stroke_tf.deploy.studies import Study
from stroke_tf.reading.inputs import Series
from stroke_tf.reading.pictures import decode_colours


def write_dicom(
    series: Series, study: Study, kinds: Collection[str], *, out: Path, model: str, anew: bool
) -> None:
    """Writes the DICOM files of a series into its folder `dicom`; none for loose pictures.

    Args:
        series: The series.
        study: What was found in it.
        kinds: Of "seg", "sr" and "captures"; a report refers to a segmentation, and brings it.
        out: Folder of the prediction.
        model: What the model is called in them.
        anew: Whether files that are there belong to older masks, so that they are written again.

    Raises:
        ValueError: If highdicom is missing, a slice has no prediction or the source does not say
            where its slices lie; begins with the name of the series.
    """
    folder = out / series.name / "dicom"
    if not series.is_series or not kinds or (folder.exists() and not anew):
        return
    if unread := sum(bool(row.fault) for row in study.rows):
        raise ValueError(
            f"{series.name}: DICOM files need a mask of each slice. Received: {unread} without"
        )
    unfinished = folder.with_name(".dicom")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        _write_all(series, study, kinds, folder=unfinished, out=out, model=model)
    except ValueError as error:
        told = str(error).removeprefix(f"{series.name}: ")
        raise ValueError(f"{series.name}: {told}") from error
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)


def _write_all(
    series: Series, study: Study, kinds: Collection[str], *, folder: Path, out: Path, model: str
) -> None:
    if "seg" in kinds or "sr" in kinds:
        from stroke_tf.deploy.dicom_seg import write_seg

        masks = (mask for mask in WrittenMasks(out, study.rows) if mask is not None)
        seg = write_seg(series, masks, out=folder / "seg.dcm", model=model)
        if "sr" in kinds and study.volumes is not None:
            from stroke_tf.deploy.dicom_sr import write_sr

            write_sr(series, study.volumes, seg=seg, out=folder / "sr.dcm", model=model)
    if "captures" in kinds:
        from stroke_tf.deploy.dicom_captures import write_captures

        write_captures(series, _overlays(out, study), out=folder / "captures")


def _overlays(out: Path, study: Study) -> Iterator[np.ndarray]:
    for row in study.rows:
        path = out / row.path("overlays")
        yield decode_colours(path.read_bytes(), name=path.name)
