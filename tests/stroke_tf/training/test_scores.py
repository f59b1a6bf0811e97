import keras
import numpy as np
import pytest

from stroke_tf.training import pixel_scores


def results(metrics):
    return {metric.name: float(metric.result()) for metric in metrics}


def update(metrics, truth, probs):
    for metric in metrics:
        metric.update_state(truth, probs)


def test_scores_are_of_all_pixels_of_an_epoch():
    metrics = pixel_scores(3)
    assert results(metrics) == {"accuracy": 0, "lesion_iou": 0, "lesion_dice": 0}
    truth = np.array([[0, 1, 1, 2], [0, 0, 2, 2]], np.uint8)
    drawn = np.array([[0, 1, 0, 2], [1, 0, 2, 1]])
    for one, other in zip(truth, drawn, strict=True):  # two batches
        update(metrics, one[None, :, None, None], np.eye(3, dtype=np.float32)[other][None, :, None])
    # ischaemia: 1 hit, 2 of the truth, 3 drawn; haemorrhage: 2 hits, 3 and 2
    assert results(metrics) == pytest.approx(
        {"accuracy": 5 / 8, "lesion_iou": (1 / 4 + 2 / 3) / 2, "lesion_dice": (2 / 5 + 4 / 5) / 2}
    )


def test_a_new_epoch_starts_at_nothing_and_absent_classes_do_not_count():
    metrics = pixel_scores(3)
    update(metrics, np.array([[[[1]]]]), np.array([[[[0.8, 0.1, 0.1]]]], np.float32))
    for metric in metrics:
        metric.reset_state()
    update(metrics, np.array([[[[2]]]]), np.array([[[[0.1, 0.2, 0.7]]]], np.float32))
    assert results(metrics) == {"accuracy": 1, "lesion_iou": 1, "lesion_dice": 1}


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_they_agree_with_the_metrics_of_keras(classes):
    random = np.random.default_rng(classes)
    truth = random.integers(classes, size=(2, 9, 7, 1))
    probs = random.dirichlet(np.ones(classes), size=(2, 9, 7)).astype(np.float32)
    metrics = pixel_scores(classes)
    lesions = list(range(1, classes))
    iou = keras.metrics.IoU(num_classes=classes, target_class_ids=lesions, sparse_y_pred=False)
    accuracy = keras.metrics.SparseCategoricalAccuracy()
    update([*metrics, iou, accuracy], truth, probs)
    found = results(metrics)
    assert found["lesion_iou"] == pytest.approx(float(iou.result()), rel=1e-5)
    assert found["accuracy"] == pytest.approx(float(accuracy.result()), rel=1e-5)
