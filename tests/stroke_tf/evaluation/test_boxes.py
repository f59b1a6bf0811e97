import numpy as np
import pandas as pd
import pytest
from finished_runs import SIZE, tiny_network, write_run

from experiments.lesions_in_boxes import LesionsInBoxes, main
from stroke_tf.evaluation.boxes import against_box, box_metrics, parse_box
from stroke_tf.runs.settings import UnetRun

HEAD = np.ones((10, 10), np.bool_)


def drawn(*rectangles):
    lesion = np.zeros((10, 10), np.bool_)
    for left, top, right, bottom in rectangles:
        lesion[top:bottom, left:right] = True
    return lesion


def test_the_largest_drawn_lesion_points_and_pixels_are_counted():
    box = parse_box("2 3 6 8")
    inside = against_box(drawn((2, 3, 5, 6), (9, 9, 10, 10)), HEAD, box)
    assert inside == {"drawn_px": 10, "inside_px": 9, "pointed": 1, "boxed_share": 0.2}
    outside = against_box(drawn((2, 3, 3, 4), (7, 0, 10, 3)), HEAD, box)
    assert (outside["pointed"], outside["inside_px"], outside["drawn_px"]) == (0, 1, 10)
    assert against_box(drawn(), HEAD, box)["pointed"] == 0
    half = np.zeros_like(HEAD)
    half[:, :4] = True
    assert against_box(drawn(), half, box)["boxed_share"] == 10 / 40


def test_shares_are_of_slices_and_of_pixels():
    box = parse_box("0 0 5 5")
    slices = [
        against_box(drawn((0, 0, 2, 2)), HEAD, box),
        against_box(drawn((6, 6, 8, 10)), HEAD, box),
        against_box(drawn(), HEAD, box),
        against_box(drawn((1, 1, 3, 3)), HEAD, box),
    ]
    metrics = box_metrics(slices, ["a", "b", "c", "d"])
    values = {name: metric.value for name, metric in metrics.items()}
    assert values == {"drawn": 0.75, "pointed": 0.5, "inside": 0.5, "chance": 0.25}
    assert metrics["pointed"].low < 0.5 < metrics["pointed"].high


def test_nothing_drawn_has_no_share_of_pixels():
    metrics = box_metrics([against_box(drawn(), HEAD, (0, 0, 5, 5))], ["a"])
    assert np.isnan(metrics["inside"].value)


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 x", "5 5 5 9", "-1 0 3 3"])
def test_what_is_no_box_is_refused(text):
    with pytest.raises(ValueError, match="a box must be"):
        parse_box(text)


def test_the_experiment_runs_on_phantoms_that_it_makes_itself(tmp_path):
    run = UnetRun(out=tmp_path / "runs", row="tiny", image_size=SIZE)
    model = write_run(run, tiny_network("mask"), pixels="gray8", threshold=None, files={})
    config = LesionsInBoxes(out=tmp_path, model=str(model), smoke=True)
    assert main(config) == 0
    kept = pd.read_csv(tmp_path / "lesions-in-boxes-smoke" / "slices.csv")
    assert len(kept) == 8
    table = (tmp_path / "lesions-in-boxes-smoke" / "TABLE.md").read_text()
    assert table.startswith("| drawn | pointed | inside | chance |")
    assert "8 boxed slices of 2 patients" in table
