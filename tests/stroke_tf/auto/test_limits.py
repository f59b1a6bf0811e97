"""A whole training with `--auto` in a control group that may not take more memory than it says."""

import os
import re
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.files import read_json

GIB = 1 << 30
GROUPS = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Slices of 512 pixels whose lesions, 6 x 6 pixels, are not seen at less than 384."""
    folder = tmp_path_factory.mktemp("limits")
    area = slice(250, 256), slice(250, 256)
    tree = write_tree(folder / "tree", none=120, ischemia=40, hemorrhage=40, side=512, area=area)
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=512, jobs=2))
    return folder / "records"


@pytest.fixture
def group():
    """A new memory control group, of version 1 or 2; its own folder, and what it is limited by."""
    version_1 = GROUPS / "memory"
    root = version_1 if version_1.is_dir() else GROUPS
    folder = root / f"stroke-tf-{uuid.uuid4().hex[:8]}"
    limit = "memory.limit_in_bytes" if root == version_1 else "memory.max"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    if not (folder / limit).is_file():
        folder.rmdir()
        pytest.skip("control groups here do not limit memory")
    yield folder, limit
    while (folder / "cgroup.procs").read_text():  # helpers of the process end after it
        time.sleep(0.1)
    folder.rmdir()


@pytest.mark.slow
@pytest.mark.parametrize("gib", [4, 8, 24])
def test_a_training_stays_within_a_limit_that_is_really_set(records, tmp_path, group, gib):
    folder, limit = group
    (folder / limit).write_text(str(gib * GIB))
    flags = ["--records", records, "--out", tmp_path, "--auto", "--fit.epochs", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "stroke_tf", "train-unet", *flags, "--weights", "None"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: (folder / "cgroup.procs").write_text(str(os.getpid())),
    )
    assert done.returncode == 0, done.stderr
    chosen = read_json(tmp_path / "unet" / "auto-mobilenetv2.json")
    assert chosen["memory"] <= gib * GIB
    assert _kills(folder) == 0
    print(gib, "GiB:", _most(folder) / GIB, [reason["value"] for reason in chosen["reasons"]])
    config = read_json(tmp_path / "unet" / "mobilenetv2-s0" / "config.json")
    assert config["fit"]["epochs"] == 1
    assert [config[reason["name"]] for reason in chosen["reasons"][:2]] == [
        reason["value"] for reason in chosen["reasons"][:2]
    ]


def _kills(folder):
    """Returns how many processes of a group were killed for want of memory."""
    names = ("memory.events", "memory.oom_control")
    text = "".join((folder / name).read_text() for name in names if (folder / name).is_file())
    return int(re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)[1])


def _most(folder):
    """Returns the most bytes that a group took, files that the system kept in memory included."""
    names = ("memory.peak", "memory.max_usage_in_bytes")
    return int(next((folder / name).read_text() for name in names if (folder / name).is_file()))
