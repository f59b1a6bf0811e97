import cv2
import numpy as np
import pandas as pd
import pytest

from stroke_tf.data import make_dataset
from stroke_tf.deploy.load import load_model
from stroke_tf.labels import Task


def as_stored(records, folds, *, task=Task.DETECT, size=64):
    """Returns the pictures of records at their own size, and their ids."""
    dataset = make_dataset(
        records, folds=folds, task=task, image_size=size, batch_size=8, with_ids=True
    )
    images, ids = [], []
    for batch, _, known in dataset:
        images += list(batch.numpy()[..., 0])
        ids += [name.decode() for name in known["source_id"].numpy()]
    return images, ids


def test_a_classifier_gives_the_scores_of_its_run(runs, phantom):
    images, ids = as_stored(phantom.grey, (8, 9))
    frame = pd.read_csv(runs.detect / "predictions.csv", dtype={"id": str}).set_index("id")
    model = load_model(runs.detect)
    said = list(model.predict(images, batch_size=5))
    assert [one.scores["stroke"] for one in said] == pytest.approx(
        frame.loc[ids, "score"].tolist(), abs=1e-5
    )
    assert all(one.mask is None and one.spread == {} for one in said)
    threshold = model.description.threshold
    assert [one.positive for one in said] == [one.scores["stroke"] >= threshold for one in said]


@pytest.mark.parametrize("name", ["segment", "joint"])
def test_masks_have_the_size_of_the_slice(runs, name):
    model = load_model(getattr(runs, name))
    images = [
        cv2.resize(np.full((8, 8), 120, np.uint8), (width, height))
        for height, width in ((31, 33), (64, 48))
    ]
    for image, one in zip(images, model.predict(iter(images)), strict=True):
        assert one.mask.shape == one.lesion_prob.shape == image.shape
        assert one.mask.dtype == one.lesion_prob.dtype == np.uint8
        assert (set(one.scores) == {"no stroke", "ischaemia", "haemorrhage"}) == (name == "joint")
