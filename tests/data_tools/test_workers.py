import os
import signal
import subprocess
import sys

import pytest

from data_tools.workers import run_tasks
from stroke_tf.ctrl_c import CODE, STOPPED


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


# Of a command whose workers are at work: one of them presses Ctrl-C for the whole terminal.
STOPPED_AT_WORK = """
import os, signal, time
from data_tools.workers import run_tasks
from stroke_tf.ctrl_c import CODE, STOPPED
from stroke_tf import command

def press(number):
    if number == 3:
        os.killpg(0, signal.SIGINT)
        time.sleep(0.2)
    return number

if __name__ == "__main__":
    code = command.reported(lambda: len(list(run_tasks(press, iter(range(50)), jobs=2))))
    raise SystemExit(code)
"""


def test_ctrl_c_is_one_line_though_workers_run(tmp_path):
    path = tmp_path / "command.py"
    path.write_text(STOPPED_AT_WORK)
    done = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, start_new_session=True
    )
    assert (done.returncode, done.stderr) == (CODE, f"{STOPPED}\n")
