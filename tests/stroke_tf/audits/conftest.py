"""Fixtures of audits: records of drawn heads."""

import csv

import cv2
import pytest
from audit_slices import SIZE, drawn_slices
from planted_mistakes import plant_mistakes

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.audits import leakage, shortcuts
from stroke_tf.audits.audit import Subject
from stroke_tf.audits.plain import small_pixels


@pytest.fixture(scope="session")
def convert_slices(tmp_path_factory):
    """Returns a function that converts rows of `drawn_slices` and returns their records' folder."""

    def convert(rows, **options):
        folder = tmp_path_factory.mktemp("drawn")
        with (folder / "slices.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "id", "patient", "label"])
            for name, patient, label, image in rows:
                cv2.imwrite(str(folder / f"{name}.png"), image)
                writer.writerow([f"{name}.png", name, patient, ("none", "hemorrhage")[label]])
        table, out = folder / "slices.csv", folder / "records"
        build_tfrecords(Conversion(table=table, out=out, size=SIZE, jobs=1, **options))
        return out

    return convert


@pytest.fixture(scope="session")
def clean_records(convert_slices):
    """Records that hold no leak and no shortcut."""
    return convert_slices(drawn_slices())


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    """Records of which 5 % of the labels and one mask are wrong."""
    return plant_mistakes(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def pixels_for_features():
    """Has audits take small pictures for features: a network of random weights sees too little."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (leakage, shortcuts):
            patch.setattr(
                module, "backbone_features", lambda images, _: small_pixels(images, side=16)
            )
        yield


@pytest.fixture(scope="session")
def subject_of():
    """Returns a function that makes a subject of records with a small network of random weights."""

    def subject(records, **options):
        quick = {"backbone": "mobilenet025", "weights": None, "image_size": SIZE, "resamples": 100}
        return Subject(records, None, **quick | options)

    return subject
