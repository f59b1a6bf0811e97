import subprocess
import sys

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
