import os
import signal

import pytest

from stroke_tf.reproduce.own_process import in_own_process


def divide(number, by):
    print("not to be seen")
    if not by:
        raise ValueError("`by` must not be 0\nand more")
    return number / by, os.getpid()


def die(number):
    os.kill(os.getpid(), number)


def test_the_result_comes_from_another_process(capfd):
    result, process = in_own_process(divide, 6, 2)
    assert result == 3
    assert process != os.getpid()
    assert "not to be seen" not in capfd.readouterr().out


def test_what_fails_says_why_in_a_line():
    with pytest.raises(RuntimeError, match="^`by` must not be 0$"):
        in_own_process(divide, 6, 0)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (signal.SIGKILL, "its process was killed, perhaps for want of memory"),
        (signal.SIGTERM, "its process ended with exit code -15"),
    ],
)
def test_a_process_that_is_killed_is_told_of(number, message):
    with pytest.raises(RuntimeError, match=message):
        in_own_process(die, number)
