import importlib.metadata

import pytest

from stroke_tf import doctor


def found(what):
    return next(finding for finding in doctor.findings() if finding.what == what)


def missing(package):
    raise importlib.metadata.PackageNotFoundError(package)


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


def test_a_required_package_that_is_missing_is_named(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert found("keras") == doctor.Finding("keras", "not installed", "make setup")


def test_advice_is_printed_as_it_is_to_be_typed(capsys):
    assert doctor.main(doctor.Doctor()) == 0
    assert "[and-cuda]" in "".join(capsys.readouterr().out.split())
