import signal
import subprocess
import sys
import threading

import pytest

from stroke_tf.ctrl_c import CODE, STOPPED, held, left_to_this_process

pytestmark = pytest.mark.usefixtures("ctrl_c_interrupts")
IGNORES = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"
ASKED = [sys.executable, "-c", IGNORES]


@pytest.fixture
def ctrl_c_interrupts():
    """Has Ctrl-C raise, whatever the tests before have made of it: it could end this process."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)


def press():
    signal.raise_signal(signal.SIGINT)


def test_processes_started_meanwhile_leave_ctrl_c_to_this_one():
    before = signal.getsignal(signal.SIGINT)
    with left_to_this_process():
        inside = subprocess.run(ASKED, capture_output=True, text=True)
    after = subprocess.run(ASKED, capture_output=True, text=True)
    assert (inside.stdout, after.stdout) == ("True\n", "False\n")
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_waits_for_the_end_of_a_block():
    done = []
    with pytest.raises(KeyboardInterrupt), held():
        press()
        done.append("all of it")
    assert done == ["all of it"]
    with pytest.raises(KeyboardInterrupt):
        press()


@pytest.mark.parametrize("block", [held, left_to_this_process])
def test_other_threads_change_no_signal(block):
    seen = []

    def look():
        with block():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_ctrl_c_while_a_verb_is_imported_is_one_line():
    # The interrupt of the import itself: its time is not left to chance.
    script = (
        "import signal, sys\n"
        "class Press:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'data_tools.options':\n"
        "            signal.raise_signal(signal.SIGINT)\n"
        "sys.meta_path.insert(0, Press())\n"
        "sys.argv = ['stroke-tf', 'convert', '--help']\n"
        "from stroke_tf import cli\n"
        "cli.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (CODE, "", f"{STOPPED}\n")
