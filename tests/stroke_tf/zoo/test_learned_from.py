"""The patients that the shipped model learned from are not tested with its weights."""

import shutil
from pathlib import Path

import pytest

from stroke_tf.audits.run_audits import run_audits
from stroke_tf.audits.settings import AuditConfig
from stroke_tf.files import read_json, write_json
from stroke_tf.manifest import manifest_sha256
from stroke_tf.runs.classifier import run_classifier
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.zoo import learned_from
from stroke_tf.zoo.learned_from import check_not_learned_from
from stroke_tf.zoo.shipped import DEFAULT

REFUSED = f"must not have learned from .* Received: {DEFAULT}, which learned from ct-ich, and folds"


@pytest.fixture(scope="module")
def same_source(phantom_records, tmp_path_factory):
    """Phantom records that say that they are of the model's source."""
    folder = tmp_path_factory.mktemp("same") / "records"
    shutil.copytree(phantom_records[0], folder)
    manifest = folder / "manifest.json"
    write_json(manifest, {**read_json(manifest), "layout": "ct-ich"})
    return folder


@pytest.fixture
def made_of_them(same_source, monkeypatch):
    """The model's description, as if it had been made of these very records."""
    run = {"data_manifest_sha256": manifest_sha256(same_source), "split": {"test": [8, 9]}}
    monkeypatch.setattr(learned_from, "read_json", lambda path: {"trained_on": [run]})


def test_records_of_its_source_are_refused(same_source):
    with pytest.raises(ValueError, match=rf"{REFUSED} \[0, 1, .*imagenet"):
        check_not_learned_from(DEFAULT, same_source)
    with pytest.raises(ValueError, match=rf"{REFUSED} \[8, 9\]"):
        check_not_learned_from(DEFAULT, same_source, (8, 9))  # dealt otherwise


@pytest.mark.parametrize("weights", ["imagenet", None, "file.weights.h5"])
def test_other_weights_are_free(same_source, weights):
    check_not_learned_from(weights, same_source)


def test_records_of_another_source_are_free(phantom_records):
    check_not_learned_from(DEFAULT, phantom_records[0])


def test_folds_that_it_was_tested_on_itself_are_free_and_no_others(same_source, made_of_them):
    check_not_learned_from(DEFAULT, same_source, (8, 9))
    with pytest.raises(ValueError, match=rf"{REFUSED} \[7\]"):
        check_not_learned_from(DEFAULT, same_source, (7, 9))


def test_a_run_is_refused_before_its_folder_is_made(same_source, tmp_path):
    run = ClassifierRun(
        records=same_source, out=tmp_path, backbone="efficientnetlite0", weights=DEFAULT
    )
    with pytest.raises(ValueError, match=rf"{REFUSED} \[8, 9\]"):
        run_classifier(run)
    assert list(tmp_path.iterdir()) == []


def test_an_audit_is_refused_before_its_folder_is_made(same_source, tmp_path):
    out = tmp_path / "audit"
    with pytest.raises(ValueError, match=REFUSED):
        run_audits(AuditConfig(same_source, out=out, weights=DEFAULT))
    assert not Path(out).exists()
