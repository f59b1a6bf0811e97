"""Runs that differ in how they are tested share one training."""

import shutil
from dataclasses import replace

import pandas as pd
import pytest
from finished_runs import tiny_network

from stroke_tf.config import FitConfig
from stroke_tf.files import read_json
from stroke_tf.manifest import manifest_sha256
from stroke_tf.models.segmenters import SEGMENTERS
from stroke_tf.runs import unet
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.same_training import TRAINED_IN_NAME, take_over_training
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import run_unet


@pytest.fixture(scope="module")
def first(phantom_records, tmp_path_factory):
    """The settings of a finished run, and its result."""
    config = UnetRun(
        records=phantom_records[0],
        out=tmp_path_factory.mktemp("results"),
        experiment="shared",
        row="first",
        weights=None,
        architecture="composed",
        image_size=96,
        batch_size=16,
        score="mask",
        val_folds=(6, 7),
        test_folds=(8, 9),
        fit=FitConfig(epochs=1, learning_rate=0.01),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SEGMENTERS, "composed", tiny)
        return config, run_unet(config)


def tiny(*, image_size, seed, **options):
    return tiny_network("mask", seed=seed, size=image_size)


@pytest.fixture
def another(first, tmp_path, monkeypatch):
    """The first run in a folder of results of its own, and the epochs trained there after it."""
    config, result = first
    shutil.copytree(config.out, tmp_path, dirs_exist_ok=True)
    monkeypatch.setitem(SEGMENTERS, "composed", tiny)
    epochs = []
    fit = unet.fit

    def counted(*args, **options):
        history = fit(*args, **options)
        epochs.append(len(history))
        return history

    monkeypatch.setattr(unet, "fit", counted)
    return replace(config, out=tmp_path, row="second"), result, epochs


def test_a_run_with_another_test_takes_the_training_of_the_first(another, caplog):
    config, result, epochs = another
    caplog.set_level("INFO")
    changes = {"smooth_slices": 1.0, "mask_score": "area", "tune_mask": True, "mirror_test": True}
    again = run_unet(replace(config, **changes))
    assert epochs == []
    assert caplog.text.count("Decoding") == 2  # validation and test slices, none to train on
    assert "shared/second-s0 takes over the training of shared/first-s0" in caplog.text
    folder, before = config.out / "shared/second-s0", config.out / "shared/first-s0"
    told = read_json(folder / TRAINED_IN_NAME)
    assert told == {"row": "first", "seed": 0, "wall_seconds": result.wall_seconds}
    assert again.wall_seconds > result.wall_seconds  # its minutes are those of both
    assert (folder / "model.keras").read_bytes() == (before / "model.keras").read_bytes()
    scores = [pd.read_csv(path / "predictions.csv")["score"] for path in (folder, before)]
    assert not scores[0].equals(scores[1])


def taken(config, *, sha256=None):
    """Whether a new run of these settings takes a training over, without a look at the network."""
    folder = folder_of(config)
    folder.path.mkdir(parents=True)
    sha256 = manifest_sha256(config.records) if sha256 is None else sha256
    take_over_training(config, folder, data_manifest_sha256=sha256)
    return (folder.path / TRAINED_IN_NAME).is_file()


@pytest.mark.parametrize(
    "change",
    [
        {"fit": FitConfig(epochs=1, learning_rate=0.02)},
        {"fit": FitConfig(epochs=1, learning_rate=0.01, seed=1)},
        {"loss": "dice"},
        {"val_folds": (5, 7)},
        {"unused_folds": (0,)},
        {"experiment": "other"},
    ],
    ids=str,
)
def test_another_training_is_not_taken(another, change):
    assert not taken(replace(another[0], **change))


def test_the_training_of_a_run_that_is_done_on_the_same_records_is_taken(another):
    config, *_ = another
    assert taken(replace(config, row="a-third"))
    assert read_json(config.out / "shared/a-third-s0" / TRAINED_IN_NAME)["row"] == "first"
    (config.out / "shared/a-third-s0/metrics.json").write_text("done")
    assert taken(replace(config, row="fifth"))  # of the run that trained, not of the copy before it
    assert read_json(config.out / "shared/fifth-s0" / TRAINED_IN_NAME)["row"] == "first"
    assert not taken(replace(config, row="fourth"), sha256="another")
    (config.out / "shared/first-s0/metrics.json").unlink()
    assert not taken(config)


def test_a_copy_that_was_broken_off_is_made_again(another, monkeypatch):
    config, *_ = another
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copytree", full)
        with pytest.raises(OSError, match="No space left"):
            taken(config)
    assert not (folder_of(config).path / "backup").exists()
    folder = folder_of(config)
    take_over_training(config, folder, data_manifest_sha256=manifest_sha256(config.records))
    assert (folder.path / "backup").is_dir()


def full(*args, **options):
    raise OSError(28, "No space left on device")
