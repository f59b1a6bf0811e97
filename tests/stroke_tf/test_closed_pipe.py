import io
import os
import signal
import sys
from dataclasses import dataclass

import pytest

from stroke_tf import cli, command
from stroke_tf.closed_pipe import outlive


@pytest.fixture(autouse=True)
def pipes_raise():
    """Has a closed pipe raise, as in any new process, whatever a library has made of that."""
    before = signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGPIPE, signal.SIG_IGN if before is None else before)


@dataclass(frozen=True)
class Settings:
    """Settings of a command that prints."""

    lines: int = 10_000


@pytest.fixture(params=[False, True], ids=["buffered", "unbuffered"])
def close(request, monkeypatch):
    """Makes output and errors as they are in `2>&1 | head`, after `head` has ended."""

    def close_both():  # in the test itself: before it, pytest sets both streams again
        reader, writer = os.pipe()
        os.close(reader)
        for name, number in {"stdout": writer, "stderr": os.dup(writer)}.items():
            raw = io.FileIO(number, "w")
            buffer = raw if request.param else io.BufferedWriter(raw)
            stream = io.TextIOWrapper(buffer, write_through=request.param)
            monkeypatch.setattr(sys, name, stream)

    return close_both


@pytest.mark.parametrize("args", [["--help"], ["cross-validate", "--help"]], ids=" ".join)
def test_help_ends_without_a_word_when_nobody_reads_it(args, close, monkeypatch):
    close()
    monkeypatch.setattr(sys, "argv", ["stroke-tf", *args])
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code
    sys.stdout.flush()


def test_work_is_done_to_the_end_when_nobody_reads_what_it_prints(close, monkeypatch, tmp_path):
    close()

    def main(settings):
        for number in range(settings.lines):
            print(number)
            print(number, file=sys.stderr)
        (tmp_path / "result").write_text("whole")
        return 0

    monkeypatch.setattr(sys, "argv", ["command"])
    with pytest.raises(SystemExit) as end:
        command.run(main, Settings, doc="Prints.")
    assert end.value.code == 0
    assert (tmp_path / "result").read_text() == "whole"
    sys.stdout.flush()


def test_what_is_read_stays_as_it_is(monkeypatch):
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.FileIO(writer, "w"), encoding="cp1254"))
    print("before")
    outlive()
    print("ığ")
    sys.stdout.flush()
    assert os.read(reader, 100).decode("cp1254") == "before\nığ\n"
    os.close(reader)


def test_streams_that_are_no_pipes_are_left(monkeypatch, tmp_path):
    with (tmp_path / "file").open("w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        monkeypatch.setattr(sys, "stderr", None)
        outlive()
        assert sys.stdout is file
        assert sys.stderr is None
