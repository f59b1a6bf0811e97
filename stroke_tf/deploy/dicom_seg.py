"""Masks of a series as a DICOM segmentation (SEG), written by highdicom (extra `dicom`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stroke_tf.deploy.study_header import (
    DESCRIPTION,
    SOFTWARE,
    described,
    read_sources,
    save_dicom,
    software_version,
)
from stroke_tf.labels import StrokeType
from stroke_tf.reading.dicom_header import silence
from stroke_tf.reading.mask_pictures import MASK_COLOURS
from stroke_tf.reading.series import Series

if TYPE_CHECKING:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset
    from pydicom.sr.coding import Code


@dataclass(frozen=True)
class SegmentTerm:
    """One segment: its number is the class id of a mask.

    Attributes:
        label: Its name.
        code: Its type in SNOMED CT, as value and meaning.
    """

    label: str
    code: tuple[str, str]

    def concept(self) -> Code:
        """Returns the type as a code."""
        from pydicom.sr.coding import Code

        value, meaning = self.code
        return Code(value, "SCT", meaning)


SEGMENTS = {
    StrokeType.ISCHEMIA: SegmentTerm("Ischaemia", ("55641003", "Infarct")),
    StrokeType.HEMORRHAGE: SegmentTerm("Haemorrhage", ("50960005", "Hemorrhage")),
}
"""The segments of every SEG, by class id: those without a lesion too."""


@silence()
def write_seg(series: Series, masks: Iterable[np.ndarray], *, out: Path, model: str = "") -> Path:
    """Writes the masks of a series as a DICOM segmentation that belongs to its study.

    It has two segments, ischaemia (1) and haemorrhage (2), and a frame for each of them and each
    source image: empty ones as well, for some viewers take frames left out for a fault or put
    those that are there on the wrong slices. So a study without a lesion has all frames, empty.

    Args:
        series: A series of DICOM files.
        masks: uint8 class ids, shape (H, W), one for each slice in its order.
        out: The file.
        model: What the model is called, such as digits of its SHA-256.

    Returns:
        `out`.

    Raises:
        OSError: If it cannot be written.
        ValueError: If highdicom is missing or the source does not say where its slices lie. The
            message holds no header text.
    """
    sources = read_sources(series)
    import highdicom

    labels = sources.arrange(masks)

    def build() -> Dataset:
        return highdicom.seg.Segmentation(
            source_images=sources.images,
            pixel_array=labels,
            segmentation_type="BINARY",
            segment_descriptions=[_segment(kind, model) for kind in SEGMENTS],
            series_instance_uid=highdicom.UID(),
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            device_serial_number="0",
            content_description=DESCRIPTION,
            content_label="STROKE_LESIONS",
            omit_empty_frames=False,
            **described("SEG"),
        )

    return save_dicom(build, series, out)


def _segment(kind: StrokeType, model: str) -> SegmentDescription:
    import highdicom
    from pydicom.sr.codedict import codes

    term = SEGMENTS[kind]
    return highdicom.seg.SegmentDescription(
        segment_number=int(kind),
        segment_label=term.label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=term.concept(),
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm(model),
        tracking_uid=highdicom.UID(),
        tracking_id=term.label,
        anatomic_regions=[codes.SCT.Brain],
        display_color=highdicom.color.CIELabColor.from_rgb(*MASK_COLOURS[kind][:3]),
    )


def algorithm(model: str) -> AlgorithmIdentificationSequence:
    """Returns the algorithm that drew the masks, as SEG and SR name it."""
    import highdicom
    from pydicom.sr.codedict import codes

    return highdicom.AlgorithmIdentificationSequence(
        name=SOFTWARE,
        family=codes.DCM.ArtificialIntelligence,
        version=software_version(),
        parameters={"model": model} if model else None,
    )
