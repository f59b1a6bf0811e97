"""Volumes of lesions as a DICOM structured report (TID 1500), written by highdicom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stroke_tf.deploy.dicom_seg import SEGMENTS, algorithm
from stroke_tf.deploy.study_header import SOFTWARE, described, read_sources, save_dicom
from stroke_tf.deploy.volumes import CLASS_NAMES, StudyVolumes
from stroke_tf.labels import StrokeType
from stroke_tf.reading.dicom_header import silence
from stroke_tf.reading.series import Series

if TYPE_CHECKING:
    from highdicom.sr import MeasurementReport, VolumetricROIMeasurementsAndQualitativeEvaluations
    from pydicom import Dataset

_SEG_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    "SegmentSequence",
)


@silence()
def write_sr(
    series: Series, volumes: StudyVolumes, *, seg: Path, out: Path, model: str = ""
) -> Path:
    """Writes the volume of each class, in ml, as a structured report that belongs to the study.

    Each measurement refers to the segment that it was measured on, one without a lesion as well,
    and says by which rule, as a parameter of the algorithm.
    The report is neither complete nor verified: no person has seen it.

    Args:
        series: A series of DICOM files.
        volumes: Its volumes.
        seg: The segmentation that `write_seg` wrote of it.
        out: The file.
        model: What the model is called, such as digits of its SHA-256.

    Returns:
        `out`.

    Raises:
        OSError: If a file cannot be read or written.
        ValueError: If highdicom is missing or the source does not say where its slices lie. The
            message holds no header text.
    """
    sources = read_sources(series)
    import highdicom
    from pydicom import dcmread

    segmentation = dcmread(seg, specific_tags=[*_SEG_TAGS])

    def build() -> Dataset:
        return highdicom.sr.ComprehensiveSR(
            evidence=[*sources.images, segmentation],
            content=_report(sources.images[0], segmentation, volumes, model)[0],
            series_instance_uid=highdicom.UID(),
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            device_serial_number="0",
            **described("SR"),
        )

    return save_dicom(build, series, out)


def _report(
    image: Dataset, segmentation: Dataset, volumes: StudyVolumes, model: str
) -> MeasurementReport:
    from highdicom import UID, sr
    from pydicom.sr.codedict import codes

    device = sr.DeviceObserverIdentifyingAttributes(
        uid=UID(), name=SOFTWARE, manufacturer_name=SOFTWARE, model_name=SOFTWARE
    )
    return sr.MeasurementReport(
        observation_context=sr.ObservationContext(
            observer_device_context=sr.ObserverContext(
                observer_type=codes.DCM.Device, observer_identifying_attributes=device
            )
        ),
        procedure_reported=codes.SCT.ComputedTomographyOfHead,
        imaging_measurements=[
            _group(kind, image, segmentation, volumes, model) for kind in SEGMENTS
        ],
        title=codes.DCM.ImagingMeasurementReport,
    )


def _group(
    kind: StrokeType, image: Dataset, segmentation: Dataset, volumes: StudyVolumes, model: str
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    from highdicom import sr
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    segment = segmentation.SegmentSequence[int(kind) - 1]
    name = algorithm(model)[0]
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=segment.TrackingUID, identifier=segment.TrackingID
        ),
        referenced_segment=sr.ReferencedSegment(
            sop_class_uid=segmentation.SOPClassUID,
            sop_instance_uid=segmentation.SOPInstanceUID,
            segment_number=int(kind),
            source_series=sr.SourceSeriesForSegmentation(image.SeriesInstanceUID),
        ),
        finding_type=SEGMENTS[kind].concept(),
        finding_sites=[sr.FindingSite(anatomic_location=codes.SCT.Brain)],
        algorithm_id=sr.AlgorithmIdentification(
            name=name.AlgorithmName,
            version=name.AlgorithmVersion,
            parameters=[*([f"model={model}"] if model else []), f"volume: {volumes.rule}"],
        ),
        measurements=[
            sr.Measurement(
                name=codes.SCT.Volume,
                value=round(volumes.ml[CLASS_NAMES[kind]], 3),
                unit=Code("ml", "UCUM", "milliliter"),
            )
        ],
    )
