"""Fixtures shared by the tests of tables."""

import keras
import pytest

from stroke_tf.labels import MASK, SLICE
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.runs import settings


@pytest.fixture
def tiny(monkeypatch):
    """Networks of two layers at 32 pixels stand for those that take a minute to trace."""

    def network(*, image_size, seed, **options):
        keras.utils.set_random_seed(seed)
        images = keras.Input((image_size, image_size, 3))
        x = keras.layers.Rescaling(1 / 255)(images)
        x = keras.layers.Conv2D(4, 5, padding="same", activation="relu")(x)
        return images, x, keras.layers.Conv2D(3, 5, padding="same", activation="softmax")(x)

    def build(**options):
        images, _, mask = network(**options)
        return keras.Model(images, mask)

    def build_joint(**options):
        images, x, mask = network(**options)
        pooled = keras.layers.GlobalAveragePooling2D()(x)
        of_slice = keras.layers.Dense(3, activation="softmax", name=SLICE)(pooled)
        mask = keras.layers.Identity(name=MASK)(mask)
        return keras.Model(images, {MASK: mask, SLICE: of_slice})

    for name in SEGMENTERS:
        monkeypatch.setitem(SEGMENTERS, name, build_joint if name == "joint" else build)
    monkeypatch.setattr(settings, "SMOKE_SIZE", 32)
