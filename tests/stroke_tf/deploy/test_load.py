import dataclasses
import json
import shutil
import sys
import zipfile

import keras
import pytest
from finished_runs import SIZE, tiny_network

from stroke_tf.config import BRAIN, THREE_WINDOWS
from stroke_tf.deploy.load import load_network, read_model
from stroke_tf.deploy.sources import read_source
from stroke_tf.evaluation.mask_rule import MaskRule
from stroke_tf.evaluation.mask_score import MaskScore


def test_a_run_says_all_that_stands_around_its_network(runs):
    detect = read_source(runs.detect).description
    assert (detect.task, detect.image_size, detect.pixels, detect.view) == (
        *("detect", SIZE, "gray8"),
        "windows",
    )
    assert (detect.windows, detect.classes) == ((BRAIN,), ("no stroke", "stroke"))
    assert (detect.threshold, detect.temperatures) == (0.5, (2.0,))
    (run,) = detect.trained_on
    assert (run.protocol, run.n_test, run.seed, run.row) == ("clean", 48, 0, "detect")
    assert run.scores["roc_auc"] == (0.75, 0.625, 0.875)
    assert run.settings["backbone"] == "mobilenetv2"
    (file,) = detect.networks
    assert file.bytes == (runs.detect / "model.keras").stat().st_size

    segment = read_source(runs.segment).description
    assert (segment.task, segment.threshold) == ("segment", None)
    assert segment.mask_rule == MaskRule(0.4, 4)
    hu = read_source(runs.segment_hu).description
    assert (hu.pixels, hu.windows, hu.mirror) == ("hu16", THREE_WINDOWS, True)
    assert read_source(runs.joint).description.task == "joint"
    assert read_source(runs.neighbours).description.view == "neighbours"


def test_a_run_of_before_does_not_say_what_its_pixels_were(runs, tmp_path):
    folder = shutil.copytree(runs.detect, tmp_path / "run")
    (folder / "data.json").unlink()
    assert read_source(folder).description.pixels == "unknown"
    description, _ = read_model(folder, pixels="hu16", threshold=0.25)
    assert (description.pixels, description.threshold) == ("hu16", 0.25)


def test_a_run_of_before_sees_hu_as_grey_if_it_is_said_that_it_learned_from_grey(runs, tmp_path):
    folder = shutil.copytree(runs.segment, tmp_path / "run")
    (folder / "data.json").unlink()
    assert read_model(folder)[0].windows == THREE_WINDOWS
    assert read_model(folder, pixels="gray8")[0].windows == (BRAIN,)
    told = read_model(folder, pixels="gray8", windows=((80, 200),))[0]
    assert told.windows == ((80, 200),)


def test_what_a_run_says_of_its_pixels_is_not_denied(runs):
    with pytest.raises(ValueError, match="`pixels` must be gray8, as the model says"):
        read_model(runs.segment, pixels="hu16")


@pytest.mark.parametrize(
    ("answers", "task"), [("score", "detect"), ("mask", "segment"), ("both", "joint")]
)
def test_a_file_says_its_size_and_what_it_gives(tmp_path, answers, task):
    path = tmp_path / "some.keras"
    tiny_network(answers).save(path)
    description, (network,) = read_model(path)
    assert (description.task, description.image_size) == (task, SIZE)
    assert (description.pixels, description.trained_on) == ("unknown", ())
    assert network.count_params() > 0
    assert not network.compiled


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("detect", "type", "task: detect and type"),
        ("detect", "detect_hu", "pixels: gray8 and hu16; windows: .* smooth_slices: 0.0 and 1.0"),
        ("segment", "segment_hu", "pixels: .* mask_rule: MaskRule"),
        ("detect", "upright", "view: windows and upright"),
        ("top", "regression", "mask_score_rule: top and regression"),
        ("top", "segment", "mask_score_rule: top and None"),
    ],
)
def test_models_that_differ_are_no_ensemble(runs, first, second, told):
    with pytest.raises(ValueError, match=f"must fit together. Received: {told}"):
        read_model([getattr(runs, first), getattr(runs, second)])


def test_what_is_no_model_is_told_by_name(runs, tmp_path):
    with pytest.raises(FileNotFoundError, match="missing must be .* a .keras file, .*: no"):
        read_model(tmp_path / "missing")
    (tmp_path / "text").touch()
    with pytest.raises(FileNotFoundError, match="text must be a folder .* Received: another file"):
        read_model(tmp_path / "text")
    with pytest.raises(ValueError, match=r"must be a finished run, with metrics.json"):
        read_model(tmp_path)
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ValueError, match=r"broken.keras must be a model of Keras' own layers"):
        read_model(tmp_path / "broken.keras")
    other = keras.Sequential([keras.Input((8, 9, 3)), keras.layers.Flatten()])
    other.save(tmp_path / "other.keras")
    with pytest.raises(
        ValueError, match=r"other.keras must have a fixed square .* Received: .* 8, 9, 3"
    ):
        read_model(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="must name a model"):
        read_model([])


def test_a_run_with_the_network_of_another_is_refused(runs, tmp_path):
    folder = shutil.copytree(runs.detect, tmp_path / "run")
    shutil.copy(runs.segment / "model.keras", folder / "model.keras")
    with pytest.raises(ValueError, match=r"model.keras must be a network for task detect"):
        read_model(folder)


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    layer = keras.layers.Lambda(lambda x: (print("ran"), x)[1], output_shape=(SIZE, SIZE, 3))
    keras.Sequential([keras.Input((SIZE, SIZE, 3)), layer]).save(tmp_path / "lambda.keras")
    with pytest.raises(
        ValueError, match=r"lambda.keras must be .* without code. Received: .*ambda"
    ):
        load_network(tmp_path / "lambda.keras")


def test_a_module_named_by_a_file_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "intruder.py").write_text("class Conv2D: pass")
    monkeypatch.syspath_prepend(tmp_path)
    tiny_network("mask").save(tmp_path / "sound.keras")
    with (
        zipfile.ZipFile(tmp_path / "sound.keras") as sound,
        zipfile.ZipFile(tmp_path / "changed.keras", "w") as changed,
    ):
        for name in sound.namelist():
            data = sound.read(name)
            if name == "config.json":
                config = json.loads(data)
                (layer,) = (
                    one for one in config["config"]["layers"] if one["config"]["name"] == "mask"
                )
                layer["module"], layer["registered_name"] = "intruder", "intruder>Conv2D"
                data = json.dumps(config).encode()
            changed.writestr(name, data)
    assert load_network(tmp_path / "sound.keras").name
    with pytest.raises(
        ValueError, match=r"changed.keras must be a model of Keras' own layers"
    ) as error:
        load_network(tmp_path / "changed.keras")
    assert "\n" not in str(error.value)
    assert "intruder" not in sys.modules


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("task", "guess", "`task` must be one of"),
        ("windows", ((40, 0),), "`windows` must be one or three of a width > 0"),
        ("image_size", 0, "`image_size` must be >= 1"),
        ("temperatures", (1.0, 2.0), "`temperatures` must be none or one for each of 1"),
        ("mask_scores", (MaskScore("top"),) * 2, "`mask_scores` must be none or one for each of 1"),
        ("mask_scores", (MaskScore("top"),), "`mask_scores` needs a model of masks. Received: tas"),
    ],
)
def test_a_description_is_checked(runs, field, value, told):
    with pytest.raises(ValueError, match=told):
        dataclasses.replace(read_source(runs.detect).description, **{field: value})
