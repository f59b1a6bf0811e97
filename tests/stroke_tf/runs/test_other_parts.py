"""Parts of a cross-validation that choose their rules on each other, and a network of all folds."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from finished_runs import tiny_network

from stroke_tf.config import FitConfig
from stroke_tf.deploy.card import model_card
from stroke_tf.deploy.sources import read_source
from stroke_tf.evaluation.mask_rule import RuleCounts
from stroke_tf.files import read_json
from stroke_tf.inference.predict import (
    Predictor,
    Unseen,
    chosen,
    drawn_batches,
    unseen_answers,
)
from stroke_tf.inference.slice_numbers import SliceNumbers
from stroke_tf.labels import MASK
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.reporting.report import write_report
from stroke_tf.run_folder import read_metrics
from stroke_tf.runs import other_parts, unet
from stroke_tf.runs.best_epoch import best_epoch
from stroke_tf.runs.cross_validation import cross_validate
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.on_all import run_on_all
from stroke_tf.runs.other_parts import answers_of_parts, without_rules
from stroke_tf.runs.parts import parts_of
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import (
    CHOSEN_ON_NAME,
    dataset_of,
    read_detector,
    read_mask_rule,
    run_unet,
)
from stroke_tf.tables.run_table import run_row

ALL = tuple(range(10))


def tiny(*, image_size, seed, **options):
    return tiny_network("mask", seed=seed, size=image_size)


@pytest.fixture(scope="module", autouse=True)
def tiny_networks():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTERS, "composed", tiny)
        yield


@pytest.fixture(scope="module")
def row(phantom_records, tmp_path_factory):
    """A row whose parts choose on each other."""
    return UnetRun(
        records=phantom_records[0],
        out=tmp_path_factory.mktemp("results"),
        row="mine",
        weights=None,
        architecture="composed",
        image_size=32,
        batch_size=32,
        augment=False,
        negatives_per_positive=0.5,
        choose_on="other-parts",
        val_folds=(),
        score="mask",
        mask_score="regression",
        smooth_slices=1.0,
        tune_mask=True,
        fit=FitConfig(epochs=2, learning_rate=0.01, patience=1, seed=3),
    )


@pytest.fixture(scope="module")
def tested(row):
    """Its cross-validation in two parts."""
    return cross_validate(row, run_row, parts=2)


def test_each_part_learns_from_all_folds_but_those_of_its_test(row, tested):
    assert tested.frame["part"].nunique() == 2
    for part in parts_of(row, 2):
        split = read_metrics(folder_of(part).metrics).split
        assert split["val"] == ()
        assert sorted([*split["train"], *split["test"]]) == list(ALL)
        (history,) = folder_of(part).histories().values()
        assert len(history) == 2
        assert not [name for name in history if name.startswith("val_")]
        assert best_epoch(part)["train_loss"].value == history["loss"].iloc[-1]


def test_rules_are_chosen_on_what_the_other_networks_say_of_their_test_slices(row, tested):
    first, second = parts_of(row, 2)
    network = keras.models.load_model(folder_of(second).model, compile=False)
    answers = unseen_answers(
        Predictor(network),
        dataset_of(second, second.test_folds, with_ids=True),
        tune_mask=True,
        score="regression",
        smooth_slices=1.0,
    )
    rule, detector = chosen([answers], of_series=True)
    folder = folder_of(first).path
    assert read_mask_rule(folder) == rule
    kept = read_detector(folder)
    np.testing.assert_allclose(kept.score.coefficients, detector.score.coefficients, rtol=1e-3)
    assert kept.point.threshold == pytest.approx(detector.point.threshold, rel=1e-3)
    told = read_json(folder / CHOSEN_ON_NAME)
    assert told == {"mine-part1-without-rules": list(second.test_folds)}


def test_several_answers_count_together(row, tested):
    configs = parts_of(row, 2)
    answers = [done.answers for done in answers_of_parts(configs, run_unet)]
    rules, numbers = RuleCounts(), SliceNumbers("regression")
    for config in configs:
        network = keras.models.load_model(folder_of(config).model, compile=False)
        slices = dataset_of(config, config.test_folds, with_ids=True)
        for batch, outputs in drawn_batches(Predictor(network), slices, smooth_slices=1.0):
            rules.add(batch.labels, outputs[MASK])
            numbers.add(batch, outputs[MASK])
    rule, detector = chosen(answers, of_series=True)
    expected = chosen([Unseen(rules, numbers)], of_series=True)
    assert rule == expected[0]
    found = [one.score.coefficients for one in (detector, expected[1])]
    np.testing.assert_allclose(*found, rtol=1e-3)
    assert len(np.concatenate([one.numbers.truth for one in answers])) == len(tested.frame)


def test_the_other_parts_answer_as_the_run_is_tested(row, tested):
    (part, _) = parts_of(row, 2)
    plain, mirrored = (
        unet.answered(part, like=replace(part, mirror_test=mirror)).answers.rules.drawn
        for mirror in (False, True)
    )
    assert not np.array_equal(plain, mirrored)


def test_finished_parts_answer_without_the_runs_that_trained_them(row, tested, monkeypatch):
    monkeypatch.setattr(unet, "fit", None)
    own = [done.row for done in answers_of_parts(parts_of(row, 2), run_unet)]
    assert own == ["mine-part0", "mine-part1"]


@pytest.mark.slow
def test_rows_of_another_test_share_the_trainings(row, tested, monkeypatch):
    monkeypatch.setattr(unet, "fit", None)
    again = cross_validate(
        replace(row, row="another", mask_score="top", smooth_slices=0.0), run_unet, parts=2
    )
    assert len(again.frame) == len(tested.frame)
    assert not again.frame["score"].equals(tested.frame["score"])


def test_a_finished_cross_validation_answers_nothing_again(row, tested, monkeypatch):
    monkeypatch.setattr(other_parts, "answered", None)
    monkeypatch.setattr(unet, "segment_slices", None)
    again = cross_validate(row, run_unet, parts=2)
    assert again.frame.equals(tested.frame)


@pytest.mark.slow
def test_without_rules_parts_are_plain_runs(row, tested, monkeypatch):
    monkeypatch.setattr(other_parts, "answered", None)
    plain = replace(without_rules(row), row="plain")
    assert len(cross_validate(plain, run_unet, parts=2).frame) == len(tested.frame)


def test_a_network_of_all_folds_is_told_by_the_cross_validation(row, tested):
    whole = replace(row, row="whole")
    result = run_on_all(whole, tested, lambda: answers_of_parts(parts_of(row, 2), run_unet))
    assert result.split == {"train": ALL, "val": (), "test": ()}
    assert result.n == len(tested.frame)
    assert result.metrics["lesion_dice"] == tested.metrics(seed=3)["lesion_dice"]
    assert result.metrics["roc_auc"] == tested.detections().metrics(seed=3)["roc_auc"]
    folder = folder_of(whole).path
    assert set(read_json(folder / CHOSEN_ON_NAME)) == {"mine-part0", "mine-part1"}
    card = model_card(read_source(folder).description, is_licensed=False)
    assert f"{result.n} slices, each by a network of the same settings that had not" in card
    again = run_on_all(whole, tested, lambda: pytest.fail("done already"))
    assert again == read_metrics(folder / "metrics.json")


def test_nothing_is_chosen_by_a_run_alone(row, tmp_path):
    (part, other) = parts_of(replace(row, out=tmp_path), 2)
    with pytest.raises(ValueError, match="needs a cross-validation, .* Received: a run alone"):
        run_unet(part)
    with pytest.raises(ValueError, match=r"`val_folds` must be empty .* Received: \[8\]"):
        run_unet(replace(without_rules(part), val_folds=(8,)))
    (answers, _) = answers_of_parts(parts_of(row, 2), run_unet)
    with pytest.raises(ValueError, match=r"no test fold of the run. Received: folds \[0, 1, 2"):
        run_unet(part, chosen_on=[answers])
    with pytest.raises(ValueError, match="`test_folds` must name folds. Received: none"):
        run_unet(replace(without_rules(part), test_folds=()))
    with pytest.raises(ValueError, match="something to choose. Received: validation"):
        run_unet(replace(part, choose_on="validation", val_folds=(8,)), chosen_on=[answers])
    assert not [*tmp_path.rglob("model.keras")]


def test_a_series_that_is_not_known_is_told_before_a_training(row, phantom_records, tmp_path):
    published = replace(row, records=phantom_records[1], out=tmp_path)
    with pytest.raises(ValueError, match="`in_series` needs records of known patients"):
        cross_validate(published, run_unet, parts=2)
    assert not [*tmp_path.rglob("history.csv")]


def test_a_report_has_no_command_for_a_part_alone(row, tested):
    text = write_report(row.out, "unet", title="unet").read_text()
    assert "mine-part0" in text
    assert "The same training again" not in text
