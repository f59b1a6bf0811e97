"""The wheel as users get it: built from the sdist, installed elsewhere, run from another folder."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PACKAGES = ("stroke_tf", "data_tools", "experiments")
FILES = ("setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt")
PREDICT = """
import sys
import keras
from stroke_tf.cli import main

images = keras.Input((32, 32, 3))
keras.Model(images, keras.layers.Conv2D(3, 1, activation="softmax")(images)).save("tiny.keras")
flags = ["--model", "tiny.keras", "--out", "predicted", "--json"]
sys.argv = ["stroke-tf", "predict", "scans", *flags]
main()
"""
NOT_INSTALLED = ("__pycache__", "*.md")


def run(*command, cwd):
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """The folder of an sdist and the wheel built from it, of a copy of the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in FILES:
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        ignore = shutil.ignore_patterns(*NOT_INSTALLED)
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    run(sys.executable, "-m", "build", "--no-isolation", cwd=source)
    return source / "dist"


@pytest.fixture(scope="module")
def wheel(dist):
    (path,) = dist.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def metadata(wheel):
    """The metadata of the wheel, checked by the rules of the registries."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
        return Metadata.from_email(archive.read(name), validate=True)


@pytest.fixture(scope="module")
def clean(wheel, tmp_path_factory):
    """An environment that has the wheel and, by a path, what it requires; not our checkout."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    run(*pip, wheel, cwd=folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "required.pth").write_text(sysconfig.get_path("purelib"))
    return folder


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    there = {path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file()}
    wanted = {path for path in there if path.suffix != ".md" and path.parent.name != "__pycache__"}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {path.relative_to(ROOT).as_posix() for path in wanted} - names == set()
    assert {"stroke_tf/py.typed", "stroke_tf/page.css"} <= names


def test_the_sdist_holds_what_its_manifest_names(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"constraints.txt", "setup.cfg", "stroke_tf/page.css"} <= names


def test_the_metadata_says_licence_python_and_extras(metadata):
    assert metadata.license == "MIT"
    assert metadata.description_content_type == "text/markdown"
    assert all(version in metadata.requires_python for version in ("3.11", "3.12", "3.13"))
    extras = {"bench", "dev", "dicom", "docs", "jax", "page", "runtime", "track"}
    assert extras <= set(metadata.provides_extra)


def test_make_setup_pins_what_it_asks_for_within_its_bounds(metadata):
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    pins = {canonicalize_name(name): version for name, version in pairs}
    asked = metadata.requires_dist
    wanted = [
        requirement
        for requirement in asked
        if not requirement.marker or requirement.marker.evaluate({"extra": "dev"})
    ]
    assert len(wanted) > 40
    for requirement in wanted:
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_the_installed_wheel_works_from_another_folder(clean, tmp_path):
    command, python = clean / "bin" / "stroke-tf", clean / "bin" / "python"
    assert "usage: stroke-tf VERB" in run(command, cwd=tmp_path)
    run(command, "phantom", "--out", "slices", "--patients", "3", "--size", "64", cwd=tmp_path)
    assert any((tmp_path / "slices").rglob("*.png"))
    code = "from stroke_tf import page; print(page.__file__, page.render_page('', '.', title='T'))"
    printed = run(python, "-c", code, cwd=tmp_path)
    assert printed.startswith(str(clean))
    assert (ROOT / "stroke_tf" / "page.css").read_text() in printed
    assert "--model" in run(command, "predict", "--help", cwd=tmp_path)
    (tmp_path / "slices" / "YarismaVeriSeti_2_Oturum" / "DICOM").rename(tmp_path / "scans")
    predicted = json.loads(run(python, "-c", PREDICT, cwd=tmp_path))
    assert predicted["slices"] == len(list((tmp_path / "scans").iterdir())) > 0
    assert (tmp_path / "predicted" / "report.html").is_file()


def test_the_image_copies_files_that_exist_and_docker_may_read():
    dockerfile = (ROOT / "Dockerfile").read_text()
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    names = {name for line in copied for name in line.split()}
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert names == {line.removeprefix("!") for line in allowed if line.startswith("!")}
    assert set(PACKAGES) < names
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_image_is_pinned_and_runs_as_an_ordinary_user():
    dockerfile = (ROOT / "Dockerfile").read_text()
    (tag,) = re.findall(r"^ARG PYTHON=(.+)$", dockerfile, re.MULTILINE)
    assert re.fullmatch(r"3\.1[1-3]\.\d+-slim-\w+", tag)
    assert re.findall(r"^USER (.+)$", dockerfile, re.MULTILINE) == ["1000:1000"]
    extras = re.search(r"^ARG EXTRAS=(.+)$", dockerfile, re.MULTILINE).group(1)
    for extra in extras.split(","):
        assert re.search(rf"^{extra} =$", (ROOT / "setup.cfg").read_text(), re.MULTILINE)
