"""The shipped model as users have it: by its name, or by no name at all."""

import json
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from guide import run_example
from shipped import POINTS

from stroke_tf import load_model
from stroke_tf.deploy.description import ModelDescription
from stroke_tf.deploy.load import read_model
from stroke_tf.deploy.predict import Prediction, main
from stroke_tf.deploy.serve import ServeConfig
from stroke_tf.deploy.sources import together
from stroke_tf.zoo.shipped import DEFAULT, ZOO, notice


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with slice.png."""
    monkeypatch.chdir(tmp_path)
    picture = np.random.default_rng(0).integers(0, 256, (40, 30)).astype(np.uint8)
    cv2.imwrite("slice.png", picture)
    return tmp_path


def test_a_model_is_loaded_by_its_name_with_all_that_is_stated_of_it(shipped):
    model = load_model(DEFAULT)
    described = model.description
    assert (described.task, described.pixels, described.threshold) == ("joint", "gray8", 0.5)
    assert described.operating_points == POINTS
    assert (described.limits, described.sources) == (shipped.limits, shipped.sources)
    (said,) = model.predict([np.full((40, 30), 90, np.uint8)])
    assert said.mask.shape == (40, 30)
    assert list(said.scores) == ["no stroke", "ischaemia", "haemorrhage", "stroke_calibrated"]
    stroke = 1 - said.scores["no stroke"]
    odds = said.scores["stroke_calibrated"] / (1 - said.scores["stroke_calibrated"])
    assert odds == pytest.approx((stroke / (1 - stroke)) ** 0.5, rel=1e-3)  # temperature 2


def test_an_unknown_name_is_told_those_that_there_are(here):
    with pytest.raises(FileNotFoundError, match=rf"one of \['{DEFAULT}'\]. Received: nothing"):
        load_model("ct-ich-hemorrhage")


def test_an_operating_point_moves_the_threshold_and_nothing_else(shipped, runs):
    default = load_model(DEFAULT).description
    for point, threshold in POINTS.items():
        described = load_model(DEFAULT, operating_point=point).description
        assert described.threshold == threshold
        assert described.at("default") == described
        assert default.at(point) == described
    with pytest.raises(ValueError, match=r"must be one of \['default'\]. Received: specific"):
        load_model(runs.joint, operating_point="specific")


def test_an_ensemble_has_the_mean_points_and_the_limits_of_all():
    fields = {"task": "segment", "image_size": 32, "pixels": "gray8", "windows": ((40, 80),)}
    first, second = (
        ModelDescription(**fields, operating_points={"sensitive": value}, limits=("x", name))
        for value, name in ((0.2, "a"), (0.4, "b"))
    )
    found = together([("first", first), ("second", second)])
    assert found.operating_points == {"sensitive": pytest.approx(0.3)}
    assert found.limits == ("x", "a", "b")
    with pytest.raises(ValueError, match="operating_points"):
        together([("first", first), ("third", ModelDescription(**fields))])


def test_its_card_says_what_it_is_not_for_and_what_it_learned_from(shipped):
    card = (shipped.folder / "MODEL_CARD.md").read_text()
    limits = "ischaemia, old blood, children, scans after surgery or any medical use"
    assert f"- Not for {limits}." in card
    assert "- Operating point `sensitive`: from 0.1 on, chosen on answers of networks" in card
    training = card[card.index("## Training data") : card.index("## Quantitative")]
    assert "CC BY 4.0" in training and "Apache-2.0" in training
    assert "CC BY 4.0" in (shipped.folder / "LICENSE").read_text()


def test_predict_asks_it_where_no_model_is_named(shipped, here, capsys, caplog):
    caplog.set_level("INFO")
    assert main(Prediction(inputs=(here / "slice.png",))) == 0
    assert notice(DEFAULT) in caplog.text
    told = capsys.readouterr().out
    assert "slice.png: score of no stroke" in told and "positive" in told
    page = (here / "predictions" / "report.html").read_text()
    assert "<dt>not for</dt><dd>ischaemia, old blood, children, scans after surgery or" in page
    studies = json.loads((here / "predictions" / "studies.json").read_text())
    assert "ischaemia" in studies["model"]["limits"]


def test_predict_answers_at_the_operating_point_that_is_chosen(shipped, here, monkeypatch):
    found = {}
    for point in ("sensitive", "specific"):
        given = {"inputs": (here / "slice.png",), "model": (DEFAULT,), "operating_point": point}
        assert main(Prediction(**given, out=here / point)) == 0
        studies = json.loads((here / point / "studies.json").read_text())
        found[point] = studies["model"]["threshold"]
    assert found == POINTS


def test_a_missing_model_is_one_clear_error(not_shipped, here):
    with pytest.raises(FileNotFoundError, match="this installation of the package is without it"):
        main(Prediction(inputs=(here / "slice.png",)))


def test_the_page_in_the_browser_says_what_it_is_not_for(shipped, tmp_path):
    pytest.importorskip("gradio")
    from stroke_tf.deploy.browser_page import build_page
    from stroke_tf.deploy.visit import Limits

    page = build_page(load_model(DEFAULT), tmp_path, limits=Limits(1, 1), keep_minutes=1)
    shown = [component["props"].get("value") for component in page.get_config_file()["components"]]
    assert any("Not for ischaemia, old blood, children" in str(value) for value in shown)
    assert ServeConfig().model == ()


def test_the_example_of_the_guide_runs(shipped, here):
    names = run_example("shipped", "howto/shipped_model.md")
    assert "stroke_calibrated" in names["scores"]
    assert names["mask"].shape == (40, 30)


@pytest.mark.slow
def test_one_picture_is_answered_within_15_seconds(here):
    if not ZOO[DEFAULT].folder.is_dir():
        pytest.skip(f"{DEFAULT} is not there: experiments.make_zoo makes it")
    start = time.monotonic()
    command = [sys.executable, "-m", "stroke_tf", "predict", "slice.png"]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True)
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    assert notice(DEFAULT) in done.stderr
    assert seconds < 15


def test_it_may_be_saved_again_by_its_name(shipped, tmp_path):
    from stroke_tf.deploy.save_model import save_model

    saved = save_model([DEFAULT], tmp_path / "again")
    described, _ = read_model(DEFAULT)
    assert saved.limits == described.limits
    assert saved.operating_points == described.operating_points
