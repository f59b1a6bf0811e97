import json
import shutil

from finished_runs import tiny_network, write_run
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.evaluation.mask_score import MaskScore
from stroke_tf.evaluation.operating_point import OperatingPoint
from stroke_tf.manifest import read_folds
from stroke_tf.reproduce.outside import score_outside
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import MASK_SCORE_NAME, POINT_NAME
from stroke_tf.tables.jobs import outside_file


def test_masks_detect_where_there_are_labels_alone(tmp_path):
    tree = write_tree(tmp_path / "tree")
    for name in ("drawn", "labelled"):
        build_tfrecords(Conversion(data=tree, out=tmp_path / name, size=64, jobs=1))
        for kind in ("MASK", "OVERLAY"):  # for the second time
            for path in tree.glob(f"TRAINING/*/{kind}"):
                shutil.rmtree(path)
    drawn, labelled = tmp_path / "drawn", tmp_path / "labelled"
    run = UnetRun(records=drawn, out=tmp_path, image_size=32, score="mask")
    files = {MASK_SCORE_NAME: MaskScore("top"), POINT_NAME: OperatingPoint(0.4, 1.0, {})}
    write_run(run, tiny_network("mask"), threshold=0.4, files=files)
    found = {}
    for records in (drawn, labelled):
        score_outside(run, records)
        found[records.name] = json.loads(outside_file(run, records).read_text())
        assert found[records.name]["n"] == len(read_folds(records))
    assert "lesion_dice" in found["drawn"]["metrics"]
    assert "lesion_dice" not in found["labelled"]["metrics"]
    areas = [result["metrics"]["roc_auc"]["value"] for result in found.values()]
    assert abs(areas[0] - areas[1]) < 0.1  # slices are resized in two ways
