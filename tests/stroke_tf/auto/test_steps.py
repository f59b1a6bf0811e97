import os
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import keras
import pytest

from stroke_tf.auto import steps
from stroke_tf.auto.steps import apart, measure, measure_here
from stroke_tf.labels import MASK, SLICE
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.runs.settings import ClassifierRun, UnetRun

SMALL = ClassifierRun(backbone="cnn-detect", image_size=64, batch_size=2, weights=None)


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


def test_steps_are_measured_in_a_process_of_their_own():
    found = measure(SMALL)
    assert (found.size, found.batch) == (64, 2)
    assert 100 << 20 < found.bytes < 4 << 30
    assert 0 < found.train_seconds < 10
    assert 0 < found.val_seconds < 10
    assert apart(os.getpid) != os.getpid()


@pytest.mark.parametrize("joint", [False, True])
def test_the_steps_of_networks_that_draw_masks_are_measured(monkeypatch, joint):
    architecture = "joint" if joint else "linknet"
    monkeypatch.setitem(SEGMENTERS, architecture, partial(tiny_segmenter, joint=joint))
    run = UnetRun(architecture=architecture, image_size=32, batch_size=2, weights=None)
    found = measure_here(run)
    assert (found.size, found.batch) == (32, 2)
    assert 0 < found.val_seconds < 10


def test_a_process_that_is_killed_says_that_memory_did_not_suffice(monkeypatch):
    with pytest.raises(BrokenProcessPool):
        apart(os._exit, 9)
    monkeypatch.setattr(steps, "measure_here", _exit)
    assert measure(SMALL) is None


def test_memory_that_the_network_is_refused_does_not_suffice(monkeypatch):
    def refuse(run):
        raise MemoryError

    monkeypatch.setattr(steps, "_network", refuse)
    assert measure_here(SMALL) is None


def _exit(run):
    os._exit(9)
