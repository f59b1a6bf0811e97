import csv
import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
from scripted_model import ScriptedModel
from series_files import upright, write_series

from stroke_tf.deploy import prediction_folder
from stroke_tf.deploy.load import load_model
from stroke_tf.deploy.predict import Prediction, main, predict_inputs
from stroke_tf.files import locked
from stroke_tf.reading.mask_pictures import read_mask
from stroke_tf.reading.pictures import decode_colours, decode_grey

ROOT = Path(__file__).parents[3]
DARK = 40


def picture(bright=0, shape=(40, 30)):
    """A grey picture with `bright` pixels of 230 in its first rows."""
    image = np.full(shape, DARK, np.uint8)
    image.reshape(-1)[:bright] = 230
    return image


def write_pictures(folder, *bright, shape=(40, 30)):
    folder.mkdir(parents=True, exist_ok=True)
    for number, count in enumerate(bright):
        cv2.imwrite(str(folder / f"{10000 + number}.png"), picture(count, shape))
    return folder


def predict(out, *inputs, model=None, **settings):
    given = Prediction(inputs=inputs, model=(), out=out, **settings)
    return predict_inputs(given, model=model or ScriptedModel())


def table(out):
    with (out / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "done.json"
    }


def test_no_file_names_the_folder_that_it_lies_in(tmp_path):
    predict(tmp_path / "out", write_pictures(tmp_path / "in", 0, 90))
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or str(tmp_path).encode() not in path.read_bytes(), path


def test_inputs_without_a_slice_are_all_named(tmp_path):
    for name in ("notes.txt", "broken.dcm"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" if name.endswith("dcm") else b"text")
    with pytest.raises(ValueError, match="must hold a slice") as caught:
        predict(tmp_path / "out", tmp_path / "notes.txt", tmp_path / "broken.dcm", keep_going=True)
    assert "notes.txt" in str(caught.value) and "broken.dcm" in str(caught.value)


def test_pictures_get_scores_masks_overlays_and_a_row_each(tmp_path):
    result = predict(tmp_path / "out", write_pictures(tmp_path / "in", 0, 90))
    empty, found = table(tmp_path / "out")
    assert (empty["file"], empty["series"], empty["slice"]) == (
        *("in/10000.png", "series-001", "10000"),
    )
    assert (empty["positive"], empty["haemorrhage_px"]) == ("False", "0")
    assert (found["positive"], found["haemorrhage_px"], found["ischaemia_px"]) == (
        "True",
        "90",
        "0",
    )
    assert float(found["haemorrhage"]) == pytest.approx(10 * 90 / 1200)
    assert (found["position_mm"], found["haemorrhage_mm2"]) == ("", "")  # a PNG has no spacing
    series = tmp_path / "out" / "series-001"
    assert np.flatnonzero(read_mask(series / "masks" / "10001.png") == 2).tolist() == [*range(90)]
    overlay = decode_colours((series / "overlays" / "10001.png").read_bytes(), name="overlay")
    assert overlay[20, 20].tolist() == [DARK] * 3
    assert overlay[0, 0].tolist() != [230] * 3
    shown = decode_grey((series / "pictures" / "10001.jpg").read_bytes(), name="picture")
    assert abs(int(shown[20, 20]) - DARK) < 4
    assert [row.matters for row in result.rows] == [False, True]


def test_areas_of_dicom_slices_are_in_square_millimetres(tmp_path):
    write_series(tmp_path / "in", upright([0, 5, 10]), PixelSpacing=[0.5, 2.0])
    predict(tmp_path / "out", tmp_path / "in")
    rows = table(tmp_path / "out")
    assert [row["slice"] for row in rows] == ["0001", "0002", "0003"]
    assert [float(row["position_mm"]) for row in rows] == [0, 5, 10]
    assert all(float(row["haemorrhage_mm2"]) == int(row["haemorrhage_px"]) * 1.0 for row in rows)
    assert int(rows[0]["haemorrhage_px"]) > 0  # the skull, for this model


def test_a_classifier_draws_no_masks(tmp_path):
    model = ScriptedModel(task="detect", mask_rule=None)
    predict(tmp_path / "out", write_pictures(tmp_path / "in", 0, 90), model=model)
    assert {path.name for path in (tmp_path / "out" / "series-001").iterdir()} == {"pictures"}
    assert [row["stroke"] for row in table(tmp_path / "out")] == ["0", "0.75"]
    assert [row["haemorrhage_px"] for row in table(tmp_path / "out")] == ["", ""]


def test_masks_that_detect_leave_scores_in_table_and_page(runs, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32)).astype(np.uint8)
    for place, image in enumerate(images):
        cv2.imwrite(str(tmp_path / f"{place}.png"), image)
    model = load_model(runs.top, runtime="keras")
    expected = list(model.predict(images))
    predict(tmp_path / "out", tmp_path / "0.png", tmp_path / "1.png", model=model)
    for row, one in zip(table(tmp_path / "out"), expected, strict=True):
        assert float(row["stroke"]) == pytest.approx(one.scores["stroke"], abs=1e-4)
        calibrated = one.scores["stroke_calibrated"]
        assert float(row["stroke_calibrated"]) == pytest.approx(calibrated, abs=1e-4)
        assert row["positive"] == str(one.positive)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "of the mask: the mean of its highest probabilities" in page
    assert "score of stroke, calibrated" in page


def test_overlays_can_be_left_out(tmp_path):
    predict(tmp_path / "out", write_pictures(tmp_path / "in", 9), overlays=False)
    assert {path.name for path in (tmp_path / "out" / "series-001").iterdir()} == {
        "pictures",
        "masks",
    }


def test_pictures_of_one_name_keep_files_of_their_own(tmp_path):
    folder = write_pictures(tmp_path / "in", 1)
    cv2.imwrite(str(folder / "10000.jpg"), picture())
    predict(tmp_path / "out", folder)
    masks = tmp_path / "out" / "series-001" / "masks"
    assert sorted(path.name for path in masks.iterdir()) == ["0001-10000.png", "0002-10000.png"]


def test_a_second_run_skips_all_and_leaves_the_same_files(tmp_path):
    folder = write_pictures(tmp_path / "in", 0, 50, 90)
    predict(tmp_path / "out", folder)
    first, model = files_of(tmp_path / "out"), ScriptedModel()
    result = predict(tmp_path / "out", folder, model=model)
    assert (model.seen, result.skipped) == (0, 3)
    assert files_of(tmp_path / "out") == first


def test_a_picture_that_changed_is_predicted_again(tmp_path):
    folder = write_pictures(tmp_path / "in", 0, 50)
    predict(tmp_path / "out", folder)
    cv2.imwrite(str(folder / "10000.png"), picture(77))
    predict(tmp_path / "out", folder)
    assert [row["haemorrhage_px"] for row in table(tmp_path / "out")] == ["77", "50"]


def test_files_of_a_picture_that_is_gone_are_deleted(tmp_path):
    folder = write_pictures(tmp_path / "in", 0, 50)
    predict(tmp_path / "out", folder)
    (folder / "10000.png").unlink()
    predict(tmp_path / "out", folder)
    masks = tmp_path / "out" / "series-001" / "masks"
    assert [path.name for path in masks.iterdir()] == ["10001.png"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"overlays": False}, "overlays false, there true"),
        ({"model": ScriptedModel(name="b")}, r"model\.networks .*b.keras.*, there .*a.keras"),
        ({"model": ScriptedModel(threshold=0.4)}, r"model\.threshold 0\.4, there 0\.5"),
    ],
)
def test_another_prediction_in_the_folder_is_refused_by_what_differs(tmp_path, change, told):
    folder = write_pictures(tmp_path / "in", 50)
    predict(tmp_path / "out", folder)
    before = files_of(tmp_path / "out")
    with pytest.raises(ValueError, match=f"same prediction. Received: {told}"):
        predict(tmp_path / "out", folder, **change)
    assert files_of(tmp_path / "out") == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("mine")
    with pytest.raises(FileExistsError, match=r"must be new, empty.*thesis\.tex"):
        predict(tmp_path / "out", write_pictures(tmp_path / "in", 50))


def test_a_folder_inside_an_input_is_refused(tmp_path):
    folder = write_pictures(tmp_path / "in", 50)
    with pytest.raises(ValueError, match="must not lie in an input"):
        predict(folder / "out", folder)


def test_two_predictions_at_once_into_one_folder_are_refused(tmp_path):
    with locked(tmp_path / "out"), pytest.raises(RuntimeError, match="open in another process"):
        predict(tmp_path / "out", write_pictures(tmp_path / "in", 50))


STOPPING = """
import sys, time
from pathlib import Path
from scripted_model import ScriptedModel
from stroke_tf.deploy import prediction_folder
from stroke_tf.deploy.predict import Prediction, main, predict_inputs
class Stopping(ScriptedModel):
    def _answer(self, image):
        if self.seen == int(sys.argv[3]):
            time.sleep(600)
        return super()._answer(image)
model = Stopping()
settings = Prediction(inputs=(Path(sys.argv[1]),), model=(), out=Path(sys.argv[2]))
result = predict_inputs(settings, model=model)
print(model.seen, result.skipped)
"""


def test_a_killed_prediction_goes_on_where_it_was(tmp_path):
    folder, out = write_pictures(tmp_path / "in", *range(100)), tmp_path / "out"
    command = [sys.executable, "-c", STOPPING, folder, out]
    search = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    killed = subprocess.Popen([*command, "90"], env=search)
    while not list(out.glob(".portions/*-000000.json")):
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (out / "done.json").exists()
    done = subprocess.run([*command, "-1"], env=search, capture_output=True, text=True, check=True)
    seen, skipped = map(int, done.stdout.split())
    assert skipped == 64
    assert 36 <= seen < 64
    predict(tmp_path / "whole", folder)
    assert files_of(out) == files_of(tmp_path / "whole")


def test_memory_does_not_grow_with_the_slices(tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_folder, "PORTION", 10**6)
    folder, alive, most = write_pictures(tmp_path / "in", *range(120)), [], []

    class Watched(ScriptedModel):
        def predict(self, images, **options):
            def watched():
                for image in images:
                    alive.append(weakref.ref(image))
                    most.append(sum(one() is not None for one in alive))
                    yield image

            return super().predict(watched(), **options)

    predict(tmp_path / "out", folder, model=Watched())
    assert len(most) >= 120
    assert max(most) <= 40


class Watched(ScriptedModel):
    """Notes whether slices were a series, and how many came at once."""

    def __init__(self, **described):
        super().__init__(**described)
        self.asked = []

    def predict(self, images, *, series=False, **options):
        images = list(images)
        self.asked.append((series, len(images)))
        return super().predict(images, **options)


@pytest.mark.parametrize(
    ("view", "asked"), [("windows", [(False, 4), (False, 2)]), ("neighbours", [(True, 6)])]
)
def test_a_series_is_seen_in_one_go_only_where_its_order_counts(tmp_path, monkeypatch, view, asked):
    monkeypatch.setattr(prediction_folder, "PORTION", 4)
    write_series(tmp_path / "in", upright(range(6)))
    model = Watched(view=view)
    predict(tmp_path / "out", tmp_path / "in", model=model)
    assert model.asked == asked


def test_the_pictures_of_a_folder_can_be_taken_for_a_series(tmp_path):
    for patient, count in (("a", 3), ("b", 2)):
        write_pictures(tmp_path / "in" / patient, *[0] * count)
    model = Watched(view="neighbours")
    predict(tmp_path / "alone", tmp_path / "in", model=model)
    assert model.asked == [(False, 3), (False, 2)]
    model.asked.clear()
    result = predict(tmp_path / "out", tmp_path / "in", model=model, as_series=True)
    assert model.asked == [(True, 3), (True, 2)]
    assert [study.is_series for study in result.studies] == [True, True]
    assert [row["file"] for row in table(tmp_path / "out")][:2] == [
        "in/a/10000.png",
        "in/a/10001.png",
    ]
    with pytest.raises(ValueError, match="as_series"):
        predict(tmp_path / "alone", tmp_path / "in", model=model, as_series=True)


@pytest.mark.parametrize("as_series", [False, True])
def test_pictures_have_no_study_that_dicom_files_could_belong_to(tmp_path, as_series):
    write_pictures(tmp_path / "in", 0, 0)
    with pytest.raises(ValueError, match="needs inputs in DICOM, .* Received: pictures"):
        predict(tmp_path / "out", tmp_path / "in", dicom=("seg",), as_series=as_series)
    assert not (tmp_path / "out").exists()


def test_reversed_file_names_give_the_same_prediction(tmp_path):
    heights = [0, 5, 10, 15]
    names = [f"{number}.dcm" for number in range(4)]
    each = {place: {"WindowCenter": place} for place in range(4)}
    write_series(tmp_path / "a", upright(heights), names=names, each=each)
    write_series(tmp_path / "b", upright(heights), names=names[::-1], each=each)
    for name in "ab":
        predict(tmp_path / f"out-{name}", tmp_path / name)
    first, second = (
        [(row["slice"], row["position_mm"], row["haemorrhage_px"]) for row in table(out)]
        for out in (tmp_path / "out-a", tmp_path / "out-b")
    )
    assert first == second


def test_studies_and_summary_say_what_was_found(tmp_path):
    result = predict(tmp_path / "out", write_pictures(tmp_path / "in", 0, 90))
    told = json.loads((tmp_path / "out" / "studies.json").read_text())
    assert told["model"]["networks"][0]["name"] == "a.keras"
    assert told["series"][0]["volumes_ml"] is None
    assert told["series"][0]["slices_that_matter"] == [{"slice": 2, "file": "in/10001.png"}]
    assert "no medical device" in told["warning"]
    summary = result.summary()
    assert (summary["slices"], summary["positive"], summary["with_lesion"]) == (2, 1, 1)
    assert json.loads((tmp_path / "out" / "done.json").read_text())["slices"] == 2


def test_the_time_is_told_before_many_slices_are_done(tmp_path, caplog):
    caplog.set_level("INFO")
    model = ScriptedModel(seconds=0.04)
    predict(tmp_path / "out", write_pictures(tmp_path / "in", *range(40)), model=model)
    (told,) = [message for message in caplog.messages if "a slice" in message]
    assert re.fullmatch(r"40 slices, about \d seconds \(\d+ ms a slice\)", told)
    caplog.clear()
    predict(tmp_path / "few", write_pictures(tmp_path / "few-in", *range(10)))
    assert caplog.messages == []


def test_progress_ends_at_the_number_of_slices(tmp_path):
    told = []
    settings = Prediction(
        inputs=(write_pictures(tmp_path / "in", 1, 2, 3),), model=(), out=tmp_path / "out"
    )
    for _ in range(2):
        predict_inputs(
            settings, model=ScriptedModel(), progress=lambda *arguments: told.append(arguments)
        )
    assert told == [("slices", 1, 3), ("slices", 2, 3), ("slices", 3, 3)]


def test_a_series_has_volumes_and_lesions(tmp_path):
    write_series(tmp_path / "in", upright([0, 5, 10]))
    result = predict(tmp_path / "out", tmp_path / "in")
    (told,) = json.loads((tmp_path / "out" / "studies.json").read_text())["series"]
    pixels = sum(row.lesion_px["haemorrhage"] for row in result.rows)
    assert told["volumes_ml"]["haemorrhage"] == pytest.approx(pixels * 2 * 2 * 5 / 1000)
    assert told["lesions"][0]["class"] == "haemorrhage"
    assert (told["lesions"][0]["first_slice"], told["lesions"][0]["last_slice"]) == (1, 3)
    assert "Approximate" in told["volumes_rule"]


def test_an_ensemble_of_runs_predicts_and_its_summary_is_json(
    runs, phantom_records, tmp_path, capsys
):
    slices = phantom_records[0].parent / "slices" / "YarismaVeriSeti_2_Oturum"
    model = (runs.detect, runs.detect_again)
    settings = Prediction(inputs=(slices,), model=model, out=tmp_path / "out", json=True)
    assert main(settings) == 0
    told = json.loads(capsys.readouterr().out)
    rows = table(tmp_path / "out")
    assert told["slices"] == len(rows) == sum(series["slices"] for series in told["series"])
    assert {"stroke", "stroke_spread"} < set(rows[0])
    assert all(0 <= float(row["stroke"]) <= 1 for row in rows)
    assert any("trained on grey" in note for one in told["series"] for note in one["notes"])
    assert "2 networks" in (tmp_path / "out" / "report.html").read_text()


def test_what_a_model_learned_from_can_be_stated_and_notes_are_told(
    runs, phantom_records, tmp_path, caplog
):
    caplog.set_level("INFO", logger="stroke_tf")
    folder = shutil.copytree(runs.segment, tmp_path / "run")
    (folder / "data.json").unlink()
    slices = phantom_records[0].parent / "slices" / "YarismaVeriSeti_2_Oturum" / "DICOM"
    settings = Prediction(inputs=(slices,), model=(folder,), out=tmp_path / "out", pixels="gray8")
    predict_inputs(settings)
    assert (
        caplog.messages.count("HU were made 8-bit grey by the window 40/80: it was trained on grey")
        == 1
    )
    with pytest.raises(ValueError, match="pixels"):
        predict_inputs(dataclasses.replace(settings, pixels=None))


def test_no_input_is_a_wrong_use(tmp_path, capsys):
    assert main(Prediction(inputs=(), model=(Path("run"),), out=tmp_path / "out")) == 2
    assert "INPUT must name" in capsys.readouterr().err


def test_dicom_files_are_written_once_and_anew_for_other_masks(tmp_path):
    pytest.importorskip("highdicom")
    import pydicom

    write_series(tmp_path / "in", upright([0, 5, 10]))
    settings = {"dicom": ("seg", "sr", "captures")}
    predict(tmp_path / "out", tmp_path / "in", **settings)
    folder = tmp_path / "out" / "series-001" / "dicom"
    names = ["captures/0001.dcm", "captures/0002.dcm", "captures/0003.dcm", "seg.dcm", "sr.dcm"]
    first = files_of(folder)
    assert sorted(first) == names
    seg = pydicom.dcmread(folder / "seg.dcm")
    masks = [read_mask(path) for path in sorted(folder.parent.glob("masks/*.png"))]
    segments = seg.pixel_array.reshape(2, 3, *masks[0].shape)
    assert np.array_equal(segments[1], np.stack(masks) == 2)
    predict(tmp_path / "out", tmp_path / "in", **settings)
    assert files_of(folder) == first
    write_series(tmp_path / "in", upright([0, 5]), each={0: {"ImageComments": "longer"}})
    predict(tmp_path / "out", tmp_path / "in", **settings)
    assert files_of(folder)["seg.dcm"] != first["seg.dcm"]


@pytest.mark.parametrize(
    ("heights", "options", "told"),
    [
        ([0, 5, 5], {}, "one slice at a position"),
        ([0, 5], {"ImagePositionPatient": None}, "ImagePositionPatient"),
    ],
)
def test_a_series_that_dicom_files_cannot_refer_to_is_a_fault(tmp_path, heights, options, told):
    pytest.importorskip("highdicom")
    write_series(tmp_path / "in", upright(heights), **options)
    with pytest.raises(ValueError, match=f"series-001: .*{told}"):
        predict(tmp_path / "out", tmp_path / "in", dicom=("seg",))
    result = predict(tmp_path / "out", tmp_path / "in", dicom=("seg",), keep_going=True)
    assert [name for name, _ in result.faults] == ["series-001"]
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("described", "settings", "told"),
    [
        ({"task": "detect", "mask_rule": None}, {"dicom": ("seg",)}, "needs a model of masks"),
        ({}, {"dicom": ("captures",), "overlays": False}, "made of overlays"),
    ],
)
def test_dicom_files_that_cannot_be_made_are_refused_before(tmp_path, described, settings, told):
    write_series(tmp_path / "in", upright([0, 5]))
    with pytest.raises(ValueError, match=told):
        predict(tmp_path / "out", tmp_path / "in", model=ScriptedModel(**described), **settings)
