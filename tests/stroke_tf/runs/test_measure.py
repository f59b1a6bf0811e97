import dataclasses
from functools import partial

import keras
import pytest

from stroke_tf.labels import MASK, SLICE
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.runs.measure import measure
from stroke_tf.runs.settings import ClassifierRun, UnetRun

SMALL = ClassifierRun(backbone="mobilenet025", image_size=32, batch_size=2, weights=None)
OF_HEAD = ("head_seconds", "slice_seconds", "features")


def tiny_segmenter(*, joint, image_size, **_):
    """Stands for a network of SEGMENTERS, which take a minute to trace."""
    image = keras.Input((image_size, image_size, 3))
    features = keras.layers.Conv2D(8, 5, padding="same", activation="relu")(image)
    mask = keras.layers.Conv2D(3, 5, padding="same", activation="softmax")(features)
    if not joint:
        return keras.Model(image, mask)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    outputs = {MASK: mask, SLICE: keras.layers.Dense(3, activation="softmax")(pooled)}
    return keras.Model(image, outputs)


@pytest.mark.parametrize("joint", [False, True])
def test_the_steps_of_networks_that_draw_masks_are_measured(phantom_records, monkeypatch, joint):
    architecture = "joint" if joint else "linknet"
    monkeypatch.setitem(SEGMENTERS, architecture, partial(tiny_segmenter, joint=joint))
    run = UnetRun(records=phantom_records[0], architecture=architecture, weights=None)
    found = measure(dataclasses.replace(run, image_size=32, batch_size=2))
    assert (found.size, found.batch) == (32, 2)
    assert 0 < found.train_seconds < found.start_seconds
    assert 0 < found.val_seconds < 10
    assert found.disk > 1000
    assert [getattr(found, name) for name in OF_HEAD] == [0, 0, 0]


@pytest.mark.parametrize(
    ("training", "fits"),
    [("frozen", False), pytest.param("two-phase", True, marks=pytest.mark.slow)],
)
def test_of_a_frozen_network_the_features_and_the_head_are_measured(training, fits):
    found = measure(dataclasses.replace(SMALL, training=training))
    assert all(getattr(found, name) > 0 for name in OF_HEAD)
    assert (found.train_seconds > 0) == fits
    assert found.val_seconds > 0
    assert found.disk > 1000


def test_of_a_histogram_the_reading_of_slices_is_measured(phantom_records):
    run = dataclasses.replace(SMALL, backbone="histogram", records=phantom_records[0])
    found = measure(run)
    assert 0 < found.slice_seconds < found.start_seconds
    assert (found.train_seconds, found.disk) == (0, 0)
