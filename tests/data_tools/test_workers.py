import os
import signal

import pytest

from data_tools.workers import run_tasks


def square(number):
    return number * number


def fail_at_three(number):
    if number == 3:
        raise ValueError("three")
    return number


def kill_itself(number):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_task_is_done_once(jobs):
    assert sorted(run_tasks(square, iter(range(20)), jobs=jobs)) == [i * i for i in range(20)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_error_of_a_task_is_raised(jobs):
    with pytest.raises(ValueError, match="three"):
        list(run_tasks(fail_at_three, iter(range(20)), jobs=jobs))


def test_a_killed_worker_says_how_to_go_on():
    with pytest.raises(RuntimeError, match="fewer --jobs, and it continues"):
        list(run_tasks(kill_itself, iter(range(4)), jobs=2))
