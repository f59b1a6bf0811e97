import dataclasses

import numpy as np
import pandas as pd
import pytest

from stroke_tf.evaluation.metrics import classification_metrics
from stroke_tf.evaluation.operating_point import choose_threshold
from stroke_tf.runs.cross_validation import operating_point
from stroke_tf.runs.histogram import run_histogram
from stroke_tf.runs.settings import ClassifierRun


@pytest.fixture(scope="module")
def run(phantom_records, tmp_path_factory):
    config = ClassifierRun(
        records=phantom_records[0],
        out=tmp_path_factory.mktemp("histogram"),
        backbone="histogram",
        weights=None,
        image_size=96,
        val_folds=(6, 7),
        test_folds=(8, 9),
    )
    return config, run_histogram(config)


def predictions(config):
    return pd.read_csv(config.out / "classifier" / "histogram-s0" / "predictions.csv")


def test_the_baseline_scores_the_slices_of_the_test_folds_once(run, phantom_records):
    config, result = run
    folds = pd.read_csv(phantom_records[0] / "folds.csv")
    expected = folds[folds["fold"].isin(["8", "9"])]
    table = predictions(config)
    assert sorted(table["id"]) == sorted(expected["source_id"].astype(int))
    assert table["truth"].sum() == (expected["stroke_type"] != "NONE").sum()
    assert result.n == len(expected)
    assert result.split == {"train": tuple(range(6)), "val": (6, 7), "test": (8, 9)}


def test_its_numbers_are_those_of_its_predictions(run):
    config, result = run
    table = predictions(config)
    again = classification_metrics(
        table["truth"], table["score"], threshold=result.threshold, resamples=2
    )
    for name in ("roc_auc", "sensitivity", "brier"):
        assert result.metrics[name].value == pytest.approx(again[name].value)


def test_its_threshold_is_chosen_on_the_validation_folds(run, tmp_path):
    config, result = run
    # tested on what the threshold was chosen on, the scores give it again
    tested = dataclasses.replace(config, out=tmp_path, val_folds=(8, 9), test_folds=(6, 7))
    run_histogram(tested)
    table = predictions(tested)
    chosen = choose_threshold(table["truth"], table["score"])
    assert np.isclose(result.threshold, chosen)


def test_a_finished_baseline_is_kept(run):
    config, result = run
    path = config.out / "classifier" / "histogram-s0" / "metrics.json"
    before = path.stat().st_mtime_ns
    assert run_histogram(config).to_json() == result.to_json()
    assert path.stat().st_mtime_ns == before


def test_it_leaves_its_operating_point_as_networks_do(run):
    config, result = run
    point = operating_point(config)
    assert point["threshold"] == result.threshold
    assert point["temperature"] > 0
    assert {"brier_calibrated", "ece_calibrated"} <= {*result.metrics}
