"""Overlays of a series as DICOM secondary captures, which any viewer shows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stroke_tf.deploy.study_header import described, read_sources, save_dicom
from stroke_tf.reading.dicom_header import silence
from stroke_tf.reading.series import Series

if TYPE_CHECKING:
    from pydicom import Dataset


@silence()
def write_captures(series: Series, overlays: Iterable[np.ndarray], *, out: Path) -> list[Path]:
    """Writes overlays as pictures that belong to the study, one file a slice.

    Args:
        series: A series of DICOM files.
        overlays: uint8 RGB, shape (H, W, 3), for each slice in its order; taken one by one.
        out: The folder; files are `0001.dcm` and so on.

    Returns:
        The files.

    Raises:
        OSError: If one cannot be written.
        ValueError: If highdicom is missing, there is not one overlay for each slice, or the source
            does not say where its slices lie. The message holds no header text.
    """
    sources = read_sources(series)
    import highdicom

    series_uid = highdicom.UID()
    written = []
    for number, overlay in enumerate(overlays, start=1):

        def build(number: int = number, overlay: np.ndarray = overlay) -> Dataset:
            capture = highdicom.sc.SCImage.from_ref_dataset(
                ref_dataset=sources.images[0],
                pixel_array=overlay,
                photometric_interpretation="RGB",
                bits_allocated=8,
                coordinate_system="PATIENT",
                patient_orientation=("L", "P"),
                series_instance_uid=series_uid,
                sop_instance_uid=highdicom.UID(),
                instance_number=number,
                transfer_syntax_uid="1.2.840.10008.1.2.1",
                **described("captures"),
            )
            capture.add_new("Laterality", "CS", None)  # nothing says which part of the body it is
            return capture

        written.append(save_dicom(build, series, out / f"{number:04d}.dcm"))
    if len(written) != len(series.slices):
        raise ValueError(
            f"there must be one overlay for each of {len(series.slices)} slices. "
            f"Received: {len(written)}"
        )
    return written
