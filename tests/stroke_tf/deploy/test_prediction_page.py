"""The page of a prediction in a real browser."""

import json
import re
import shutil

import cv2
import numpy as np
import pytest
from scripted_model import ScriptedModel
from series_files import upright, write_series

from stroke_tf.deploy import prediction_page
from stroke_tf.deploy.predict import Prediction, predict_inputs


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium") or pytest.skip("needs chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


def write_pictures(folder):
    folder.mkdir(parents=True)
    for number in range(6):
        image = np.full((60, 50), 60, np.uint8)
        image[10 : 10 + 5 * number, 20:40] = 230
        cv2.imwrite(str(folder / f"{number}.png"), image)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory):
    """A prediction of a DICOM series and of six pictures, whose lesions grow."""
    base = tmp_path_factory.mktemp("page")
    write_series(base / "in" / "series", upright([0, 5, 10]))
    write_pictures(base / "in" / "with <b> & 'name'")
    given = Prediction(inputs=(base / "in",), model=(), out=base / "out")
    predict_inputs(given, model=ScriptedModel())
    return base / "out"


@pytest.mark.parametrize("count", [1, 2])
def test_a_single_picture_is_not_told_as_several(count, tmp_path):
    for number in range(count):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((60, 50), 60, np.uint8))
    given = Prediction(inputs=tuple(tmp_path.glob("*.png")), model=(), out=tmp_path / "out")
    predict_inputs(given, model=ScriptedModel())
    told = f"{count} loose picture{'s' * (count > 1)}</h2>"
    assert told in (tmp_path / "out" / "report.html").read_text()


@pytest.fixture
def page(browser, predicted):
    opened = browser.new_page(viewport={"width": 1200, "height": 900})
    opened.errors = []
    opened.on(
        "console",
        lambda message: opened.errors.append(message.text) if message.type == "error" else None,
    )
    opened.on("pageerror", lambda error: opened.errors.append(str(error)))
    opened.goto((predicted / "report.html").as_uri())
    yield opened
    assert opened.errors == []
    opened.close()


def loaded(locator):
    return locator.evaluate("it => it.decode().then(() => it.naturalWidth, () => 0)")


def test_the_viewer_opens_on_the_largest_lesion_and_a_slider_moves_it(page):
    viewer = page.locator("section.series").nth(1)
    assert viewer.locator("[data-where]").inner_text() == "6 / 6"
    assert viewer.locator("[data-file]").inner_text() == "in/with <b> & 'name'/5.png"
    assert loaded(viewer.locator("[data-picture]")) == 50
    assert loaded(viewer.locator("[data-mask]")) == 50
    viewer.locator("[data-slice]").fill("1")
    assert viewer.locator("[data-where]").inner_text() == "1 / 6"
    assert viewer.locator("[data-mask]").is_hidden()
    assert "0 pixels" in viewer.locator("[data-facts]").inner_text()


def test_keys_move_the_viewer_that_was_used_last(page):
    first, second = (page.locator("section.series").nth(place) for place in range(2))
    first_was = first.locator("[data-where]").inner_text()
    second.locator("[data-slice]").fill("2")
    page.keyboard.press("ArrowRight")
    assert second.locator("[data-where]").inner_text() == "3 / 6"
    second.locator("[data-stage]").focus()
    page.keyboard.press("Home")
    assert second.locator("[data-where]").inner_text() == "1 / 6"
    page.keyboard.press("n")
    assert second.locator("[data-where]").inner_text() == "2 / 6"
    page.keyboard.press("End")
    page.keyboard.press("p")
    assert second.locator("[data-where]").inner_text() == "5 / 6"
    assert first.locator("[data-where]").inner_text() == first_was


def test_opacity_plot_and_tables_do_what_they_say(page):
    viewer = page.locator("section.series").nth(1)
    viewer.locator("[data-opacity]").fill("0")
    assert viewer.locator("[data-mask]").evaluate("it => it.style.opacity") == "0"
    plot = viewer.locator("[data-plot]")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] * 0.3, "y": 20})
    assert viewer.locator("[data-where]").inner_text() == "2 / 6"
    viewer.locator("[data-go='3']").click()
    assert viewer.locator("[data-where]").inner_text() == "4 / 6"


def test_the_series_has_its_volumes_and_the_warning_stands_first(page):
    assert "no medical device" in page.locator(".warning").inner_text()
    series = page.locator("section.series").nth(0)
    assert "Approximate" in series.inner_text()
    assert "1 to 3" in series.inner_text()


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_is_no_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_slice_alone_has_nothing_that_needs_several(browser, tmp_path, predicted):
    write_pictures(tmp_path / "in")
    out = tmp_path / "out"
    given = Prediction(inputs=(tmp_path / "in/3.png",), model=(), out=out)
    predict_inputs(given, model=ScriptedModel())
    page = browser.new_page()
    for folder, shown in ((out, False), (predicted, True)):
        page.goto((folder / "report.html").as_uri())
        for part in ("[data-slice]", "[data-plot]", "[data-next]", "kbd"):
            assert page.locator(part).first.is_visible() == shown
        assert page.locator("[data-opacity]").first.is_visible()
    page.close()


def test_many_slices_are_files_beside_the_page(browser, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_page, "EMBEDDED", 5)
    write_pictures(tmp_path / "in")
    out = tmp_path / "an 'out' #1"
    given = Prediction(inputs=(tmp_path / "in",), model=(), out=out)
    predict_inputs(given, model=ScriptedModel())
    text = (out / "report.html").read_text()
    assert "base64" not in text
    page = browser.new_page()
    page.goto((out / "report.html").as_uri())
    assert loaded(page.locator("[data-picture]")) == 50
    assert loaded(page.locator("[data-mask]")) == 50
    page.close()


def test_a_page_holds_all_it_needs_and_runs_its_own_script_alone(predicted):
    text = (predicted / "report.html").read_text()
    assert not re.search(r"(src|href)=[\"'](?!#|data:)", text)
    assert "script-src 'sha256-" in text
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL).group(1)
    assert "<" not in data
    assert [len(series["slices"]) for series in json.loads(data)] == [3, 6]
