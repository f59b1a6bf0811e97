import subprocess
import sys

import psutil
import pytest

from stroke_tf import machine

FAULTS = """
import resource, sys
import numpy as np
from stroke_tf.machine import reuse_memory
if sys.argv[1] == "kept":
    reuse_memory(1 << 30)
np.ones(2 << 20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    np.ones(2 << 20)  # 16 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is of glibc")
def test_freed_memory_is_taken_again():
    faults = {
        way: int(subprocess.run([sys.executable, "-c", FAULTS, way], capture_output=True).stdout)
        for way in ("kept", "given back")
    }
    assert faults["kept"] < faults["given back"] / 10


def test_env_reads_devices_only_from_an_imported_tensorflow(monkeypatch):
    class Device:
        device_type = "GPU"

    class Config:
        class experimental:
            get_device_details = staticmethod(
                lambda device: {"device_name": "A100"} if device is gpu else {}
            )

        list_physical_devices = staticmethod(lambda kind: [gpu, other])

    class TensorFlow:
        config = Config

    gpu, other = Device(), Device()
    monkeypatch.setitem(sys.modules, "tensorflow", TensorFlow)
    assert machine.describe_environment("ab")["devices"] == ["A100", "GPU"]
    monkeypatch.delitem(sys.modules, "tensorflow")
    assert machine.describe_environment("ab")["devices"] is None


def _git(folder, *arguments):
    identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    code = tmp_path / "checkout" / "stroke_tf"
    code.mkdir(parents=True)
    (code / "x.py").write_text("1\n")
    _git(code.parent, "init", "-q")
    _git(code.parent, "add", ".")
    _git(code.parent, "commit", "-q", "-m", "x")
    monkeypatch.setattr(machine, "_PACKAGE_ROOT", code.parent.resolve())
    return code.parent


def test_env_names_the_commit_and_whether_code_was_changed(checkout):
    commit = _git(checkout, "rev-parse", "HEAD")
    (checkout / "notes.txt").write_text("not code")
    assert machine.describe_environment("ab")["git"] == {"commit": commit, "dirty": False}
    (checkout / "stroke_tf" / "x.py").write_text("2\n")
    assert machine.describe_environment("ab")["git"] == {"commit": commit, "dirty": True}


def test_env_has_no_commit_when_installed_inside_a_checkout_of_something_else(
    checkout, monkeypatch
):
    monkeypatch.setattr(machine, "_PACKAGE_ROOT", (checkout / "stroke_tf").resolve())
    assert machine.describe_environment("ab")["git"] is None


def test_env_has_no_commit_outside_a_checkout(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_PACKAGE_ROOT", tmp_path)
    assert machine.describe_environment("ab")["git"] is None


def test_env_does_without_an_installed_package(monkeypatch):
    def missing(name):
        raise machine.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(machine.importlib.metadata, "version", missing)
    assert machine.describe_environment("ab")["packages"] == {}


def write_group(folder, names, *, limit, used, stat):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip((*names, "memory.stat"), (limit, used, stat), strict=True):
        (folder / name).write_text(f"{text}\n")


V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes")
V2 = ("memory.max", "memory.current")


def test_each_control_group_of_version_2_from_the_process_upwards_is_a_limit(tmp_path):
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("0::/pod/box\n")
    write_group(root / "pod" / "box", V2, limit="max", used=7, stat="anon 7")
    stat = "anon 5\ninactive_file 10\nactive_file 20\nshmem 3"
    write_group(root / "pod", V2, limit=4096, used=100, stat=stat)
    assert machine.control_group_limits(groups, root) == [(4096, 70)]


def test_a_control_group_of_version_1_counts_what_the_groups_inside_keep_of_files(tmp_path):
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text("9:cpu:/elsewhere\n4:memory:/box\n")
    stat = "inactive_file 1\nactive_file 2\ntotal_inactive_file 10\ntotal_active_file 20"
    write_group(root / "memory" / "box", V1, limit=4096, used=100, stat=stat)
    assert machine.control_group_limits(groups, root) == [(4096, 70)]


@pytest.mark.parametrize(
    ("line", "folder", "names"), [("0::/", "", V2), ("3:memory:/", "memory", V1)]
)
def test_a_container_finds_its_limit_at_the_root_whatever_its_path_is_outside(
    tmp_path, line, folder, names
):
    groups, root = tmp_path / "cgroup", tmp_path / "fs"
    groups.write_text(f"{line}docker/0123\n")
    write_group(root / folder, names, limit=4096, used=100, stat="cache 0")
    assert machine.control_group_limits(groups, root) == [(4096, 100)]


def test_without_control_groups_there_is_no_limit_of_them(tmp_path):
    assert machine.control_group_limits(tmp_path / "none", tmp_path) == []


LIMITED = """
import resource
from stroke_tf.machine import available_memory, memory_limit, peak_memory
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
before = available_memory()
block = bytearray(100 << 20)
print(memory_limit(), before - available_memory(), peak_memory())
"""


def test_a_limit_of_the_process_is_kept_to_and_what_it_takes_is_counted():
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, check=True)
    limit, taken, peak = (int(number) for number in done.stdout.split())
    assert limit == 1 << 30
    assert 100 << 20 <= taken < 110 << 20
    assert 100 << 20 < peak < 300 << 20


def test_the_machine_is_the_limit_where_there_is_no_other():
    assert 0 < machine.available_memory() < machine.memory_limit()
    assert machine.memory_limit() <= psutil.virtual_memory().total
