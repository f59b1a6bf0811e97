from dataclasses import replace

import pytest

from stroke_tf.config import FitConfig
from stroke_tf.manifest import read_folds
from stroke_tf.reproduce import estimate
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.runs.step import Step

STEP = Step(
    *(32, 4, 1 << 30, 2.0, 0.5),
    **{"start_seconds": 10.0, "head_seconds": 0.25, "slice_seconds": 0.125},
    **{"features": 8, "disk": 1000},
)


@pytest.fixture
def run(phantom_records, monkeypatch):
    """A run whose steps are as above."""
    monkeypatch.setattr(estimate, "measure", lambda run: STEP)
    fit = FitConfig(epochs=3)
    return ClassifierRun(records=phantom_records[0], image_size=32, batch_size=4, fit=fit)


def slices(run):
    """Returns the slices of training, validation and test, and steps of the first two."""
    of_fold = [int(row.fold) for row in read_folds(run.records) if row.fold.isdigit()]
    val, test = (sum(fold in of for fold in of_fold) for of in (run.val_folds, run.test_folds))
    train = len(of_fold) - val - test
    return train, val, test, -(-train // 4), -(-val // 4)


def test_a_training_takes_its_steps_in_all_epochs(run):
    _, val, test, steps, val_steps = slices(run)
    (found,) = estimate.estimate_runs([run], [])
    mirrored = (1 + run.mirror_test) * (val + test) / 4 * 0.5
    assert found.seconds == pytest.approx(20 + mirrored + 3 * (2 * steps + 0.5 * val_steps))


def test_a_frozen_backbone_takes_features_and_the_steps_of_the_head(run):
    run = replace(run, training="frozen", head_fit=FitConfig(epochs=2), copies=0)
    train, val, test, steps, val_steps = slices(run)
    (found,) = estimate.estimate_runs([run], [])
    mirrored = (1 + run.mirror_test) * (val + test) / 4 * 0.5
    head = (train + val) * 0.125 + 2 * (steps + val_steps) * 0.25
    assert found.seconds == pytest.approx(20 + mirrored + head)


@pytest.mark.parametrize("backbone", ["mobilenetv2", "histogram"])
def test_of_a_run_that_is_done_outside_scores_are_left(run, phantom_records, tmp_path, backbone):
    run = replace(run, out=tmp_path, backbone=backbone)
    elsewhere = len(read_folds(phantom_records[1]))
    folder_of(run).path.mkdir(parents=True)
    folder_of(run).metrics.touch()
    (found,) = estimate.estimate_runs([run], [phantom_records[1]])
    passes = (1 + run.mirror_test) * elsewhere / 4 * 0.5
    again = (slices(run)[0] + elsewhere) * 0.125  # a histogram is fitted anew
    assert found.seconds == pytest.approx(10 + (again if backbone == "histogram" else passes))
