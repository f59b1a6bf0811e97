import multiprocessing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from stroke_tf.files import (
    flat,
    locked,
    plain,
    read_json,
    replacing,
    replacing_folder,
    without_folders,
    write_bytes,
    write_json,
    write_text,
)
from stroke_tf.labels import StrokeType


@dataclass(frozen=True)
class Pair:
    path: Path
    kind: StrokeType


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_temporary_file_keeps_the_suffix_and_can_lie_elsewhere(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with replacing(tmp_path / "a.keras", scratch=scratch, sync=True) as temporary:
        assert temporary.suffix == ".keras"
        assert temporary.parent == scratch
        temporary.write_bytes(b"whole")
    assert (tmp_path / "a.keras").read_bytes() == b"whole"


def test_a_block_that_writes_nothing_leaves_what_was_there(tmp_path):
    write_bytes(tmp_path / "a", b"old")
    with replacing(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match="a.bin"), replacing(tmp_path / "a.bin"):
        raise OSError(28, "No space left on device")


def test_json_holds_plain_values_and_no_absolute_path(tmp_path):
    write_json(tmp_path / "a.json", {"pair": Pair(Path("/secret/x.h5"), StrokeType.NONE), 1: (2,)})
    assert read_json(tmp_path / "a.json") == {"pair": {"path": "x.h5", "kind": 0}, "1": [2]}
    assert plain(np.float32(0.5)) == 0.5


def test_a_number_that_json_has_not_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"score": float("nan")})
    assert not list(tmp_path.iterdir())


def test_text_that_is_no_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="a.json must be JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "/elsewhere/records must hold gray8. Received: hu16",
            "records must hold gray8. Received: hu16",
        ),
        ("/elsewhere/a-s0/x.json: 24/32", "x.json: 24/32"),
        ("no such file: '/elsewhere/my data/w.h5' (/other/x/)", "no such file: 'my data/w.h5' (x)"),
        ("[/a/b, /a/c] and /a/d.", "[b, c] and d."),
        ("--out=/elsewhere/out", "--out=out"),
        ("results/a/b, ../a/b, ./a, ~/a/b", "results/a/b, ../a/b, ./a, ~/a/b"),
        ("see https://example.org/page / other", "see https://example.org/page / other"),
    ],
)
def test_a_text_is_shown_without_folders(text, shown):
    assert without_folders(text) == shown


def test_nested_keys_are_joined():
    assert flat({"a": {"b": 1, "c": {"d": 2}}, "e": {}}) == {"a.b": 1, "a.c.d": 2, "e": {}}


def _hold(folder, pipe):
    with locked(folder):
        pipe.send("held")
        pipe.recv()


def test_a_folder_is_open_in_one_process_until_that_ends(tmp_path):
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("forkserver").Process(
        target=_hold, args=(tmp_path, there)
    )
    process.start()
    assert here.recv() == "held"
    with pytest.raises(RuntimeError, match="must not be open in another process"), locked(tmp_path):
        pass
    process.kill()
    process.join()
    with locked(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_folder_is_whole_or_not_there(tmp_path):
    out = tmp_path / "new" / "out"
    with pytest.raises(RuntimeError), replacing_folder(out) as folder:
        (folder / "half.txt").write_text("half")
        raise RuntimeError
    assert list(out.parent.iterdir()) == []
    out.mkdir()  # an empty one gives way
    with replacing_folder(out) as folder:
        (folder / "whole.txt").write_text("whole")
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert (out / "whole.txt").read_text() == "whole"
    with pytest.raises(ValueError, match="must be new or empty"), replacing_folder(out):
        pass
