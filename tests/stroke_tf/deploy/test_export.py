import hashlib
import json
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from finished_runs import SIZE
from guide import guide_example

from stroke_tf.command import parse
from stroke_tf.deploy.export import Export, _checked_on, export_model, main
from stroke_tf.deploy.load import load_model
from stroke_tf.deploy.raw_pixels import RawModel, raw_and_seen
from stroke_tf.deploy.sources import read_source
from stroke_tf.zoo.shipped import DEFAULT, ZOO

FORMATS = ("openvino", "onnx", "litert", "saved-model")


@pytest.fixture(scope="module")
def exported(runs, phantom_records, tmp_path_factory):
    """A joint network in all formats, checked on phantoms."""
    out = tmp_path_factory.mktemp("export")
    settings = Export(
        models=(runs.joint,), out=out, int8=True, records=phantom_records[0], slices=4, rounds=1
    )
    return out, export_model(replace(settings, calibration=8, scored=12))


def pictures(count=3, size=SIZE):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (size, size)).astype(np.uint8) for _ in range(count)]


def hu_slices():
    """Values far outside the windows and every one around them."""
    values = np.resize(np.arange(-1100, 400), (2, SIZE, SIZE)).astype(np.int16)
    values[1] = np.random.default_rng(0).integers(-30, 190, (SIZE, SIZE))
    values[1, 0, :2] = -32768, 32767
    return list(values)


RUNS = ["segment", "joint", "detect", "type", "neighbours", "upright", "segment_hu", "detect_hu"]


@pytest.mark.parametrize("name", RUNS)
def test_the_graph_from_raw_pixels_is_that_of_training(runs, name):
    model = load_model(getattr(runs, name), runtime="keras")
    images = hu_slices() if name.endswith("hu") else pictures()
    raw = RawModel(model.description, model.networks)
    taken, seen = raw_and_seen(images, model.description)
    assert taken.shape[1:] == raw.input_shape[1:] and taken.dtype == np.float32
    said, (network,) = raw(taken), model.networks
    expected = network(seen)
    if not isinstance(expected, dict):
        expected = {"mask" if expected.ndim == 4 else "slice": expected}
    assert said.keys() == expected.keys()
    for output, values in said.items():
        count = values.shape[-1]
        np.testing.assert_array_equal(values, expected[output][..., -count:])
    if name in ("detect", "type"):
        assert said["slice"].shape == (3, 1)


def test_an_ensemble_is_one_graph_that_gives_the_mean(runs):
    model = load_model([runs.segment, runs.segment_again], runtime="keras")
    raw = RawModel(model.description, model.networks)
    taken, seen = raw_and_seen(pictures(), model.description)
    each = [network(seen).numpy() for network in model.networks]
    assert np.abs(each[0] - each[1]).max() > 1e-3
    np.testing.assert_allclose(raw(taken)["mask"], np.mean(each, axis=0), atol=1e-6)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_says_what_keras_says(exported, name):
    out, found = exported
    row = found["formats"][name]
    assert row["mask_difference"] < 1e-5 and row["slice_difference"] < 1e-5
    assert row["pixels_of_another_class"] < 1e-3
    assert row["ms_a_slice"] > 0 and found["bytes"][name] > 0
    assert (out / name).is_dir()


def test_whole_numbers_are_scored_beside_keras(exported):
    out, found = exported
    loss = found["int8"]
    assert loss["calibrated_on"] == 8 and 0 < loss["positive"] < loss["scored_on"] == 12
    assert loss["keras"].keys() == loss["int8"].keys() == {"lesion_dice", "roc_auc"}
    assert 0 < found["formats"]["litert-int8"]["mask_difference"] < 0.2
    assert found["bytes"]["litert-int8"] > 0


def test_the_report_is_what_was_found(exported):
    out, found = exported
    report = json.loads((out / "export.json").read_text())
    assert report == json.loads(json.dumps(found))
    assert report["slices"] == 4 and "cores" in report["processor"]
    assert report["from"] == "validation slices of records"


def test_the_sidecar_names_every_file_and_all_that_stands_around_it(exported):
    out, _ = exported
    sidecar = json.loads((out / "sidecar.json").read_text())
    files = [file for files in sidecar["files"].values() for file in files]
    there = {str(path.relative_to(out)) for path in out.glob("*/**/*") if path.is_file()}
    assert {file["name"] for file in files} == there
    for file in files:
        data = (out / file["name"]).read_bytes()
        assert file["bytes"] == len(data)
        assert file["sha256"] == hashlib.sha256(data).hexdigest()
    assert sidecar["input"]["shape"] == [None, SIZE, SIZE, 1]
    assert sidecar["outputs"]["slice"]["probability_of"] == [
        *("no stroke", "ischaemia", "haemorrhage")
    ]
    assert sidecar["after"]["threshold"] == 0.5
    assert "likeliest" in sidecar["after"]["mask"]
    assert sidecar["model"]["task"] == "joint"


def test_files_are_used_without_this_package_as_the_guide_shows(
    exported, runs, tmp_path, monkeypatch
):
    (tmp_path / "exported").symlink_to(exported[0])
    (picture,) = pictures(1, size=2 * SIZE)
    cv2.imwrite(str(tmp_path / "slice.png"), picture)
    monkeypatch.chdir(tmp_path)
    code, names = guide_example("exported", "howto/share_and_export.md"), {}
    assert "stroke_tf" not in code
    exec(compile(code, "share_and_export.md", "exec"), names)

    (expected,) = load_model(runs.joint, runtime="keras").predict([picture])
    np.testing.assert_array_equal(names["classes"], expected.mask)
    np.testing.assert_allclose(names["scores"][0], list(expected.scores.values()), atol=1e-5)


def test_hu_keep_their_windows_in_whole_numbers(runs, tmp_path):
    """Calibrated to 8 bits, HU themselves would be known to 16 HU only."""
    from stroke_tf.fast.runtimes import load_litert, write_litert

    model = load_model(runs.segment_hu, runtime="keras")
    raw = RawModel(model.description, model.networks)
    taken, seen = raw_and_seen(hu_slices(), model.description)
    write_litert(raw, tmp_path, calibration=[one[None] for one in taken])
    difference = load_litert(tmp_path)(taken)["mask"] - model.networks[0](seen)
    assert np.abs(difference).max() < 0.1


@pytest.mark.parametrize("runtime", ["openvino", "onnx", "litert"])
def test_predictions_are_the_same_by_every_runtime(runs, runtime):
    expected, said = (
        list(load_model(runs.joint, runtime=name).predict(pictures()))
        for name in ("keras", runtime)
    )
    for one, other in zip(said, expected, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


def test_pictures_are_taken_to_check_on_and_the_table_is_printed(runs, tmp_path, capsys):
    for number, picture in enumerate(pictures(5, size=SIZE + 7)):
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    out = tmp_path / "out"
    flags = [str(runs.detect), "--to", "saved-model", "--out", str(out), "--rounds", "1"]
    settings = parse(Export, args=[*flags, "--pictures", str(tmp_path), "--slices", "2"])
    assert main(settings) == 0
    printed = capsys.readouterr().out
    assert "saved-model" in printed and "2 pictures" in printed
    report = json.loads((out / "export.json").read_text())
    assert report["formats"]["saved-model"]["slice_difference"] < 1e-5
    assert not (out / "onnx").exists()


def test_a_model_on_grey_is_checked_on_hu_through_its_window(runs):
    model = load_model(runs.segment, runtime="keras").description
    taken, seen = raw_and_seen(hu_slices(), model)
    np.testing.assert_array_equal(taken[..., 0], seen[..., 0])
    assert taken.max() == 255 and taken.min() == 0


def test_slices_are_wanted(runs, tmp_path):
    with pytest.raises(ValueError, match="one of --records and --pictures"):
        export_model(Export(models=(runs.detect,), out=tmp_path))
    with pytest.raises(ValueError, match="--int8 needs --records"):
        export_model(Export(models=(runs.detect,), out=tmp_path, int8=True, pictures=(tmp_path,)))
    with pytest.raises(ValueError, match="no slice was found"):
        export_model(Export(models=(runs.detect,), out=tmp_path / "o", pictures=(tmp_path,)))


def test_a_keras_file_must_be_told_what_it_takes(runs, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), pictures(1)[0])
    settings = Export(
        models=(runs.detect / "model.keras",),
        out=tmp_path / "out",
        to=("saved-model",),
        pictures=(tmp_path / "a.png",),
        rounds=1,
    )
    with pytest.raises(ValueError, match="`--pixels` must be hu16 or gray8. Received: unknown"):
        export_model(settings)
    assert export_model(replace(settings, pixels="gray8"))["slices"] == 1


def test_a_missing_package_is_named_before_anything_is_written(runs, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    out = tmp_path / "out"
    with pytest.raises(
        ImportError, match=r"onnx needs .* tf2onnx: pip install 'stroke_tf\[runtime"
    ):
        export_model(Export(models=(runs.detect,), out=out, pictures=(tmp_path,)))
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("backbone", ["efficientnetv2b0", "efficientnetb3"])
def test_real_networks_say_what_keras_says(backbone, name, tmp_path):
    """EfficientNetV2B0 keeps plain tensors; the other is the encoder of a U-Net."""
    from stroke_tf.fast.runtimes import FORMATS as known
    from stroke_tf.models import build_classifier
    from stroke_tf.models.unet import build_unet

    build = build_unet if backbone == "efficientnetb3" else build_classifier
    network = build(backbone, image_size=64)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    known[name].write(network, tmp_path)
    said = known[name].load(tmp_path)(images)["output"]
    np.testing.assert_allclose(said, network(images), atol=1e-4)


def test_a_model_of_all_folds_is_checked_on_slices_that_it_learned_from():
    model = read_source(ZOO[DEFAULT].folder).description
    (run,) = model.trained_on
    assert _checked_on(model) == "training"
    held = replace(run, split={"train": (0,), "val": (), "test": (1,)})
    assert _checked_on(replace(model, trained_on=(held,))) == "test"
    assert _checked_on(replace(model, trained_on=())) == "validation"
