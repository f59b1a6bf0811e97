from dataclasses import replace

import pytest

from stroke_tf.config import FitConfig
from stroke_tf.runs.keep_or_run import (
    Outcome,
    Split,
    finished,
    folder_of,
    open_run,
    run_command,
)
from stroke_tf.runs.settings import ClassifierRun


def test_training_takes_all_other_folds():
    split = Split.holding_out(val=(8,), test=(9, "stage1"))
    assert split == Split(tuple(range(8)), (8,), (9, "stage1"))


@pytest.mark.parametrize(("val", "test"), [((9,), (9,)), ((), (9,)), ((8,), ()), (range(9), (9,))])
def test_folds_that_overlap_or_leave_none_are_refused(val, test):
    with pytest.raises(ValueError, match="validation and test folds must be different"):
        Split.holding_out(val=tuple(val), test=tuple(test))


def test_a_finished_run_is_kept_for_its_own_settings_and_data_only(phantom_records, tmp_path):
    clean, published = phantom_records[:2]
    config = ClassifierRun(records=clean, out=tmp_path, row="r", weights="weights/a.h5")
    folder = folder_of(config)
    assert finished(folder, config) is None
    split = Split.holding_out(val=(8,), test=(9,))
    with open_run(folder, config, records=clean, split=split) as run:
        run.outcome = Outcome(n=1, threshold=0.5, metrics={})
    assert finished(folder, config).n == 1
    for other, name in (
        (replace(config, fit=FitConfig(learning_rate=0.5)), "fit.learning_rate"),
        (replace(config, weights="b.h5"), "weights"),
        (replace(config, records=published), "data_manifest_sha256"),
    ):
        with pytest.raises(ValueError, match=f"Received others for: {name}"):
            finished(folder, other)


def test_an_error_of_a_run_is_printed_without_traceback(tmp_path, capsys):
    def run():
        raise ValueError("`epochs` must be >= 1. Received: 0")

    assert run_command(run, out=tmp_path) == 1
    assert capsys.readouterr().err == "`epochs` must be >= 1. Received: 0\n"
