"""Fixtures of the tests of the package."""

import dataclasses

import pytest


@pytest.fixture(autouse=True, scope="session")
def few_resamples_of_parts(few_resamples):
    """Draws 50 resamples for an interval of a cross-validation."""
    from stroke_tf.runs.cross_validation import CrossValidated, CrossValidatedMasks

    with pytest.MonkeyPatch.context() as patch:
        for kind in (CrossValidated, CrossValidatedMasks):
            for function in (kind.metrics, kind.gain_over):
                patch.setitem(function.__kwdefaults__, "resamples", 50)
        yield


@pytest.fixture(scope="session")
def tiny_shipped(tmp_path_factory):
    """The ZOO entry of a tiny model that is made like the shipped one."""
    from shipped import write_shipped

    return write_shipped(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def shipped(tiny_shipped, monkeypatch):
    """The same, in the place of the shipped model."""
    from stroke_tf.zoo.shipped import DEFAULT, ZOO

    monkeypatch.setitem(ZOO, DEFAULT, tiny_shipped)
    return tiny_shipped


@pytest.fixture
def not_shipped(monkeypatch, tmp_path):
    """An installation without the shipped model."""
    from stroke_tf.zoo.shipped import DEFAULT, ZOO

    gone = dataclasses.replace(ZOO[DEFAULT], folder=tmp_path / "gone")
    monkeypatch.setitem(ZOO, DEFAULT, gone)
    return gone
