"""The examples in the docstrings of the public names, where `records` and `results` are at hand."""

import doctest

import pytest
from finished_runs import tiny_network, write_run

import stroke_tf
from stroke_tf.runs.settings import ClassifierRun, UnetRun

WITHOUT = {"AUGMENTATIONS", "AugmentStrength", "BACKBONES", "FitConfig", "LOSSES", "StrokeType"}
WITHOUT |= {"Task", "segmentation_metrics"}  # settings and names; counted masks are scored at once


@pytest.fixture(scope="module")
def folder(phantom_records, tmp_path_factory):
    """A folder with records of phantoms and a finished run of each kind, tiny and untrained."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "records").symlink_to(phantom_records[0])
    shared = {"out": folder / "results", "records": folder / "records", "image_size": 32}
    point = {"operating_point.json": {"threshold": 0.5, "temperature": 1.0}}
    write_run(ClassifierRun(**shared), tiny_network("score"), threshold=0.5, files=point)
    write_run(UnetRun(**shared), tiny_network("mask"))
    return folder


@pytest.mark.parametrize("name", sorted({*stroke_tf.__all__} - WITHOUT))
def test_the_example_of_a_public_name_runs(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (test,) = doctest.DocTestFinder().find(getattr(stroke_tf, name), name, globs={})
    assert test.examples
    told = []
    doctest.DocTestRunner().run(test, out=told.append)
    assert "".join(told) == ""
