import importlib.metadata
import json

import pytest

from stroke_tf import doctor
from stroke_tf.imagenet_files import BACKBONE_FILES


def found(what):
    return next(finding for finding in doctor.findings() if finding.what == what)


def missing(package):
    raise importlib.metadata.PackageNotFoundError(package)


BROKEN = "No module named 'keras': install the package anew, "


def broken():
    yield doctor.Finding("system", "Linux")
    raise ImportError("No module named 'keras'")


@pytest.fixture
def cpu(monkeypatch):
    """Says what the processor can do."""
    return lambda *flags: monkeypatch.setattr(doctor, "cpu_flags", lambda: frozenset(flags))


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("avx2",), "AVX2"),
        (("avx2", "avx512f", "amx_tile"), "AVX2, AVX-512, AMX"),
        ((), "not known"),
    ],
)
def test_what_the_processor_can_do_is_said(flags, named, cpu):
    cpu(*flags)
    assert found("processor").found.endswith(f"cores: {named}")


@pytest.mark.parametrize(
    ("value", "said"),
    [("1", "on"), ("0", "off, by TF_ENABLE_ONEDNN_OPTS=0"), (None, "as TensorFlow chooses")],
)
def test_onednn_is_said_to_be_what_it_was_set_to(value, said, monkeypatch):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if value is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", value)
    assert found("oneDNN").found.startswith(said)


def test_what_is_switched_off_is_said_to_be(monkeypatch):
    monkeypatch.setenv("STROKE_TF_FAST", "0")
    assert "STROKE_TF_FAST=0" in found("training").found
    assert found("predictions").found == "Keras on TensorFlow"


@pytest.mark.parametrize(
    ("package", "extra"),
    [
        *[("openvino", "runtime"), ("onnxruntime", "runtime"), ("ai-edge-litert", "runtime")],
        *[("highdicom", "dicom"), ("gradio", "page"), ("mlflow-skinny", "track"), ("jax", "jax")],
    ],
)
def test_an_extra_that_is_missing_is_named_with_its_use_and_how_to_get_it(
    package, extra, monkeypatch
):
    installed = found(package).found
    assert installed.startswith(importlib.metadata.version(package))
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert found(package).found == f"not installed: {installed.partition(': ')[2]}"
    assert found(package).advice == f"pip install 'stroke_tf[{extra}]'"


class Installed:
    """This package as pip has installed it: from a file, a folder (`dir_info`) or an index."""

    def __init__(self, url=None, **more):
        self.origin = json.dumps({"url": url, **more}) if url else None

    def read_text(self, name):
        assert name == "direct_url.json"
        return self.origin


@pytest.fixture
def no_clone(monkeypatch, tmp_path):
    """Moves the package out of its clone."""
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "stroke_tf" / "doctor.py"))


@pytest.fixture
def versions(monkeypatch):
    """Says which versions of packages are installed, None for none."""
    installed = importlib.metadata.version

    def say(**those):
        def version(name):
            known = those.get(name.replace("-", "_"), "")
            return missing(name) if known is None else known or installed(name)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return say


def test_a_required_package_that_is_missing_is_a_fault(versions):
    versions(keras=None, isal=None)
    for package in ("keras", "isal"):
        assert found(package) == doctor.Finding(
            package, "not installed", "make -B setup", is_fault=True
        )
    assert doctor.main(doctor.Doctor()) == 1


def test_a_required_package_of_another_version_is_a_fault(versions, capsys):
    versions(numpy="1.26.4", keras_tuner="1.4.7")
    assert found("numpy") == doctor.Finding("numpy", "1.26.4", "make -B setup", ">=2", True)
    assert found("keras-tuner").wanted == "==1.4.8"
    assert doctor.main(doctor.Doctor()) == 1
    assert "1.26.4, must be >=2" in capsys.readouterr().out


def test_a_required_package_that_fits_is_no_fault():
    shown = [finding.what for finding in doctor.findings()]
    assert found("numpy") == doctor.Finding("numpy", importlib.metadata.version("numpy"))
    assert "scipy" not in shown and "ruff" not in shown


def test_without_a_clone_the_advice_is_of_pip(versions, no_clone):
    versions(numpy="1.26.4", keras=None)
    assert found("numpy").advice == "pip install 'numpy>=2'"
    assert found("keras").advice.startswith("pip install 'keras>=3")


@pytest.mark.parametrize(
    ("came", "named"),
    [
        (
            Installed("file:///home/me/stroke_tf-0.1.0%2Bcpu-py3-none-any.whl", archive_info={}),
            "stroke_tf-0.1.0+cpu-py3-none-any.whl",
        ),
        (Installed("file:///home/me/stroke", dir_info={}), "."),
        (Installed(), "stroke_tf"),
    ],
)
def test_what_cannot_be_loaded_is_installed_anew_from_where_it_came(
    came, named, no_clone, monkeypatch, capsys
):
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: came)
    monkeypatch.setattr(doctor, "findings", broken)
    assert doctor.main(doctor.Doctor()) == 1
    assert capsys.readouterr().err == f"{BROKEN}`pip install --force-reinstall {named}`\n"


def test_in_a_clone_a_package_that_cannot_be_loaded_is_for_make(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "findings", broken)
    assert doctor.main(doctor.Doctor()) == 1
    assert capsys.readouterr().err == BROKEN + "`make -B setup`\n"


def test_findings_are_a_list_as_json(versions, capsys):
    versions(numpy="1.26.4")
    assert doctor.main(doctor.Doctor(json=True)) == 1
    listed = json.loads(capsys.readouterr().out)
    (numpy,) = (finding for finding in listed if finding["what"] == "numpy")
    assert numpy == {
        "what": "numpy",
        "found": "1.26.4",
        "advice": "make -B setup",
        "wanted": ">=2",
        "is_fault": True,
    }


def test_advice_is_printed_as_it_is_to_be_typed(capsys):
    assert doctor.main(doctor.Doctor()) == 0
    assert "[and-cuda]" in "".join(capsys.readouterr().out.split())


def test_disk_weights_and_own_variables_are_said(monkeypatch, tmp_path):
    monkeypatch.setattr("stroke_tf.imagenet_files.keras_folder", lambda: tmp_path)
    (tmp_path / BACKBONE_FILES["vgg16"].name).write_bytes(b"weights")
    monkeypatch.setenv("STROKE_TF_WEIGHTS", str(tmp_path / "none"))
    monkeypatch.setenv("STROKE_TF_OPEN_DATA", str(tmp_path))
    monkeypatch.setenv("STROKE_TF_FAST", "0")
    told = {}
    for finding in doctor.findings():
        told[finding.what] = finding
        if finding.what == "STROKE_TF_WEIGHTS":
            break
    assert told["disk"].found.endswith("GiB free here")
    missing = len(BACKBONE_FILES) - 1
    assert told["ImageNet weights"].found == f"of vgg16; {missing} missing"
    assert "stroke-tf weights get NAME" in told["ImageNet weights"].advice
    assert told["ct-ich-haemorrhage"].found == "there, without a download"
    assert told["STROKE_TF_FAST"].found == "0"
    assert told["STROKE_TF_OPEN_DATA"].found == "names a folder"
    assert told["STROKE_TF_WEIGHTS"].is_fault
    assert told["STROKE_TF_WEIGHTS"].found == "names no folder"
    assert not any(str(tmp_path) in finding.found for finding in told.values())
