import keras
import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from stroke_tf.training.classification import class_one_auc, classifier_loss

LABELS = np.array([[0], [1], [1], [0]], np.float32)
PROBS = np.array([[0.2], [0.7], [0.4], [0.6]], np.float32)  # of class 1
OUTPUTS = {1: PROBS, 2: np.hstack([1 - PROBS, PROBS])}


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_loss_is_the_cross_entropy_of_class_one(outputs):
    loss = float(classifier_loss(outputs)(LABELS, OUTPUTS[outputs]))
    assert loss == pytest.approx(log_loss(LABELS[:, 0], PROBS[:, 0]), rel=1e-5)


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_label_smoothing_gives_half_its_share_to_the_other_class(outputs):
    loss = classifier_loss(outputs, label_smoothing=0.2)
    expected = -(0.9 * np.log(0.7) + 0.1 * np.log(0.3))
    one_slice = OUTPUTS[outputs][1:2]
    assert float(loss(LABELS[1:2], one_slice)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_sample_weights_weigh_slices(outputs):
    weights = np.array([1, 0, 0, 3], np.float32)
    expected = -(np.log(0.8) + 3 * np.log(0.4)) / 4
    loss = classifier_loss(outputs)(LABELS, OUTPUTS[outputs], sample_weight=weights)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("outputs", OUTPUTS)
def test_auc_is_that_of_class_one(outputs):
    auc = class_one_auc()
    auc.update_state(LABELS[:2], OUTPUTS[outputs][:2])
    auc.update_state(LABELS[2:], OUTPUTS[outputs][2:])
    assert auc.name == "auc"
    assert float(auc.result()) == pytest.approx(roc_auc_score(LABELS[:, 0], PROBS[:, 0]), abs=1e-3)


def test_both_survive_their_configs():
    loss = classifier_loss(2, label_smoothing=0.2)
    loss_again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert float(loss_again(LABELS, OUTPUTS[2])) == float(loss(LABELS, OUTPUTS[2]))
    auc = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(class_one_auc())
    )
    auc.update_state(LABELS, OUTPUTS[2])
    assert float(auc.result()) == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize(("outputs", "activation"), [(1, "sigmoid"), (2, "softmax")])
def test_both_train_a_head_with_class_weights(outputs, activation):
    keras.utils.set_random_seed(0)
    truth = np.tile(LABELS, (16, 1))
    features = np.hstack([truth, 1 - truth])
    head = keras.Sequential([keras.Input((2,)), keras.layers.Dense(outputs, activation=activation)])
    head.compile(
        optimizer=keras.optimizers.Adam(0.1),
        loss=classifier_loss(outputs, label_smoothing=0.1),
        metrics=["accuracy", class_one_auc()],
    )
    history = head.fit(
        x=features, y=truth, epochs=20, class_weight={0: 1.0, 1: 2.0}, verbose=0
    ).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] == 1
    assert history["auc"][-1] == pytest.approx(1)


@pytest.mark.parametrize("outputs", [0, 3])
def test_other_numbers_of_outputs_are_refused(outputs):
    with pytest.raises(ValueError, match=f"`outputs` must be 1 or 2. Received: {outputs}"):
        classifier_loss(outputs)


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_label_smoothing_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"`label_smoothing` must be in \[0, 1\)"):
        classifier_loss(2, label_smoothing=share)
