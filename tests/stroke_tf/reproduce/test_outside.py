import csv
import json
import shutil

from finished_runs import tiny_network, write_run

from stroke_tf.evaluation.mask_score import MaskScore
from stroke_tf.evaluation.operating_point import OperatingPoint
from stroke_tf.manifest import read_folds
from stroke_tf.reproduce.outside import score_outside
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import MASK_SCORE_NAME, POINT_NAME
from stroke_tf.tables.jobs import outside_file


def test_masks_detect_where_there_are_labels_alone(phantom_records, tmp_path):
    labelled = shutil.copytree(phantom_records[0], tmp_path / "labelled")
    with (labelled / "folds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (labelled / "folds.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"has_mask": "0"} for row in rows)
    run = UnetRun(records=phantom_records[0], out=tmp_path, image_size=32, score="mask")
    files = {MASK_SCORE_NAME: MaskScore("top"), POINT_NAME: OperatingPoint(0.4, 1.0, {})}
    write_run(run, tiny_network("mask"), threshold=0.4, files=files)
    score_outside(run, labelled)
    found = json.loads(outside_file(run, labelled).read_text())
    slices = read_folds(labelled)
    assert found["n"] == len(slices) == len(rows)
    assert "roc_auc" in found["metrics"] and "lesion_dice" not in found["metrics"]
    score_outside(run, phantom_records[0])
    drawn = json.loads(outside_file(run, phantom_records[0]).read_text())
    assert drawn["n"] == found["n"]
    assert "lesion_dice" in drawn["metrics"]
    # The same scores by both ways, but for how each resizes a slice.
    assert abs(drawn["metrics"]["roc_auc"][0] - found["metrics"]["roc_auc"][0]) < 0.05
