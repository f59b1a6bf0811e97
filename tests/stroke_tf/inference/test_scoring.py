import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.inference.scoring import Scored, score_slices


def dataset(images, labels, *, batch_size=2):
    names = np.arange(len(images))
    ids = {
        "source_id": [f"s-{name}" for name in names],
        "group_id": [f"p-{name // 2}" for name in names],
        "stroke_type": np.zeros(len(names), np.int64),
    }
    slices = tf.data.Dataset.from_tensor_slices(
        (np.float32(images), np.float32(labels)[:, None], ids)
    )
    return slices.batch(batch_size)


@pytest.fixture(scope="module")
def model():
    """Its score is the mean of the left half of the first channel, over 255."""
    images = keras.Input((4, 4, 3))
    score = keras.ops.mean(images[:, :, :2, 0], axis=(1, 2)) / 255
    return keras.Model(images, keras.ops.stack([1 - score, score], axis=-1))


def slices():
    """Three slices: dark on the left, bright on the left, and grey."""
    images = np.zeros((3, 4, 4, 3))
    images[0, :, 2:] = 255
    images[1, :, :2] = 255
    images[2] = 102
    images[..., 1] = 7.6
    return images


def test_slices_are_scored_in_order_by_class_one(model):
    scored = score_slices(model, dataset(slices(), [0, 1, 1]))
    assert scored.ids == ["s-0", "s-1", "s-2"]
    assert scored.groups == ["p-0", "p-0", "p-1"]
    assert scored.truth.tolist() == [False, True, True]
    np.testing.assert_allclose(scored.scores, [0, 1, 0.4], atol=1e-6)
    assert scored.scores.dtype == np.float64
    assert scored.images.dtype == np.uint8
    np.testing.assert_array_equal(scored.images, slices().round())


def test_a_mirrored_score_is_the_mean_of_both_sides(model):
    scored = score_slices(model, dataset(slices(), [0, 1, 1]), mirror=True)
    np.testing.assert_allclose(scored.scores, [0.5, 0.5, 0.4], atol=1e-6)


def test_scores_are_smoothed_along_a_group():
    scored = Scored(
        ["a-2", "a-1", "b-1"], ["a", "a", "b"], np.ones(3, bool), np.array([1, 0, 0.7]), None
    )
    second, first, other = scored.smoothed(1.0).scores
    assert 0 < first < second < 1
    assert first + second == pytest.approx(1)
    assert other == pytest.approx(0.7)
