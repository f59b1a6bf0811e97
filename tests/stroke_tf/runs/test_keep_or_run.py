from dataclasses import replace

import pandas as pd
import pytest

from stroke_tf.config import FitConfig
from stroke_tf.files import read_json, write_json
from stroke_tf.runs.keep_or_run import Outcome, Split, folder_of, keep_or_run, show_run
from stroke_tf.runs.settings import ClassifierRun, UnetRun


def test_training_takes_all_other_folds():
    split = Split.holding_out(val=(8,), test=(9, "stage1"))
    assert split == Split(tuple(range(8)), (8,), (9, "stage1"))


@pytest.mark.parametrize(("val", "test"), [((9,), (9,)), ((), (9,)), ((8,), ()), (range(9), (9,))])
def test_folds_that_overlap_or_leave_none_are_refused(val, test):
    with pytest.raises(ValueError, match="validation and test folds must be different"):
        Split.holding_out(val=tuple(val), test=tuple(test))


def test_unused_folds_are_left_alone():
    run = ClassifierRun(val_folds=(1,), test_folds=(0,), unused_folds=(7, 8, 9))
    assert Split.of(run) == Split((2, 3, 4, 5, 6), (1,), (0,))
    with pytest.raises(ValueError, match=r"Received: .*test \[0\], unused \[0, 9\]"):
        Split.of(replace(run, unused_folds=(0, 9)))


def test_a_run_that_chooses_on_other_parts_has_no_validation():
    run = UnetRun(choose_on="other-parts", val_folds=(), test_folds=(0,), unused_folds=(1,))
    assert Split.of(run) == Split(tuple(range(2, 10)), (), (0,))
    assert Split.of(replace(run, test_folds=(), unused_folds=())) == Split(tuple(range(10)), (), ())
    with pytest.raises(ValueError, match="`val_folds` must be empty where `choose_on`"):
        Split.of(replace(run, val_folds=(2,)))


def test_a_run_of_an_older_version_had_the_defaults_of_younger_settings(tmp_path, phantom_records):
    config = UnetRun(records=phantom_records[0], out=tmp_path, row="r")
    done = Outcome(pd.DataFrame({"id": ["1"]}), {})
    keep_or_run(config, lambda run: done)
    path = folder_of(config).config
    older = {name: value for name, value in read_json(path).items() if name != "pasted_lesions"}
    write_json(path, older)
    assert keep_or_run(config, lambda run: pytest.fail("done already")).n == 1
    with pytest.raises(ValueError, match="Received others for: pasted_lesions"):
        keep_or_run(replace(config, pasted_lesions=0.5), lambda run: done)


def test_a_finished_run_is_kept_for_its_own_settings_and_data_only(
    phantom_records, tmp_path, caplog
):
    caplog.set_level("INFO")
    clean, published = phantom_records[:2]
    config = ClassifierRun(records=clean, out=tmp_path, row="r", weights="weights/a.h5")
    done = Outcome(pd.DataFrame({"id": ["1"]}), {}, files={"rule.json": {"a": 1}})
    assert keep_or_run(config, lambda run: done).n == 1
    assert keep_or_run(config, lambda run: pytest.fail("done already")).n == 1
    assert "r-s0 is done already: kept" in caplog.text
    for other, name in (
        (replace(config, fit=FitConfig(learning_rate=0.5)), "fit.learning_rate"),
        (replace(config, weights="b.h5"), "weights"),
        (replace(config, records=published), "data_manifest_sha256"),
    ):
        with pytest.raises(ValueError, match=f"Received others for: {name}"):
            keep_or_run(other, lambda run: done)


def test_scores_that_mean_little_are_shown_with_a_warning(phantom_records, tmp_path, capsys):
    config = ClassifierRun(records=phantom_records[0], out=tmp_path)
    predictions = pd.DataFrame({"id": ["1", "2"], "truth": [0, 1], "score": [0.5, 0.5]})
    result = keep_or_run(config, lambda run: Outcome(predictions, {}))
    assert show_run(result, out=tmp_path) == 0
    shown = capsys.readouterr().out
    assert "Beware: Only 1 of 2 test slices is of the class stroke" in shown
    assert "Beware: Every score is 0.5000" in shown
    assert shown.endswith(f"Kept in {folder_of(config).path}\n")


def test_a_setting_without_effect_is_told_before_the_work(phantom_records, tmp_path, caplog):
    config = ClassifierRun(
        records=phantom_records[0], out=tmp_path, training="frozen", fit=FitConfig(epochs=1)
    )

    def work(run):
        assert "--fit.epochs" in caplog.text
        return Outcome(pd.DataFrame({"id": ["1"]}), {})

    keep_or_run(config, work)


def test_a_run_whose_work_fails_is_not_done(phantom_records, tmp_path):
    config = ClassifierRun(records=phantom_records[0], out=tmp_path)

    def fail(run):
        raise FloatingPointError("no score")

    with pytest.raises(FloatingPointError):
        keep_or_run(config, fail)
    assert not folder_of(config).path.exists()
