import dataclasses
import json

import keras
import numpy as np
import pandas as pd
import pytest
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from experiments import train_classifier
from stroke_tf.config import FitConfig
from stroke_tf.data.memory import load_slices
from stroke_tf.deploy.load import load_model
from stroke_tf.deploy.sources import read_source
from stroke_tf.labels import Task
from stroke_tf.runs.classifier import run_classifier
from stroke_tf.runs.settings import ClassifierRun, ClassifierTraining

SIZE = 32
ONE_EPOCH = FitConfig(epochs=1, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records of 60 small slices, lesions of one shape, and room for results."""
    folder = tmp_path_factory.mktemp("training")
    tree = write_tree(folder / "tree", none=30, ischemia=15, hemorrhage=15)
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=SIZE, jobs=1))
    return folder


@pytest.fixture(scope="module")
def classifier(folder):
    config = ClassifierRun(
        records=folder / "records",
        out=folder / "results",
        backbone="cnn-detect",
        weights=None,
        image_size=SIZE,
        batch_size=16,
        fit=ONE_EPOCH,
    )
    return config, run_classifier(config)


def test_a_classifier_run_leaves_all_its_files(classifier):
    config, result = classifier
    run = config.out / "classifier" / "cnn-detect-s3"
    assert {path.name for path in run.iterdir()} >= {
        *("config.json", "env.json", "history.csv", "model.keras", "predictions.csv"),
        *("figures", "metrics.json"),
    }
    figures = {path.stem for path in (run / "figures").iterdir()}
    assert figures == {
        *("augmentations", "history", "confusion", "roc", "reliability", "predictions", "grad_cam")
    }
    values = json.loads((run / "metrics.json").read_text())
    assert values["split"] == {"train": [0, 1, 2, 3, 4, 5, 6, 7], "val": [8], "test": [9]}
    assert (values["protocol"], values["seed"]) == ("clean", 3)
    assert values["metrics"].keys() >= {"sensitivity", "specificity", "roc_auc"}
    assert values["n"] == result.n == len(pd.read_csv(run / "predictions.csv"))


def test_a_run_says_what_its_model_needs(classifier):
    config, result = classifier
    description = read_source(config.out / "classifier" / "cnn-detect-s3").description
    assert (description.task, description.pixels, description.view) == (
        *("detect", "gray8"),
        "windows",
    )
    assert description.threshold == result.threshold
    assert len(description.temperatures) == 1
    assert description.trained_on[0].scores.keys() == result.metrics.keys()


def test_a_loaded_run_gives_the_scores_it_was_tested_with(classifier):
    config, _ = classifier
    run = config.out / "classifier" / "cnn-detect-s3"
    slices = load_slices(config.records, (9,), task=Task.DETECT, image_size=SIZE)
    table = pd.read_csv(run / "predictions.csv", dtype={"id": str}).set_index("id")
    said = load_model(run).predict(slices.images[..., 0])
    expected = table.loc[[row.source_id for row in slices.rows], "score"]
    np.testing.assert_allclose([one.scores["stroke"] for one in said], expected, atol=1e-5)


def test_scores_are_those_of_the_saved_model(classifier):
    config, result = classifier
    run = config.out / "classifier" / "cnn-detect-s3"
    table = pd.read_csv(run / "predictions.csv", dtype={"id": str})
    hits = (table.score >= result.threshold) & (table.truth == 1)
    assert result.metrics["sensitivity"].value == pytest.approx(hits.sum() / table.truth.sum())
    from stroke_tf.runs.classifier import dataset_of, score_slices

    model = keras.models.load_model(run / "model.keras", compile=False)
    again = score_slices(model, dataset_of(config, (9,), with_ids=True))
    assert list(again.ids) == table.id.tolist()
    np.testing.assert_allclose(again.scores, table.score, atol=1e-6)


def test_a_finished_run_is_kept(classifier):
    config, result = classifier
    model = config.out / "classifier" / "cnn-detect-s3" / "model.keras"
    before = model.stat().st_mtime_ns
    assert run_classifier(config).to_json() == result.to_json()  # NaN is not equal to itself
    assert model.stat().st_mtime_ns == before


def test_the_type_task_sees_lesion_slices_only(classifier):
    config, _ = classifier
    probe = {"task": "type", "row": "type", "training": "probe", "head": "linear"}
    probe |= {"backbone": "mobilenet025"}
    result = run_classifier(
        dataclasses.replace(config, **probe, test_folds=(8, 9), val_folds=(6, 7))
    )
    table = pd.read_csv(config.out / "classifier/type-s3/predictions.csv")
    assert result.n == len(table) < 12
    assert set(table.truth) == {0, 1}


def test_the_command_prints_the_result_and_where_it_is(classifier, capsys):
    config, _ = classifier
    assert train_classifier.main(ClassifierTraining(config)) == 0
    printed = capsys.readouterr().out
    assert "classifier/cnn-detect: n " in printed
    assert "protocol clean, seed 3" in printed
    assert f"Kept in {config.out / 'classifier' / 'cnn-detect-s3'}" in printed


def test_the_command_says_what_is_missing(tmp_path):
    config = ClassifierRun(records=tmp_path, out=tmp_path / "out", weights=None)
    with pytest.raises(FileNotFoundError, match="manifest.json must exist.*stroke-tf convert"):
        train_classifier.main(ClassifierTraining(config))
    assert not (tmp_path / "out").exists()
