import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from stroke_tf.training.losses import (
    LOSSES,
    DiceCrossEntropy,
    Focal,
    LovaszSoftmax,
    SoftDice,
    SoftJaccard,
    SoftTversky,
    WeightedCrossEntropy,
    make_loss,
)

C = 3


def softmax(seed, shape=(2, 4, 5)):
    exp = np.exp(np.random.default_rng(seed).normal(size=(*shape, C)))
    return (exp / exp.sum(axis=-1, keepdims=True)).astype(np.float32)


def one_hot(ids):
    return np.eye(C)[ids[..., 0]]


def region_loss(ids, probs, *, classes=(1, 2), alpha=0.5, beta=0.5, smooth=1.0):
    """A plain loop over the classes, soft counts over the whole batch."""
    terms = []
    for c in classes:
        truth, pred = (ids[..., 0] == c).astype(np.float64), probs[..., c].astype(np.float64)
        tp, fp, fn = (truth * pred).sum(), ((1 - truth) * pred).sum(), (truth * (1 - pred)).sum()
        terms.append(1 - (tp + smooth) / (tp + alpha * fp + beta * fn + smooth))
    return np.mean(terms)


def dice_loss(ids, probs):
    """Half a pixel in the Tversky ratio is one pixel in the Dice ratio."""
    return region_loss(ids, probs, smooth=0.5)


def true_class(ids, probs):
    """The probability of the true class of each pixel."""
    return np.take_along_axis(probs.astype(np.float64), ids.astype(int), -1)[..., 0]


def cross_entropy(ids, probs):
    return -np.log(true_class(ids, probs)).mean()


def weighted_cross_entropy(ids, probs, weights=(1, 10, 10)):
    return np.mean(-np.log(true_class(ids, probs)) * np.asarray(weights)[ids[..., 0].astype(int)])


def focal(ids, probs):
    p = true_class(ids, probs)
    return np.mean(-0.25 * (1 - p) ** 2 * np.log(p))


def lovasz(ids, probs):
    """Berman et al. 2018, eq. 9: each error weighs what its pixel adds to the Jaccard loss of the
    set of the pixels with larger errors."""
    terms = []
    for c in np.unique(ids):
        truth, pred = (ids == c).ravel(), probs[..., int(c)].ravel().astype(np.float64)
        errors = np.abs(truth - pred)
        wrong, before, total = np.zeros(truth.size, bool), 0.0, 0.0
        for pixel in np.argsort(-errors):
            wrong[pixel] = True
            jaccard_loss = 1 - (truth & ~wrong).sum() / (truth | wrong).sum()
            total += errors[pixel] * (jaccard_loss - before)
            before = jaccard_loss
        terms.append(total)
    return np.mean(terms)


def sm_dice(ids, probs):
    return region_loss(ids, probs, classes=range(probs.shape[-1]), smooth=0.5e-5)


REFERENCES = {
    "dice": dice_loss,
    "jaccard": lambda ids, probs: region_loss(ids, probs, alpha=1, beta=1),
    "tversky": lambda ids, probs: region_loss(ids, probs, alpha=0.3, beta=0.7),
    "lovasz": lovasz,
    "focal": focal,
    "weighted-ce": weighted_cross_entropy,
    "cross-entropy": cross_entropy,
    "dice+ce": lambda ids, probs: dice_loss(ids, probs) + cross_entropy(ids, probs),
    "dice+weighted-ce": lambda ids, probs: (
        dice_loss(ids, probs) + weighted_cross_entropy(ids, probs)
    ),
    "sm-dice": sm_dice,
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
def test_float16_is_summed_in_float32(name):
    # 90,000 pixels: their count alone is infinite in float16.
    ids = np.zeros((1, 300, 300, 1), np.uint8)
    ids[0, :3, :3] = 1
    probs = np.full((1, 300, 300, C), (0.75, 0.125, 0.125), np.float16)
    loss = LOSSES[name]()(ids, probs)
    assert loss.dtype == "float32"
    if name == "lovasz":
        # Background: 9 errors of 0.75 reach a Jaccard loss of 9/90000, the rest 0.25 each.
        # Ischaemia: 9 errors of 0.875 reach 1 at once.
        expected = np.mean([0.75 * 1e-4 + 0.25 * (1 - 1e-4), 0.875])
    else:
        expected = REFERENCES[name](ids, probs.astype(np.float32))
    assert float(loss) == pytest.approx(expected, 1e-3)


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


@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky"])
def test_a_class_that_is_not_counted_costs_nothing(name):
    ids, probs = MASKS["one class"].astype(np.uint8), softmax(2)
    alone = np.delete(probs, 1, axis=-1)  # what lies on class 1 is neither hit nor false
    counted = make_loss(name, counted=[2])(ids, probs)
    assert float(counted) == pytest.approx(float(make_loss(name)(ids // 2, alone)), 1e-5)
    assert float(counted) < float(make_loss(name)(ids, probs))


def test_losses_of_single_pixels_count_all_classes():
    ids, probs = MASKS["one class"].astype(np.uint8), softmax(2)
    assert float(make_loss("focal", counted=[2])(ids, probs)) == float(
        make_loss("focal")(ids, probs)
    )


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_survives_serialisation(name):
    ids, probs = MASKS["both lesions"], softmax(3)
    loss = make_loss(name, counted=[2])
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


def test_jaccard_and_tversky_by_hand():
    # Class 1: TP 1.5, FP 0.5, FN 0.5; class 2: TP 0.5, FP 0, FN 0.5.
    ids = np.array([1, 1, 2, 0], np.uint8).reshape(1, 2, 2, 1)
    probs = np.array([[0, 1, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [1, 0, 0]], np.float32)
    probs = probs.reshape(1, 2, 2, 3)
    jaccard = np.mean([1 - 2.5 / 3.5, 1 - 1.5 / 2])
    assert float(SoftJaccard()(ids, probs)) == pytest.approx(jaccard)
    tversky = np.mean([1 - 2.5 / (2.5 + 0.1 + 0.45), 1 - 1.5 / (1.5 + 0.45)])
    assert float(SoftTversky(alpha=0.2, beta=0.9)(ids, probs)) == pytest.approx(tversky)


def test_lovasz_of_a_sure_prediction_is_one_minus_iou_of_the_classes_present():
    # Background: 1 of 2 right, 3 in the union; ischaemia: 1 of 2 right, 3; haemorrhage is absent.
    ids = np.array([0, 0, 1, 1], np.uint8).reshape(1, 2, 2, 1)
    probs = np.eye(C, dtype=np.float32)[[0, 1, 1, 0]].reshape(1, 2, 2, C)
    assert float(LovaszSoftmax()(ids, probs)) == pytest.approx(2 / 3)


def test_focal_without_focus_is_the_weighted_cross_entropy():
    ids, probs, weights = MASKS["both lesions"], softmax(4), (1.0, 2.0, 3.0)
    plain = Focal(gamma=0, class_weights=weights)(ids, probs)
    assert float(plain) == pytest.approx(weighted_cross_entropy(ids, probs, weights), 1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        SoftDice(),
        SoftJaccard(),
        SoftTversky(),
        LovaszSoftmax(),
        Focal(),
        WeightedCrossEntropy(class_weights=(1, 5)),
        DiceCrossEntropy(),
        DiceCrossEntropy(class_weights=(1, 5)),
    ],
    ids=lambda loss: loss.name,
)
def test_a_sigmoid_costs_what_the_same_softmax_of_two_classes_does(loss):
    ids = np.random.default_rng(1).integers(0, 2, (2, 4, 5, 1))
    p = np.random.default_rng(2).uniform(0.01, 0.99, (2, 4, 5, 1)).astype(np.float32)
    two = np.concatenate([1 - p, p], axis=-1)
    assert float(loss(ids, p)) == pytest.approx(float(loss(ids, two)), 1e-5)


def test_sm_dice_of_a_sigmoid_counts_its_class_only():
    ids = np.random.default_rng(1).integers(0, 2, (2, 4, 5, 1))
    p = np.random.default_rng(2).uniform(0.01, 0.99, (2, 4, 5, 1)).astype(np.float32)
    two = np.concatenate([1 - p, p], axis=-1)
    expected = region_loss(ids, two, classes=(1,), smooth=0.5e-5)
    assert float(LOSSES["sm-dice"]()(ids, p)) == pytest.approx(expected, 1e-4)


@pytest.mark.parametrize(
    "loss",
    [
        SoftTversky(alpha=0.1, beta=0.2),
        Focal(gamma=1.5, class_weights=(1, 2, 3)),
        WeightedCrossEntropy(class_weights=(1, 2, 3)),
        DiceCrossEntropy(class_weights=(1, 2, 3)),
    ],
    ids=lambda loss: loss.name,
)
def test_parameters_survive_serialisation(loss):
    ids, probs = MASKS["both lesions"], softmax(3)
    again = keras.losses.deserialize(json.loads(json.dumps(keras.losses.serialize(loss))))
    assert again.get_config() == loss.get_config()
    assert float(again(ids, probs)) == float(loss(ids, probs))
    assert float(again(ids, probs)) != float(type(loss)()(ids, probs))


def test_prices_below_zero_are_refused():
    with pytest.raises(ValueError, match="`alpha` and `beta` must be >= 0. Received: -1, 0.7"):
        SoftTversky(alpha=-1)
    with pytest.raises(ValueError, match="`gamma` must be >= 0. Received: -2"):
        Focal(gamma=-2)


@pytest.mark.parametrize("loss", [WeightedCrossEntropy, Focal, DiceCrossEntropy])
def test_class_weights_must_be_as_many_as_classes(loss):
    with pytest.raises(ValueError, match=r"each of 3 classes. Received: \[1, 2\]"):
        loss(class_weights=(1, 2))(MASKS["both lesions"], softmax(3))
