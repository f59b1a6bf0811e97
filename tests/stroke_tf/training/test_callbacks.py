from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.data import Hardness
from stroke_tf.training.callbacks import TryNegatives


def slices(count=3):
    """Batches of two slices, made as with ids; the number of a slice is its grey."""
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((4, 4, 3), np.uint8)
    known = {
        "source_id": [f"s{number}" for number in range(count)],
        "group_id": ["p"] * count,
        "stroke_type": np.zeros(count, np.int64),
    }
    masks = np.zeros((count, 4, 4, 1), np.uint8)
    return tf.data.Dataset.from_tensor_slices((images, masks, known)).batch(2)


def draws_a_tenth_a_grey(images, name):
    lesion = tf.cast(images[..., :1], tf.float32).numpy() / 10
    probs = np.concatenate([1 - lesion, 0 * lesion, lesion], axis=-1)
    return probs if name is None else {name: probs, "slice": None}


@pytest.mark.parametrize("name", [None, "mask"])
def test_slices_are_tried_after_the_first_epoch_and_each_third_one_but_the_last(name):
    hardness, tried = Hardness(0.5), []
    trial = TryNegatives(hardness, slices())
    predict = SimpleNamespace(predict_on_batch=lambda images: draws_a_tenth_a_grey(images, name))
    trial.set_model(predict)
    trial.set_params({"epochs": 7})
    for epoch in range(7):
        trial.on_epoch_begin(epoch)
        before, trial.drawn = trial.drawn, {}
        trial.on_epoch_end(epoch)
        if trial.drawn:
            tried.append(epoch)
            assert trial.drawn == pytest.approx({"s0": 0, "s1": 0.1, "s2": 0.2}, abs=1e-6)
        trial.drawn = trial.drawn or before
    assert tried == [0, 3]
    assert hardness.drawn is trial.drawn
