import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.training.losses import LOSSES

C = 3


def softmax(seed, shape=(2, 4, 5)):
    exp = np.exp(np.random.default_rng(seed).normal(size=(*shape, C)))
    return (exp / exp.sum(axis=-1, keepdims=True)).astype(np.float32)


def one_hot(ids):
    return np.eye(C)[ids[..., 0]]


def dice_loss(ids, probs, classes, smooth):
    """A plain loop over the classes, sums over the whole batch."""
    terms = []
    for c in classes:
        truth, pred = (ids[..., 0] == c).astype(np.float64), probs[..., c].astype(np.float64)
        overlap = (truth * pred).sum()
        terms.append(1 - (2 * overlap + smooth) / (truth.sum() + pred.sum() + smooth))
    return np.mean(terms)


def cross_entropy(ids, probs):
    return -np.log(np.take_along_axis(probs.astype(np.float64), ids.astype(int), -1)).mean()


REFERENCES = {
    "dice": lambda ids, probs: dice_loss(ids, probs, (1, 2), 1.0),
    "cross-entropy": cross_entropy,
    "dice+ce": lambda ids, probs: dice_loss(ids, probs, (1, 2), 1.0) + cross_entropy(ids, probs),
    "sm-dice": lambda ids, probs: dice_loss(ids, probs, (0, 1, 2), 1e-5),
}
MASKS = {
    "both lesions": np.random.default_rng(1).integers(0, 3, (2, 4, 5, 1)),
    "one class": np.random.default_rng(1).integers(0, 2, (2, 4, 5, 1)) * 2,
    "all background": np.zeros((2, 4, 5, 1)),
    "all lesion": np.ones((2, 4, 5, 1)),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mask", MASKS)
def test_value_is_that_of_the_numpy_reference(name, mask):
    ids, probs = MASKS[mask].astype(np.uint8), softmax(2)
    assert float(LOSSES[name]()(ids, probs)) == pytest.approx(REFERENCES[name](ids, probs), 1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_is_finite_for_an_empty_mask_and_a_sure_prediction(name):
    ids = np.zeros((1, 2, 2, 1), np.uint8)
    probs = tf.Variable(one_hot(ids).astype(np.float32))
    with tf.GradientTape() as tape:
        loss = LOSSES[name]()(ids, probs)
    assert np.isfinite(tape.gradient(loss, probs)).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mask", ["both lesions", "all background"])
def test_a_perfect_prediction_costs_nothing(name, mask):
    ids = MASKS[mask].astype(np.uint8)
    loss = LOSSES[name]()(ids, one_hot(ids).astype(np.float32))
    assert float(loss) == pytest.approx(0, abs=1e-5)


def test_dice_by_hand():
    # Class 1: truth 2 pixels, predicted 1.0 + 0.5 + 0.5, overlap 1.5 -> 1 - (3 + 1)/(4 + 1) = 0.2
    # Class 2: truth 1 pixel, predicted 0.5, overlap 0.5 -> 1 - (1 + 1)/(1.5 + 1) = 0.2
    ids = np.array([1, 1, 2, 0], np.uint8).reshape(1, 2, 2, 1)
    probs = np.array([[0, 1, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [1, 0, 0]], np.float32)
    assert float(LOSSES["dice"]()(ids, probs.reshape(1, 2, 2, 3))) == pytest.approx(0.2)


def test_dice_sums_over_the_batch_before_the_ratio():
    ids = np.array([1, 0], np.uint8).reshape(2, 1, 1, 1)
    probs = np.array([[0, 1, 0], [0, 1, 0]], np.float32).reshape(2, 1, 1, 3)
    # Class 1 of both slices: 1 - (2 + 1)/(1 + 2 + 1) = 0.25; class 2: 0; their mean 0.125.
    assert float(LOSSES["dice"]()(ids, probs)) == pytest.approx(0.125)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_survives_serialisation(name):
    ids, probs = MASKS["both lesions"], softmax(3)
    loss = LOSSES[name]()
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is type(loss)
    assert float(again(ids, probs)) == float(loss(ids, probs))


@pytest.mark.parametrize("name", LOSSES)
def test_training_lowers_the_loss(name):
    keras.utils.set_random_seed(0)
    ids = MASKS["both lesions"].astype(np.uint8)
    images = one_hot(ids).astype(np.float32)
    layers = [keras.Input((4, 5, 3)), keras.layers.Conv2D(3, 1, activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(optimizer=keras.optimizers.Adam(0.2), loss=LOSSES[name](), run_eagerly=True)
    losses = model.fit(x=images, y=ids, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.8 * losses[0]
