"""Finished runs of tiny networks, made once for all tests of what a user does with a model."""

from pathlib import Path
from types import SimpleNamespace

import keras
import pytest

SIZE = 32


def tiny_joint(*, image_size, seed, **options):
    """Stands for the joint network, which takes a minute to trace."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((image_size, image_size, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 5, padding="same", activation="relu")(x)
    mask = keras.layers.Conv2D(3, 5, padding="same", activation="softmax", name="mask")(x)
    pooled = keras.layers.GlobalAveragePooling2D()(x)
    named = keras.layers.Dense(3, activation="softmax", name="slice")(pooled)
    return keras.Model(images, {"mask": mask, "slice": named}, name="joint_tiny")


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> SimpleNamespace:
    """Phantom patients: `slices` as files, `grey` and `hu` as records of 64 pixels."""
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion, PhantomConfig
    from data_tools.phantom.data_set import PATIENTS_NAME, make_phantom

    folder = tmp_path_factory.mktemp("patients")
    made = SimpleNamespace(slices=folder / "slices", grey=folder / "png", hu=folder / "dicom")
    make_phantom(PhantomConfig(out=made.slices, patients=20, size=96, jobs=1))
    for records in (made.grey, made.hu):
        build_tfrecords(
            Conversion(
                data=made.slices,
                out=records,
                groups=made.slices / PATIENTS_NAME,
                prefer=records.name,
                size=64,
                jobs=1,
            )
        )
    return made


@pytest.fixture(scope="session")
def runs(tmp_path_factory, phantom) -> SimpleNamespace:
    """Folders of finished runs.

    `detect`, `detect_again` (another seed) and `type` classify, `segment` and `joint` draw masks;
    all learned from 8-bit grey, `detect_hu` and `segment_hu` from HU.
    """
    from stroke_tf.config import FitConfig
    from stroke_tf.models.segmenters import SEGMENTERS
    from stroke_tf.run_folder import RunFolder
    from stroke_tf.runs.classifier import run_classifier
    from stroke_tf.runs.settings import ClassifierRun, UnetRun
    from stroke_tf.runs.unet import run_unet

    out = tmp_path_factory.mktemp("runs")
    shared = {
        "out": out,
        "weights": None,
        "image_size": SIZE,
        "augment": False,
        "val_folds": (6, 7),
        "test_folds": (8, 9),
    }

    def classifier(row, records, *, seed=0, **options) -> Path:
        config = ClassifierRun(
            records=records,
            row=row,
            backbone="cnn-detect",
            fit=FitConfig(epochs=1, learning_rate=1e-3, seed=seed),
            **{**shared, **options},
        )
        run_classifier(config)
        return RunFolder(out, config.experiment, row, seed).path

    def unet(row, records, **options) -> Path:
        config = UnetRun(
            records=records,
            row=row,
            architecture=options.pop("architecture", "improved"),
            filters=2,
            depth=2,
            fit=FitConfig(epochs=1, learning_rate=1e-2),
            **{**shared, **options},
        )
        run_unet(config)
        return RunFolder(out, config.experiment, row, 0).path

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTERS, "joint", tiny_joint)
        return SimpleNamespace(
            detect=classifier("detect", phantom.grey),
            detect_again=classifier("detect", phantom.grey, seed=1),
            type=classifier("type", phantom.grey, task="type"),
            detect_hu=classifier("detect-hu", phantom.hu, smooth_slices=1.0),
            segment=unet("segment", phantom.grey, tune_mask=True),
            segment_hu=unet("segment-hu", phantom.hu, mirror_test=True),
            joint=unet("joint", phantom.grey, architecture="joint"),
        )
