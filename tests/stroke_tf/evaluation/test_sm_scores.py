import keras
import numpy as np
import pytest

from stroke_tf.evaluation.sm_scores import SM_BATCH_SIZE, sm_scores, soft_sums
from stroke_tf.models.unet import sm


def one_hot(class_ids):
    return np.eye(3, dtype=np.float32)[class_ids]


def softmax(random, *shape):
    logits = random.normal(size=(*shape, 3)).astype(np.float32) * 3
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def random_slices(count):
    """Slices with blocks of either class, none, or both, and probabilities of a bad model."""
    random = np.random.default_rng(0)
    truth = np.zeros((count, 12, 10), np.uint8)
    for number in range(count):
        if number % 4 in (0, 3):
            truth[number, 2:7, 1:5] = 1
        if number % 4 in (1, 3):
            truth[number, 8:11, 3:9] = 2
    probs = 0.5 * softmax(random, count, 12, 10) + 0.5 * one_hot(truth)
    return truth, probs


def scores(truth, probs):
    return sm_scores(soft_sums(truth, probs))


@pytest.mark.parametrize("count", [1, 2, 5, 8])
def test_scores_are_those_that_keras_evaluates_with_segmentation_models(count):
    truth, probs = random_slices(count)
    model = keras.Sequential([keras.Input((12, 10, 3)), keras.layers.Identity()])
    model.compile(loss="mse", metrics=[sm.metrics.IOUScore(), sm.metrics.FScore()])
    expected = model.evaluate(
        probs, one_hot(truth), batch_size=SM_BATCH_SIZE, verbose=0, return_dict=True
    )
    found = scores(truth, probs)
    assert found["sm_iou"] == pytest.approx(expected["iou_score"], abs=1e-5)
    assert found["sm_f1"] == pytest.approx(expected["f1-score"], abs=1e-5)


def test_scores_by_hand():
    truth = np.array([[[0, 0], [0, 1]], [[0, 0], [0, 0]]])
    probs = np.zeros((2, 2, 2, 3))
    probs[..., 0] = 1
    probs[0, 1, 1] = [0.5, 0.5, 0]
    probs[1, 0, 0] = [0.75, 0, 0.25]
    # Background: shared 6.75, truth 7, predicted 7.25. Ischaemia: shared 0.5, truth 1, predicted
    # 0.5. Haemorrhage: shared 0, truth 0, predicted 0.25.
    found = scores(truth, probs)
    assert found["sm_f1"] == pytest.approx((13.5 / 14.25 + 1 / 1.5 + 0) / 3, abs=1e-4)
    assert found["sm_iou"] == pytest.approx((6.75 / 7.5 + 0.5 / 1 + 0) / 3, abs=1e-4)


def test_an_absent_class_scores_one_if_never_predicted_and_zero_for_a_trace():
    truth = np.ones((1, 4, 4), np.uint8)
    probs = one_hot(truth)
    assert scores(truth, probs)["sm_f1"] == pytest.approx(1)
    probs[0, 0, 0] = [0, 0.99, 0.01]
    assert scores(truth, probs)["sm_f1"] == pytest.approx(2 / 3, abs=1e-3)


def test_slices_are_paired_in_order_and_a_last_one_alone_weighs_as_much():
    truth, probs = random_slices(5)
    parts = [scores(truth[part], probs[part]) for part in (slice(2), slice(2, 4), slice(4, 5))]
    whole = scores(truth, probs)
    for name, value in whole.items():
        assert value == pytest.approx(np.mean([part[name] for part in parts]))
    reordered = [0, 2, 1, 3, 4]
    assert scores(truth[reordered], probs[reordered])["sm_f1"] != pytest.approx(whole["sm_f1"])


def test_sums_take_masks_with_a_channel_and_fit_batches_of_any_size():
    truth, probs = random_slices(4)
    whole = soft_sums(truth, probs)
    parts = [soft_sums(truth[:1, ..., None], probs[:1]), soft_sums(truth[1:], probs[1:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (whole[..., 1].sum(axis=1) == 120).all()


def test_no_slices_give_nan():
    assert all(np.isnan(value) for value in sm_scores(np.zeros((0, 3, 3))).values())


def test_wrong_shapes_and_batch_sizes_are_refused():
    with pytest.raises(ValueError, match=r"shape \(B, H, W, 3\). Received: \(1, 4, 4, 2\)"):
        soft_sums(np.zeros((1, 4, 4)), np.zeros((1, 4, 4, 2)))
    with pytest.raises(ValueError, match="cannot reshape"):
        soft_sums(np.zeros((1, 4, 5)), np.zeros((1, 4, 4, 3)))
    with pytest.raises(ValueError, match="`batch_size` must be >= 1. Received: 0"):
        sm_scores(np.zeros((2, 3, 3)), batch_size=0)
