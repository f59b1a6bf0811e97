from dataclasses import replace

import pytest

from experiments import cross_validate, train_classifier, train_unet
from stroke_tf.auto import choose as chooser
from stroke_tf.command import parse
from stroke_tf.config import FitConfig
from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs import classifier, unet
from stroke_tf.runs.settings import ClassifierTraining, UnetTraining
from stroke_tf.tables.cross_settings import kind_of

CHOSEN = {"image_size": 96, "batch_size": 4, "fit": FitConfig(epochs=3, learning_rate=0.01)}


@pytest.fixture
def asked(monkeypatch):
    """Questions to the chooser: run, minutes and number of trainings, settings of the user."""
    questions = []

    def settled(run, *, minutes, set_by_user, trainings=1):
        questions.append((run, (minutes, trainings), set_by_user))
        return replace(run, **CHOSEN)

    monkeypatch.setattr(chooser, "settled", settled)
    return questions


@pytest.mark.parametrize(
    ("verb", "kind", "module", "name"),
    [
        (train_classifier, ClassifierTraining, classifier, "run_classifier"),
        (train_unet, UnetTraining, unet, "run_unet"),
    ],
)
@pytest.mark.parametrize("flag", ["--auto", "--minutes=12"])
def test_a_training_runs_with_what_is_chosen(
    verb, kind, module, name, flag, asked, monkeypatch, phantom_records, tmp_path
):
    trained = []

    def run(config, **_):
        trained.append(config)
        return RunMetrics("e", "r", 0, "clean", {}, 1, None, {}, 1.0, "")

    monkeypatch.setattr(module, name, run)
    flags = [flag, "--image-size", "96", "--out", str(tmp_path)]
    flags += ["--records", str(phantom_records[0])]
    assert verb.main(parse(kind, args=flags), args=flags) == 0
    ((base, minutes, own),) = asked
    assert (minutes, own) == ((12 if "12" in flag else None, 1), {"image_size"})
    assert trained == [replace(base, **CHOSEN)]


def test_without_the_flags_nothing_is_chosen(asked, monkeypatch, phantom_records, tmp_path):
    result = RunMetrics("e", "r", 0, "clean", {}, 1, None, {}, 1.0, "")
    monkeypatch.setattr(unet, "run_unet", lambda run, **_: result)
    flags = ["--records", str(phantom_records[0]), "--out", str(tmp_path)]
    assert train_unet.main(parse(UnetTraining, args=flags)) == 0
    assert asked == []


def test_several_hosts_cannot_be_measured():
    flags = ["--auto", "--hosts", "2"]
    with pytest.raises(ValueError, match="--auto must be left out where several hosts train"):
        train_unet.main(parse(UnetTraining, args=flags), args=flags)


def test_a_cross_validation_asks_for_its_first_part_and_shares_the_time(
    asked, monkeypatch, phantom_records, tmp_path
):
    tables = []
    monkeypatch.setattr(
        cross_validate, "run_table", lambda config, table, **_: tables.append(table) or 0
    )
    clean, _ = phantom_records
    flags = [str(clean), "--task", "segment", "--minutes", "60", "--batch-size", "4"]
    flags += ["--seeds", "0", "1", "--out", str(tmp_path)]
    assert cross_validate.main(parse(kind_of(flags), args=flags), args=flags) == 0
    ((first, minutes, own),) = asked
    assert (first.test_folds, first.val_folds) == ((0, 1), (2,))
    assert (first.experiment, first.row) == ("cv5-segment-mobilenetv2", "mobilenetv2")
    assert (minutes, own) == ((60, 10), {"batch_size"})
    (row,) = tables[0].rows.values()
    assert {name: getattr(row, name) for name in CHOSEN} == CHOSEN


def test_the_histogram_has_no_settings_to_choose(phantom_records):
    flags = [str(phantom_records[0]), "--model", "histogram", "--auto"]
    with pytest.raises(ValueError, match="--auto chooses the settings of networks"):
        cross_validate.main(parse(kind_of(flags), args=flags), args=flags)


@pytest.mark.parametrize("flag", ["--auto", "--minutes=12"])
def test_the_small_settings_of_a_smoke_run_are_not_chosen(flag, asked, phantom_records):
    flags = [str(phantom_records[0]), "--smoke", flag]
    with pytest.raises(ValueError, match="--smoke has small ones of its own: leave one out"):
        cross_validate.main(parse(kind_of(flags), args=flags), args=flags)
    assert asked == []
