import zipfile

import cv2
import numpy as np
import pytest
from dicom_files import to_bytes
from scripted_model import ScriptedModel
from series_files import MADE_UP, ct_image, of_made_up_person, upright, write_series

from stroke_tf.deploy.load import load_model
from stroke_tf.deploy.views import ViewMaker
from stroke_tf.deploy.visit import (
    Limits,
    answer_visit,
    can_explain,
    describe_series,
    explain,
    paint_slice,
)

LIMITS = Limits(files=20, bytes=10**6)


def write_pictures(folder, *bright):
    """Grey pictures with so many pixels that the scripted model takes for a lesion."""
    folder.mkdir()
    paths = []
    for number, count in enumerate(bright):
        image = np.full((40, 30), 40, np.uint8)
        image.reshape(-1)[:count] = 230
        paths.append(folder / f"{10000 + number}.png")
        cv2.imwrite(str(paths[-1]), image)
    return paths


@pytest.fixture
def visit(tmp_path):
    uploads = write_pictures(tmp_path / "in", 0, 90, 30)
    visit = answer_visit(uploads, ScriptedModel(), tmp_path / "visit", limits=LIMITS)
    assert not any(path.exists() for path in uploads)
    return visit


def test_pictures_are_kept_as_pixels_alone_and_uploads_go(visit):
    (one,) = visit.series
    assert [row.file for row in one.study.rows] == ["10000.png", "10001.png", "10002.png"]
    assert one.read(1).dtype == np.uint8 and one.read(1)[0, 0] == 230
    assert np.count_nonzero(one.mask(1)) == 90
    assert not (visit.folder / "uploads").exists()


def test_the_slice_with_most_lesion_is_shown_first(visit):
    assert visit.series[0].most_telling() == 1


def test_results_are_one_zip_of_what_predict_writes(visit):
    names = zipfile.ZipFile(visit.results).namelist()
    assert {"predictions.csv", "studies.json", "report.html"} <= set(names)


def test_a_visit_that_ends_leaves_nothing(visit):
    visit.close()
    assert not visit.folder.exists()


def test_files_of_one_name_are_all_answered(tmp_path):
    first, second = (write_pictures(tmp_path / name, 50) for name in "ab")
    visit = answer_visit(first + second, ScriptedModel(), tmp_path / "visit", limits=LIMITS)
    assert len(visit.series[0].study.rows) == 2


def test_what_cannot_be_read_is_named_beside_the_answers(tmp_path):
    uploads = write_pictures(tmp_path / "in", 50)
    broken = tmp_path / "in" / "<b>broken.png"
    broken.write_bytes(uploads[0].read_bytes()[:60])
    visit = answer_visit([*uploads, broken], ScriptedModel(), tmp_path / "v", limits=LIMITS)
    assert [name for name, _ in visit.faults] == ["<b>broken.png"]
    assert "&lt;b&gt;broken.png" in describe_series(visit.series[0], visit)
    assert [visit.series[0].read(place) is None for place in (0, 1)] == [False, True]


@pytest.mark.parametrize(
    ("limits", "told"),
    [(Limits(1, 10**6), "At most 1 files"), (Limits(20, 100), "At most 0 MB")],
)
def test_too_much_is_refused_and_deleted(tmp_path, limits, told):
    uploads = write_pictures(tmp_path / "in", 0, 90)
    with pytest.raises(ValueError, match=told):
        answer_visit(uploads, ScriptedModel(), tmp_path / "visit", limits=limits)
    assert not (tmp_path / "visit").exists() and not any(path.exists() for path in uploads)


def test_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Choose files first"):
        answer_visit([], ScriptedModel(), tmp_path / "visit", limits=LIMITS)


def test_nothing_of_a_person_is_kept(tmp_path):
    paths = write_series(tmp_path / "in", upright([0, 5]))
    for place, path in enumerate(paths):
        path.write_bytes(to_bytes(of_made_up_person(ct_image(place, (-96.0, -96.0, 5.0 * place)))))
    visit = answer_visit(paths, ScriptedModel(), tmp_path / "visit", limits=LIMITS)
    told = describe_series(visit.series[0], visit)
    assert not any(word in told for word in MADE_UP)
    for path in visit.folder.rglob("*"):
        if path.is_file():
            assert not any(word.encode() in path.read_bytes() for word in MADE_UP), path


def test_grey_is_shown_through_its_window_and_enlarged():
    pixels = np.array([[0, 255], [51, 102]], np.uint8)
    shown = paint_slice(pixels, None, window=(127.5, 255), opacity=1)
    assert shown.shape == (768, 768, 3) and shown.dtype == np.uint8
    assert tuple(shown[0, 0]) == (0, 0, 0) and tuple(shown[0, -1]) == (255, 255, 255)


def test_hu_are_shown_through_the_window_that_is_asked_for():
    pixels = np.full((800, 800), 40, np.int16)
    for window, grey in (((40, 80), 128), ((90, 200), 64), ((0, 10), 255)):
        assert paint_slice(pixels, None, window=window, opacity=1)[5, 5, 0] == grey


@pytest.mark.parametrize(("opacity", "blue"), [(0, 100), (1, 177), (0.5, 138)])
def test_a_lesion_is_filled_by_its_opacity_and_outlined(opacity, blue):
    mask = np.zeros((800, 800), np.uint8)
    mask[100:300, 100:300] = 1
    shown = paint_slice(
        np.full((800, 800), 100, np.uint8), mask, window=(127.5, 255), opacity=opacity
    )
    assert shown[200, 200, 2] == blue and shown[500, 500, 2] == 100
    assert (shown[100, 200, 2] > 230 and shown[100, 200, 0] < 20) == (opacity > 0)


def test_a_heatmap_is_laid_over_where_it_is_hot():
    heatmap = np.zeros((800, 800), np.float32)
    heatmap[:400] = 1
    grey = np.full((800, 800), 100, np.uint8)
    shown = paint_slice(grey, None, window=(127.5, 255), opacity=1, heatmap=heatmap)
    assert tuple(shown[100, 100]) != (100, 100, 100) and tuple(shown[700, 100]) == (100, 100, 100)


@pytest.mark.parametrize("name", ["joint", "segment", "detect"])
def test_answers_are_explained_at_the_size_of_the_slice(runs, name):
    from stroke_tf.deploy.load import load_model

    model = load_model(getattr(runs, name), runtime="keras")
    heatmap = explain(model, np.random.default_rng(0).integers(0, 255, (50, 30), np.uint8))
    assert can_explain(model) and heatmap.shape == (50, 30) and heatmap.max() <= 1


def test_views_of_several_slices_are_not_explained(runs):
    from stroke_tf.deploy.load import load_model

    assert not can_explain(load_model(runs.upright, runtime="keras"))


def test_a_heat_map_of_an_upright_head_lies_where_the_slice_shows_it(runs, monkeypatch):
    image = np.zeros((200, 200), np.uint8)
    cv2.ellipse(image, (120, 110), (55, 75), 25, 0, 360, 255, -1)  # a skull, off centre and turned
    cv2.ellipse(image, (120, 110), (47, 67), 25, 0, 360, 70, -1)
    spot = np.array([140, 80])
    model = load_model(runs.upright)
    ((_, rgb, move),) = ViewMaker(model.description, series=False)([image])
    column, row = move @ (*(spot / 200), 1) * len(rgb)  # where the view shows the spot
    assert np.hypot(*(np.array([column, row]) * 200 / len(rgb) - spot)) > 20
    rows, columns = np.indices(rgb.shape[:2])
    blob = np.exp(-((rows + 0.5 - row) ** 2 + (columns + 0.5 - column) ** 2) / 4)
    monkeypatch.setattr(
        "stroke_tf.evaluation.grad_cam.grad_cam", lambda *args: blob.astype(np.float32)[None]
    )
    heat = explain(model, image)
    assert heat.shape == image.shape and 0 <= heat.min() <= heat.max() <= 1
    rows, columns = np.indices(heat.shape)
    centre = (columns * heat).sum() / heat.sum(), (rows * heat).sum() / heat.sum()
    np.testing.assert_allclose(centre, spot, atol=2)
