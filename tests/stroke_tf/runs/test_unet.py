import json
from dataclasses import replace

import cv2
import keras
import numpy as np
import pandas as pd
import pytest
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from experiments import score_stage2, train_unet
from experiments.score_stage2 import Stage2, main
from stroke_tf.config import FitConfig
from stroke_tf.data import make_dataset
from stroke_tf.data.memory import load_slices
from stroke_tf.deploy.load import load_model
from stroke_tf.deploy.sources import read_source
from stroke_tf.evaluation.lesions import LESION_METRICS, LesionCounts, lesion_metrics
from stroke_tf.evaluation.mask_score import Detector, MaskScore
from stroke_tf.evaluation.metrics import classification_metrics
from stroke_tf.evaluation.operating_point import OperatingPoint
from stroke_tf.evaluation.segmentation import (
    SEGMENTATION_METRICS,
    SegmentationCounts,
    count_masks,
    segmentation_metrics,
)
from stroke_tf.inference.predict import Predictor, chosen, segment_slices, unseen_answers
from stroke_tf.labels import Task
from stroke_tf.manifest import natural_key, read_folds
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.reading.mask_pictures import read_mask
from stroke_tf.runs.settings import UnetRun, UnetTraining, small
from stroke_tf.runs.unet import (
    build,
    dataset_of,
    objective_of,
    read_detector,
    read_mask_rule,
    run_unet,
)


def tiny_network(*, encoder, image_size, seed, **options):
    """Stands for a network of SEGMENTERS, which take a minute to trace."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((image_size, image_size, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 5, padding="same", activation="relu"),
            keras.layers.Conv2D(3, 5, padding="same", activation="softmax"),
        ],
        name=f"linknet_{encoder}",
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run on 40 small slices, its mask rule tuned, and its result."""
    folder = tmp_path_factory.mktemp("unet")
    tree = write_tree(folder / "tree", none=20, ischemia=10, hemorrhage=10, side=70)
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=64, jobs=1))
    config = UnetRun(
        records=folder / "records",
        out=folder / "results",
        weights=None,
        image_size=64,
        architecture="linknet",
        mirror_test=True,
        tune_mask=True,
        val_folds=(6, 7),
        test_folds=(8, 9),
        fit=FitConfig(epochs=2, learning_rate=0.01, seed=3),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTERS, "linknet", tiny_network)
        return config, run_unet(config), config.out / "unet" / "mobilenetv2-s3"


def test_a_run_reports_pixels_lesions_and_the_scores_of_segmentation_models(run):
    _, result, folder = run
    assert {path.stem for path in (folder / "figures").iterdir()} == {
        *("augmentations", "history", "segmentation")
    }
    assert tuple(result.metrics) == (*SEGMENTATION_METRICS, *LESION_METRICS, "sm_iou", "sm_f1")
    assert 0 < result.metrics["sm_iou"].value < result.metrics["sm_f1"].value < 1
    assert keras.models.load_model(folder / "model.keras").name == "linknet_mobilenetv2"


def test_the_command_prints_the_result_and_where_it_is(run, capsys):
    config, _, folder = run
    assert train_unet.main(UnetTraining(config)) == 0
    assert f"Kept in {folder}" in capsys.readouterr().out


def test_the_tuned_rule_is_kept(run):
    _, result, folder = run
    rule = read_mask_rule(folder)
    assert rule is not None
    assert result.threshold == rule.threshold
    assert json.loads((folder / "mask_rule.json").read_text()).keys() == {
        "threshold",
        "min_area_px",
    }
    assert read_mask_rule(folder / "figures") is None


def test_a_run_says_what_its_model_needs(run):
    config, result, folder = run
    description = read_source(folder).description
    assert (description.task, description.image_size, description.pixels) == (
        *("segment", 64),
        "gray8",
    )
    assert description.mask_rule == read_mask_rule(folder)
    assert (description.mirror, description.trained_on[0].n_test) == (True, result.n)
    assert description.trained_on[0].data["layout"] == "teknofest"


def test_a_loaded_run_draws_the_masks_it_was_tested_with(run):
    config, _, folder = run
    slices = load_slices(config.records, (8, 9), task=Task.SEGMENT, image_size=64)
    said = load_model(folder, mirror=True).predict(slices.images[..., 0])
    counts = count_masks(slices.masks, np.stack([one.mask for one in said]))
    frame = pd.read_csv(folder / "predictions.csv", dtype={"id": str})
    assert frame["id"].tolist() == [row.source_id for row in slices.rows]
    again = SegmentationCounts.from_frame(frame)
    pd.testing.assert_frame_equal(counts.to_frame(frame["id"]), again.to_frame(frame["id"]))


def test_predictions_hold_all_that_the_scores_are_made_of(run):
    config, result, folder = run
    frame = pd.read_csv(folder / "predictions.csv", dtype={"id": str})
    groups = {row.source_id: row.group_id for row in read_folds(config.records)}
    counts, lesions = SegmentationCounts.from_frame(frame), LesionCounts.from_frame(frame)
    again = segmentation_metrics(counts, frame["id"].map(groups), seed=3)
    again |= lesion_metrics(counts, lesions, frame["id"].map(groups), seed=3)
    for name, metric in again.items():
        np.testing.assert_allclose(metric, result.metrics[name])


def test_scores_are_those_of_the_saved_model_mirrored_and_by_its_rule(run):
    config, result, folder = run
    model = keras.models.load_model(folder / "model.keras", compile=False)
    dataset = make_dataset(
        config.records, folds=(8, 9), task=Task.SEGMENT, image_size=64, batch_size=3, with_ids=True
    )
    mirrored = Predictor(model, mirror=True)
    again = segment_slices(mirrored, dataset, rule=read_mask_rule(folder))
    for name, metric in again.metrics(seed=3).items():
        np.testing.assert_allclose(metric, result.metrics[name], rtol=1e-4)
    plain = segment_slices(Predictor(model), dataset)
    assert not np.array_equal(plain.sums, again.sums)
    assert len(again.ids) == len(again.lesions) == result.n


def test_test_folds_without_a_lesion_are_drawn_with_what_is_painted_on_them(run):
    config, _, folder = run
    model = keras.models.load_model(folder / "model.keras", compile=False)
    slices = dataset_of(config, (8, 9), with_ids=True).unbatch()
    sound = slices.filter(lambda image, mask, known: keras.ops.all(mask == 0)).batch(2)
    test = segment_slices(Predictor(model), sound)
    *_, titles = test.panels()
    painted = sorted((test.predicted > 0).sum(axis=(1, 2)), reverse=True)
    said = [title.split(": ")[1] for title in titles]
    assert said == [f"no lesion, {count} pixels drawn" for count in painted]
    assert np.isnan(test.metrics(seed=3)["lesion_dice"].value)


def test_a_run_draws_stage_2_masks_at_the_size_of_its_pictures(run, tmp_path, capsys):
    config, _, folder = run
    lesions = config.records.parent / "tree" / "TRAINING" / "ISKEMI"
    whole = cv2.imread(str(lesions / "PNG" / "10020.png"))
    sizes = {"10020": (51, 65), "10021": (64, 40), "10022": (33, 33)}
    pictures, truth = tmp_path / "png", tmp_path / "mask"
    for out, weight in ((pictures, 1), (truth, 0)):
        out.mkdir()
        for name, (height, width) in sizes.items():
            cv2.imwrite(str(out / f"{name}.png"), weight * whole[:height, :width])
    stage2 = Stage2(tmp_path / "predicted", truth=truth, run=folder, pictures=pictures)
    assert main(stage2) == 0
    drawn = {path.stem: read_mask(path).shape for path in (tmp_path / "predicted").iterdir()}
    assert drawn == sizes
    printed = capsys.readouterr().out
    assert f"3 masks are in {tmp_path / 'predicted'}" in printed
    assert "Stage-2 score" in printed


@pytest.mark.slow
def test_a_smoke_run_draws_the_second_session_of_phantoms(
    phantom_records, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(score_stage2, "smoke_records", lambda *_, **options: phantom_records)
    monkeypatch.setattr(score_stage2, "small", lambda run: replace(small(run), image_size=32))
    monkeypatch.setitem(SEGMENTERS, "unet", tiny_network)
    assert main(Stage2(predicted=tmp_path, smoke=True)) == 0
    said = capsys.readouterr().out
    drawn = list(tmp_path.glob("*/*/masks/*.png"))
    assert f"{len(drawn)} masks are in {tmp_path}" in said
    assert len(drawn) > 1
    assert "Stage-2 score" in said


@pytest.fixture(scope="module")
def detecting(phantom_records, tmp_path_factory):
    """A finished run of phantom patients whose masks detect, and its result."""
    config = UnetRun(
        records=phantom_records[0],
        out=tmp_path_factory.mktemp("detecting"),
        weights=None,
        image_size=32,
        batch_size=32,
        architecture="linknet",
        tune_mask=True,
        score="mask",
        mask_score="regression",
        val_folds=(6, 7),
        test_folds=(8, 9),
        fit=FitConfig(epochs=2, learning_rate=0.01, seed=3),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTERS, "linknet", tiny_network)
        return config, run_unet(config), config.out / "unet" / "mobilenetv2-s3"


def test_masks_detect_with_the_scores_of_a_classifier_beside_their_own(detecting):
    config, result, folder = detecting
    frame = pd.read_csv(folder / "predictions.csv", dtype={"id": str})
    rows = {row.source_id: row for row in read_folds(config.records)}
    assert frame["id"].tolist() == [
        source_id for source_id, row in rows.items() if row.fold in ("8", "9")
    ]
    truth = [rows[name].stroke_type != "NONE" for name in frame["id"]]
    assert frame["truth"].tolist() == truth
    groups = [rows[name].group_id for name in frame["id"]]
    point = json.loads((folder / "operating_point.json").read_text())
    again = classification_metrics(
        truth, frame["score"], threshold=point["threshold"], groups=groups, seed=3
    )
    for name, metric in again.items():
        np.testing.assert_allclose(metric, result.metrics[name])
    assert result.metrics["roc_auc"].low < result.metrics["roc_auc"].value
    assert set(result.metrics) > {*SEGMENTATION_METRICS, "brier_calibrated", "ece_calibrated"}
    assert result.threshold == point["threshold"]
    figures = {path.stem for path in (folder / "figures").iterdir()}
    assert figures > {"segmentation", "confusion", "roc", "reliability"}


def test_how_masks_detect_is_kept_as_numbers(detecting):
    folder = detecting[2]
    detector = read_detector(folder)
    assert detector.score.of_series  # patients are known
    values = json.loads((folder / "mask_score.json").read_text())
    assert values == json.loads(json.dumps(vars(detector.score)))
    assert detector.point.threshold == detector.point.thresholds["recall-floor"]
    assert read_detector(folder / "figures") is None


def test_the_threshold_comes_from_validation_slices_scored_without_their_patient(detecting):
    config, _, folder = detecting
    predictor = Predictor(keras.models.load_model(folder / "model.keras", compile=False))
    val = dataset_of(config, (6, 7), with_ids=True)
    answers = unseen_answers(predictor, val, tune_mask=True, score="regression")
    rule, detector = chosen([answers], of_series=True)
    kept = read_detector(folder)
    np.testing.assert_allclose(detector.score.coefficients, kept.score.coefficients, rtol=1e-3)
    assert detector.point.threshold == pytest.approx(kept.point.threshold, rel=1e-3)
    assert rule == read_mask_rule(folder)
    assert chosen([unseen_answers(predictor, val)]) == (None, None)
    only, plain = chosen([unseen_answers(predictor, val, score="top")])
    assert only is None
    assert plain.score == MaskScore("top")


def test_a_loaded_run_scores_series_as_it_was_tested(detecting):
    config, _, folder = detecting
    model = load_model(folder)
    slices = load_slices(config.records, (8, 9), task=Task.SEGMENT, image_size=32)
    frame = pd.read_csv(folder / "predictions.csv", dtype={"id": str}).set_index("id")
    for group in {row.group_id for row in slices.rows}:
        own = [place for place, row in enumerate(slices.rows) if row.group_id == group]
        own.sort(key=lambda place: natural_key(slices.rows[place].source_id))
        found = model.predict(slices.images[own, ..., 0], series=True)
        expected = frame.loc[[slices.rows[place].source_id for place in own], "score"]
        scores = [one.scores["stroke"] for one in found]
        assert scores == pytest.approx(expected.tolist(), abs=1e-3)


def test_the_top_of_a_mask_is_its_score(detecting):
    config, _, folder = detecting
    predictor = Predictor(keras.models.load_model(folder / "model.keras", compile=False))
    point = OperatingPoint(0.5, 1.0, {})
    slices = dataset_of(config, (9,), with_ids=True)
    test = segment_slices(predictor, slices, detector=Detector(MaskScore("top"), point))
    probs = np.concatenate([predictor.probs(images) for images, *_ in slices])
    highest = (1 - probs[..., 0]).max(axis=(1, 2))  # a share of 32 x 32 is one pixel
    np.testing.assert_allclose(test.detected["score"], highest, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mask_score": "area"}, "`mask_score` needs `score` mask. Received: head"),
        ({"score": "mask", "lesions_only": True}, "`score` mask needs slices without a lesion"),
    ],
)
def test_scores_of_masks_without_effect_are_refused(change, told, monkeypatch):
    monkeypatch.setattr("stroke_tf.runs.unet.keep_or_run", None)
    with pytest.raises(ValueError, match=told):
        run_unet(UnetRun(**change))


def test_validation_folds_of_one_kind_are_refused_before_a_network_is_built(tmp_path, monkeypatch):
    tree = write_tree(tmp_path / "tree", none=0, ischemia=20, hemorrhage=20)
    build_tfrecords(Conversion(data=tree, out=tmp_path / "records", size=64, jobs=1))
    monkeypatch.setitem(SEGMENTERS, "linknet", None)
    config = UnetRun(records=tmp_path / "records", out=tmp_path / "results", architecture="linknet")
    with pytest.raises(ValueError, match=r"folds \[8\] must hold slices with a lesion and without"):
        run_unet(replace(config, score="mask"))


def test_records_without_a_lesion_are_refused_before_a_network_is_built(tmp_path, monkeypatch):
    tree = write_tree(tmp_path / "tree", none=14, ischemia=0, hemorrhage=0)
    build_tfrecords(Conversion(data=tree, out=tmp_path / "records", size=64, jobs=1))
    monkeypatch.setitem(SEGMENTERS, "linknet", None)
    config = UnetRun(records=tmp_path / "records", out=tmp_path / "results", architecture="linknet")
    with pytest.raises(ValueError, match=r"must hold a lesion with its mask.*none in \d+ slices$"):
        run_unet(config)


def test_a_missing_weight_file_is_told_before_a_slice_is_decoded(run, tmp_path, monkeypatch):
    monkeypatch.setattr("stroke_tf.runs.unet.make_dataset", None)
    config = replace(run[0], out=tmp_path, weights=str(tmp_path / "missing.weights.h5"))
    with pytest.raises(FileNotFoundError, match="missing.weights.h5"):
        run_unet(config)


@pytest.mark.parametrize("change", [{"live_norms": True}, {"decoder": "improved"}])
def test_settings_of_composed_networks_are_refused_for_others(change):
    with pytest.raises(ValueError, match="need the architecture composed or joint. Received: unet"):
        _ = UnetRun(**change).network


def test_the_encoder_of_a_composed_network_is_what_learns_slowly(phantom_records):
    run = UnetRun(
        records=phantom_records[0],
        architecture="composed",
        encoder="mobilenet025",
        weights=None,
        image_size=32,
    )
    model = build(run)
    encoder = model.get_layer("mobilenet025").trainable_variables
    assert [id(variable) for variable in objective_of(run, model)["slow"]] == [
        id(variable) for variable in encoder
    ]
    assert objective_of(replace(run, architecture="unet"), model)["slow"] == []


def test_a_lesion_that_no_training_slice_shows_counts_in_no_overlap(phantom_records, monkeypatch):
    run = UnetRun(records=phantom_records[0])
    assert objective_of(run, keras.Sequential())["loss"].counted == [1, 2]
    rows = [row for row in read_folds(run.records) if row.stroke_type != "ISCHEMIA"]
    monkeypatch.setattr("stroke_tf.runs.unet.rows_of_folds", lambda *_: rows)
    assert objective_of(run, keras.Sequential())["loss"].counted == [2]
