import dataclasses
import json

import keras
import numpy as np
import pandas as pd
import pytest

from experiments import tune_classifier, tune_unet
from stroke_tf.command import parse
from stroke_tf.config import AugmentStrength, FitConfig
from stroke_tf.data import pipeline
from stroke_tf.evaluation.segmentation import count_masks
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.run_folder import RunFolder
from stroke_tf.runs.keep_or_run import Split
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.search.classifier_trials import classifier_kind, configure, recall_at_precision
from stroke_tf.search.figures import figure_curves, figure_parallel, importance, place, searched
from stroke_tf.search.run_search import trial_splits
from stroke_tf.search.settings import ClassifierSearch, UnetSearch, search_folder
from stroke_tf.search.spaces import ClassifierSpace, Range, UnetSpace
from stroke_tf.search.tuning import Trial, best_trial, read_trials
from stroke_tf.search.unet_trials import configure as configure_unet
from stroke_tf.search.unet_trials import unet_kind

ONE_EPOCH = FitConfig(epochs=1)


@pytest.fixture(scope="module")
def classifier(phantom_records, tmp_path_factory):
    """A search that trains whole networks, and what it read while it ran."""
    config = ClassifierSearch(
        run=ClassifierRun(
            records=phantom_records[0],
            out=tmp_path_factory.mktemp("search"),
            backbone="cnn-detect",
            weights=None,
            training="full",
            image_size=32,
            batch_size=16,
            val_folds=(6, 7, 8),
            fit=ONE_EPOCH,
        ),
        space=ClassifierSpace(
            learning_rate=Range(0.01, 0.01),
            dropout=Range(0.3, 0.3),
            batch_size=(32, 64),
            unfrozen=(),
            augmentation=(0.0,),
            dense_units=(4,),
        ),
        strategy="grid",
        cv=2,
    )
    read, batches = [], []

    def load(records, folds, **options):
        read.append(folds)
        return load_slices(records, folds, **options)

    def indices(draw, *, batch_size, seed):
        batches.append(batch_size)
        return make_indices(draw, batch_size=batch_size, seed=seed)

    load_slices, make_indices = pipeline.load_slices, pipeline._indices
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "load_slices", load)
        patch.setattr(pipeline, "_indices", indices)
        code = tune_classifier.main(config)
    return config, code, read, batches


def test_a_trial_is_scored_on_folds_that_are_never_the_test_folds():
    run = ClassifierRun(val_folds=(7, 8), test_folds=(9, "stage1"))
    assert trial_splits(run, cv=0) == [Split((0, 1, 2, 3, 4, 5, 6), (7, 8), (9, "stage1"))]
    parts = trial_splits(run, cv=4)
    assert [part.val for part in parts] == [(0, 4, 8), (1, 5), (2, 6), (3, 7)]
    for part in parts:
        assert sorted((*part.train, *part.val)) == list(range(9))
    for cv in (1, 10):
        with pytest.raises(ValueError, match="`cv` must be 0, or 2 to 9"):
            trial_splits(run, cv=cv)


def test_a_trial_needs_validation_folds():
    run = UnetRun(choose_on="other-parts", val_folds=())
    for cv in (0, 2):
        with pytest.raises(ValueError, match="must be validation in a search. Received: other"):
            trial_splits(run, cv=cv)


@pytest.mark.slow
def test_a_search_decodes_once_and_never_the_test_folds(classifier):
    config, code, read, _ = classifier
    assert code == 0
    assert len(read) == 1
    assert sorted(read[0]) == list(range(9))


@pytest.mark.slow
def test_the_batch_size_of_a_trial_reaches_the_pipeline(classifier):
    config, _, _, batches = classifier
    sizes = [trial.values["batch_size"] for trial in read_trials(search_folder(config))]
    assert sizes == [32, 64]
    # Two parts, each with a data set to train on, one to validate on and one to be scored on
    assert batches == [32] * 6 + [64] * 6


@pytest.mark.slow
def test_a_search_leaves_what_it_found(classifier):
    config = classifier[0]
    folder = search_folder(config)
    trials = read_trials(folder)
    assert len(trials) == 2
    for trial in trials:
        assert len(trial.scores) == 2
        assert all(0 <= score <= 1 for score in trial.scores)
        assert trial.values["dense_units"] == 4
    table = pd.read_csv(folder / "trials.csv")
    assert table["score"].is_monotonic_decreasing
    best = max(trials, key=lambda trial: trial.score)
    found = json.loads((folder / "best.json").read_text())
    assert found["fit"]["learning_rate"] == best.values["learning_rate"] == 0.01
    assert found["batch_size"] == best.values["batch_size"]
    assert found["augment"] is False
    assert not {"records", "out"} & set(found)
    report = (folder / "REPORT.md").read_text()
    assert "2 trials, 0 of them failed" in report
    assert "Protocol clean" in report
    assert {"parallel.png", "curves.png"} <= {path.name for path in (folder / "figures").iterdir()}
    assert "data:image/png" in (folder / "report.html").read_text()
    assert len(list((folder / "tensorboard").glob("*/events*"))) == 2
    assert not list(folder.rglob("*.keras"))


@pytest.mark.slow
def test_a_finished_search_runs_nothing_again(classifier, monkeypatch):
    monkeypatch.setattr("stroke_tf.search.classifier_trials.train", None)
    assert tune_classifier.main(classifier[0]) == 0


@pytest.mark.slow
def test_other_data_or_settings_are_refused_with_the_difference(
    classifier, phantom_records, capsys
):
    config = classifier[0]
    other = dataclasses.replace(config, run=dataclasses.replace(config.run, image_size=48))
    assert tune_classifier.main(other) == 1
    assert "run.image_size 32 -> 48" in capsys.readouterr().err
    run = dataclasses.replace(config.run, records=phantom_records[1])
    assert tune_classifier.main(dataclasses.replace(config, run=run)) == 1
    assert "data_manifest_sha256" in capsys.readouterr().err


@pytest.mark.slow
def test_the_best_settings_are_trained_and_tested_by_the_command(classifier):
    from stroke_tf.runs.classifier import run_classifier

    config = classifier[0]
    found = best_trial(read_trials(search_folder(config)))
    flags = [
        "--config",
        search_folder(config) / "best.json",
        "--records",
        config.run.records,
        "--out",
        config.run.out,
    ]
    run = parse(ClassifierRun, args=list(map(str, flags)))
    assert run.row_name == f"search-grid-s0-best-{found.name}"
    assert run_classifier(run).split["test"] == (9,)


@pytest.mark.slow
def test_features_of_a_frozen_backbone_are_computed_once_for_all_trials(
    phantom_records, tmp_path, monkeypatch
):
    from stroke_tf.training import features

    made = []
    monkeypatch.setattr(
        features,
        "make_dataset",
        lambda *args, **options: made.append(options["folds"]) or make_dataset(*args, **options),
    )
    make_dataset = pipeline.make_dataset
    run = ClassifierRun(
        records=phantom_records[0],
        out=tmp_path,
        backbone="mobilenet025",
        weights=None,
        training="frozen",
        image_size=32,
        val_folds=(7, 8),
        head_fit=ONE_EPOCH,
    )
    config = ClassifierSearch(run=run, trials=2, objective="recall-at-precision")
    assert tune_classifier.main(config) == 0
    assert sorted(fold for folds in made for fold in folds) == list(range(9))
    assert len(read_trials(search_folder(config))) == 2


@pytest.mark.slow
def test_a_search_without_a_good_trial_ends_with_an_error(phantom_records, tmp_path, capsys):
    run = ClassifierRun(
        records=phantom_records[0], out=tmp_path, backbone="cnn-detect", weights=None, image_size=8
    )
    config = ClassifierSearch(run=dataclasses.replace(run, training="full"), max_failures=1)
    assert tune_classifier.main(config) == 1
    said = capsys.readouterr().err
    assert "Trial 00 failed: ValueError: `image_size` must be >= 16" in said
    assert "Trial 01 failed" in said
    assert "No trial of 2 came to a score" in said
    assert "Failed trials" in (search_folder(config) / "REPORT.md").read_text()


def test_a_unet_is_searched_in_small(phantom_records, tmp_path, monkeypatch, capsys):
    def network(*, image_size, seed, **options):
        keras.utils.set_random_seed(seed)
        images = keras.Input((image_size, image_size, 3))
        return keras.Model(images, keras.layers.Conv2D(3, 1, activation="softmax")(images))

    monkeypatch.setitem(SEGMENTERS, "fpn", network)
    run = UnetRun(phantom_records[0], tmp_path, architecture="fpn", image_size=32, fit=ONE_EPOCH)
    space = UnetSpace(loss=("dice",), batch_size=(16, 64), augmentation=(0.0,))
    assert tune_unet.main(UnetSearch(run=run, space=space, trials=1)) == 0
    (trial,) = read_trials(search_folder(UnetSearch(run=run)))
    assert 0 <= trial.score <= 1
    assert "lesion-iou" in capsys.readouterr().out


def test_a_unet_is_searched_by_the_scores_of_its_masks(phantom_records, tmp_path, monkeypatch):
    def network(*, image_size, seed, **options):
        images = keras.Input((image_size, image_size, 3))
        return keras.Model(images, keras.layers.Conv2D(3, 1, activation="softmax")(images))

    monkeypatch.setitem(SEGMENTERS, "fpn", network)
    run = UnetRun(phantom_records[0], tmp_path, architecture="fpn", image_size=32, fit=ONE_EPOCH)
    run = dataclasses.replace(run, val_folds=(6, 7, 8), score="mask", mask_score="regression")
    space = UnetSpace(loss=("dice",), batch_size=(64,), augmentation=(0.0,))
    search = UnetSearch(run=run, space=space, trials=1, objective="auc")
    assert unet_kind(search).tested_by == "ROC AUC"
    assert tune_unet.main(search) == 0
    (trial,) = read_trials(search_folder(search))
    assert 0 <= trial.score <= 1
    assert "auc" in (search_folder(search) / "REPORT.md").read_text()


def test_a_search_by_scores_needs_masks_that_detect():
    with pytest.raises(ValueError, match="--objective auc needs --score mask. Received: head"):
        unet_kind(UnetSearch(objective="auc"))


@pytest.mark.slow
def test_a_unet_is_searched_by_lesion_iou(phantom_records, tmp_path, capsys):
    run = UnetRun(
        records=phantom_records[0],
        out=tmp_path,
        architecture="improved",
        image_size=32,
        val_folds=(5, 6, 7, 8),
        fit=ONE_EPOCH,
    )
    space = UnetSpace(filters=(4,), depth=(1,), batch_size=(16,), loss=("dice", "lovasz"))
    config = UnetSearch(run=run, space=space, trials=2, strategy="grid")
    assert tune_unet.main(config) == 0
    trials = read_trials(search_folder(config))
    assert [trial.values["batch_norm"] for trial in trials] == [False, True]
    assert all(0 <= trial.score <= 1 for trial in trials)
    assert "lesion-iou" in capsys.readouterr().out


def test_values_become_settings_of_a_classifier():
    run = ClassifierRun(backbone="mobilenetv2", training="full", copies=3)
    values = {"learning_rate": 0.1, "batch_size": 4, "dropout": 0.2, "epochs": 2, "unfrozen": 0.5}
    found = configure(run, values | {"augmentation": 2.0})
    assert (found.fit.learning_rate, found.fit.epochs) == (0.1, 2)
    assert (found.batch_size, found.dropout) == (4, 0.2)
    assert found.head_fit == run.head_fit
    assert found.unfreeze_from == "block_10"  # the 8th of 17 from the end, Conv_1 the first
    assert found.strength == AugmentStrength(20.0, 0.2, 0.1, 0.5, 0.3)
    off = configure(run, {"augmentation": 0.0})
    assert (off.augment, off.copies) == (False, 0)
    frozen = configure(dataclasses.replace(run, training="frozen"), {"learning_rate": 0.1})
    assert (frozen.head_fit.learning_rate, frozen.fit) == (0.1, run.fit)
    custom = configure(run, {"backbone": "cnn-detect", "unfrozen": 0.5})
    assert (custom.weights, custom.unfreeze_from) == (None, "all")


@pytest.mark.parametrize(
    ("share", "block"), [(0.0, "none"), (0.01, "Conv_1"), (0.12, "block_16"), (1.0, "all")]
)
def test_a_share_of_the_blocks_is_unfrozen_from_the_last_on(share, block):
    run = ClassifierRun(backbone="mobilenetv2")
    assert configure(run, {"unfrozen": share}).unfreeze_from == block


def test_values_become_settings_of_a_unet():
    values = {"filters": 4, "loss": "focal", "residual": False, "spatial_dropout": 0.1}
    improved = configure_unet(UnetRun(architecture="improved"), values | {"depth": 3})
    assert (improved.filters, improved.depth, improved.loss) == (4, 3, "focal")
    assert not improved.improvements.residual
    assert improved.improvements.attention
    assert improved.improvements.spatial_dropout == 0.1
    on_encoder = configure_unet(UnetRun(), {"filters": 4, "learning_rate": 0.1})
    assert on_encoder.decoder_filters == (64, 32, 16, 8, 4)
    assert on_encoder.fit.learning_rate == 0.1


def test_the_gain_of_a_unet_is_that_in_lesion_iou(tmp_path):
    truth = np.zeros((2, 2, 2), np.int64)
    truth[0, 0], truth[1, 0] = 1, 2
    half = truth.copy()
    half[:, 0, 1] = 0  # one of the two pixels of each lesion: an IoU of 0.5
    folders = []
    for row, drawn in (("best", truth), ("defaults", half)):
        folders.append(RunFolder(tmp_path, "unet", row, 0))
        folders[-1].path.mkdir(parents=True)
        frame = count_masks(truth, drawn).to_frame(["b", "a"])
        frame.iloc[:: 1 if row == "best" else -1].to_csv(folders[-1].predictions, index=False)
    gain = unet_kind(UnetSearch()).gain(*folders, {"a": "a", "b": "b"})
    assert gain.difference == pytest.approx((0.5, 0.5, 0.5))


def test_recall_at_a_precision_is_the_best_of_all_thresholds():
    truth = np.array([1, 0, 1, 1, 0], bool)
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1])
    # Precision and recall from the highest score on: 1 and 1/3, 1/2, 2/3, 3/4 and 1, 3/5 and 1
    assert recall_at_precision(truth, scores, floor=0.75) == 1.0
    assert recall_at_precision(truth, scores, floor=0.8) == pytest.approx(1 / 3)
    assert recall_at_precision(truth, 1 - scores, floor=0.9) == 0.0
    assert np.isnan(recall_at_precision(np.zeros(5, bool), scores, floor=0.5))


def test_a_probe_has_no_epochs_for_hyperband():
    config = ClassifierSearch(run=ClassifierRun(training="probe"), strategy="hyperband")
    with pytest.raises(ValueError, match="needs a training with epochs"):
        classifier_kind(config)


TRIALS = [
    Trial(str(number), {"rate": rate, "units": 8 * (1 + number % 2)}, (rate**0.5,), 1.0)
    for number, rate in enumerate(np.linspace(0.01, 1.0, 12))
]
VARIED = {"rate": Range(0.01, 1.0, log=True), "units": (8, 16)}


def test_only_parameters_with_several_values_are_drawn():
    space = VARIED | {"one": ("a",), "point": Range(1.0, 1.0)}
    assert searched(space) == VARIED


def test_places_are_shares_of_the_scale():
    assert place(Range(0.01, 1.0, log=True), 0.1) == pytest.approx(0.5)
    assert place(Range(0.0, 4.0), 1.0) == 0.25
    assert place(("a", "b", "c"), "b") == 0.5


def test_the_parameter_that_the_score_depends_on_is_the_important_one():
    found = importance(VARIED, TRIALS)
    assert found["rate"] > 0.5 > 5 * found["units"]


def test_a_line_stands_for_each_trial_the_best_on_top():
    lines = figure_parallel(VARIED, TRIALS).axes[0].lines
    assert len(lines) == 12
    assert lines[-1].get_ydata().tolist() == pytest.approx([1.0, 1.0, 1.0])
    assert lines[0].get_ydata().tolist() == pytest.approx([0.0, 0.0, 0.0])


def test_curves_are_those_of_the_histories(tmp_path):
    for name, losses in (("0", [3.0, 2.0]), ("1", [5.0, 4.0, 1.0])):
        frame = pd.DataFrame({"epoch": range(len(losses)), "val_loss": losses})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
    figure = figure_curves({name: tmp_path / f"{name}.csv" for name in "01"}, best="0")
    best = figure.axes[0].lines[-1]
    assert best.get_label() == "trial 0, the best"
    assert best.get_xydata().tolist() == [[1, 3], [2, 2]]
