from collections import Counter

import numpy as np
import pytest
from scripted_model import ScriptedModel

from stroke_tf.deploy.calibrate import calibration, operating_points, score_slices
from stroke_tf.deploy.description import NetworkFile
from stroke_tf.manifest import read_folds


def test_thresholds_are_the_nearest_ones_of_nine_tenths():
    truth = np.r_[np.ones(10), np.zeros(10)]
    scores = np.r_[0.2, np.arange(41, 50) / 50, 0.85, np.arange(1, 10) / 50]
    points = operating_points(truth, scores)
    assert points == {"sensitive": pytest.approx(0.82), "specific": pytest.approx(0.2)}
    called = scores >= points["sensitive"]
    assert called[truth == 1].mean() == 0.9
    assert (scores < points["specific"])[truth == 0].mean() == 0.9


def test_where_no_threshold_is_so_specific_nothing_is_called():
    points = operating_points([1, 1, 0, 0], [0.5, 0.5, 0.5, 0.5])
    assert points["sensitive"] == 0.5
    assert 0.5 < points["specific"] < 0.5 + 1e-9


@pytest.mark.parametrize("truth", [[0, 0], [1, 1]])
def test_one_class_alone_has_no_operating_point(truth):
    with pytest.raises(ValueError, match="`truth` must hold both classes"):
        operating_points(truth, [0.1, 0.2])


def test_a_model_is_calibrated_on_the_slices_of_its_validation_folds(phantom_records):
    model, (records, _) = ScriptedModel(), phantom_records
    found = calibration([(model, (0, 1))], records)
    assert model.seen > 10
    assert set(found) == {"temperatures", "operating_points"}
    (temperature,) = found["temperatures"]
    assert 0.01 <= temperature <= 100
    assert set(found["operating_points"]) == {"sensitive", "specific"}


def test_several_models_count_together_each_on_folds_of_its_own(phantom_records):
    records = phantom_records[0]
    apart = [ScriptedModel(), ScriptedModel()]
    together = calibration([(apart[0], (0,)), (apart[1], (1,))], records)
    rows = [row.fold for row in read_folds(records)]
    assert [model.seen for model in apart] == [rows.count("0"), rows.count("1")]
    truth, scores = zip(
        *(score_slices(ScriptedModel(), records, (fold,))[:2] for fold in (0, 1)), strict=True
    )
    points = operating_points(np.concatenate(truth), np.concatenate(scores))
    assert together["operating_points"] == points


def test_a_model_of_series_sees_each_patient_as_one_in_order(phantom_records):
    records, (model, seen) = phantom_records[0], (ScriptedModel(smooth_slices=1.0), [])
    predict = model.predict

    def told(images, *, series):
        images = list(images)
        seen.append((len(images), series))
        return predict(images, series=series)

    model.predict = told
    calibration([(model, (0, 1))], records)
    rows = [row for row in read_folds(records) if row.fold in ("0", "1")]
    counts = Counter(row.group_id for row in rows).values()
    assert sorted(seen) == sorted((count, True) for count in counts)


@pytest.mark.parametrize(
    ("described", "told"),
    [
        ({"task": "segment", "threshold": None}, "must score slices. Received: one whose masks"),
        ({"networks": (NetworkFile("a", "b", 1),) * 2}, "models of one network. Received: 2"),
    ],
)
def test_ensembles_and_masks_alone_are_refused(phantom_records, described, told):
    with pytest.raises(ValueError, match=told):
        calibration([(ScriptedModel(**described), (0,))], phantom_records[0])
