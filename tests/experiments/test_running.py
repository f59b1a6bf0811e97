import pytest

from experiments.running import Split, run_command


def test_training_takes_all_other_folds():
    split = Split.holding_out(val=(8,), test=(9, "stage1"))
    assert split == Split(tuple(range(8)), (8,), (9, "stage1"))


@pytest.mark.parametrize(("val", "test"), [((9,), (9,)), ((), (9,)), ((8,), ()), (range(9), (9,))])
def test_folds_that_overlap_or_leave_none_are_refused(val, test):
    with pytest.raises(ValueError, match="validation and test folds must be different"):
        Split.holding_out(val=tuple(val), test=tuple(test))


def test_an_error_of_a_run_is_printed_without_traceback(tmp_path, capsys):
    def run():
        raise ValueError("`epochs` must be >= 1. Received: 0")

    assert run_command(run, out=tmp_path) == 1
    assert capsys.readouterr().err == "`epochs` must be >= 1. Received: 0\n"
