from dataclasses import replace

import numpy as np
import pandas as pd

from stroke_tf.evaluation.lesions import count_lesions
from stroke_tf.evaluation.segmentation import count_masks
from stroke_tf.runs.cross_validation import CrossValidated, CrossValidatedMasks
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables.cross_tables import cross_tables
from stroke_tf.tables.table import Table

IDS = ["a-1", "a-2", "b-1", "b-2"]
TRUTH = np.zeros((4, 2, 2), np.uint8)
TRUTH[1::2, 0] = 2
SAID = {"group": ["a", "a", "b", "b"], "part": 0, "truth": [0, 1, 0, 1]}


def classified(task, scores, ids=IDS):
    frame = pd.DataFrame({"id": IDS, **SAID, "score": scores, "called": np.array(scores) >= 0.5})
    run = ClassifierRun(task=task)
    return CrossValidated("clean", frame[frame["id"].isin(ids)].reset_index(drop=True), 1.0, (run,))


def drawn(scores=None):
    frame = count_masks(TRUTH, TRUTH).to_frame(IDS).join(count_lesions(TRUTH, TRUTH).to_frame())
    frame = frame.assign(group=SAID["group"], part=0)
    if scores is not None:
        frame = frame.assign(truth=SAID["truth"], score=scores, called=np.array(scores) >= 0.5)
    return CrossValidatedMasks("clean", frame, 1.0, (UnetRun(),))


def tables(**results):
    """Returns the text below each heading, of results by row; "" is the first one."""
    found = {name: {0: result} for name, result in results.items()}
    text = "\n\n".join(cross_tables(found, Table("t", {}), {}, attempt=lambda *_: None))
    heading, *others = ("\n\n" + text).split("\n\n### ")
    return {"": heading} | dict(part.split("\n\n", 1) for part in others)


def test_masks_that_detect_stand_beside_classifiers_that_detect():
    shown = tables(
        detector=classified("detect", [0.6, 0.9, 0.1, 0.4]),
        unet=drawn([0.1, 0.9, 0.1, 0.8]),
        types=classified("type", [0.1, 0.9, 0.1, 0.8]),
    )
    assert [*shown] == [
        *("", "Masks", "Lesion or none, by the score of the slice", "Classes of slices")
    ]
    detection = shown["Lesion or none, by the score of the slice"]
    (line,) = (text for text in detection.splitlines() if text.startswith("| unet |"))
    assert "| +0.250 [" in line  # of its AUC of 1 over 3 / 4
    assert "| detector |" in detection and "| types |" not in detection
    assert "| types |" in shown["Classes of slices"]
    assert "| detector |" not in shown["Classes of slices"]


def test_without_masks_that_detect_classifiers_have_one_table():
    shown = tables(
        detector=classified("detect", [0.1, 0.9, 0.1, 0.8]),
        unet=drawn(),
        types=classified("type", [0.1, 0.9, 0.1, 0.8]),
    )
    assert [*shown] == ["", "Masks", "Classes of slices"]
    assert "| detector |" in shown["Classes of slices"]


def test_rows_of_other_slices_are_shown_and_not_compared():
    shown = tables(
        detector=classified("detect", [0.1, 0.9, 0.1, 0.8], ids=IDS[:3]),
        unet=drawn([0.1, 0.9, 0.1, 0.8]),
    )
    detection = shown["Lesion or none, by the score of the slice"]
    (line,) = (text for text in detection.splitlines() if text.startswith("| unet |"))
    assert line.split("|")[-4:-2] == [" – ", " – "]


FEW = "few patients of class 0 for so many parts"


def test_a_class_of_few_patients_is_warned_of():
    result = classified("detect", [0.1, 0.9, 0.1, 0.8])
    frame = result.frame.assign(group=IDS)
    enough = replace(result, frame=frame)
    few = replace(result, frame=frame.assign(part=[0, 0, 1, 1]))
    assert FEW not in tables(row=enough)[""]
    assert f"**{FEW}: 2 for 2. Intervals of areas are narrower" in tables(row=few)[""]


def test_a_value_of_a_column_with_few_patients_of_a_class_is_warned_of():
    result = classified("detect", [0.1, 0.9, 0.1, 0.8])
    columns = {"kind": dict(zip(IDS, ["x", "x", "y", "z"], strict=True))}
    found = {"row": {0: replace(result, frame=result.frame.assign(group=IDS))}}
    text = "\n\n".join(cross_tables(found, Table("t", {}), columns, attempt=lambda *_: None))
    (apart,) = (part for part in text.split("\n\n### ") if "by kind" in part)
    # y and z hold one class each: their areas are not defined
    warnings = [line for line in apart.splitlines() if line.startswith("**")]
    assert [line.split(".")[0] for line in warnings] == [f"**x: {FEW}: 1 for 1"]


def test_all_seeds_of_a_row_stand_against_all_seeds_of_the_first_one():
    seeds = {0: [0.6, 0.9, 0.1, 0.4], 1: [0.1, 0.4, 0.6, 0.9]}  # AUC 3 / 4, of the mean 1
    results = {seed: classified("detect", scores) for seed, scores in seeds.items()}
    found = {"first": results, "equal": results}
    text = "\n\n".join(cross_tables(found, Table("t", {}), {}, attempt=lambda *_: None))
    cells = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    gains = {(row[1], row[2]): row[-4] for row in cells if row[1:2] in (["first"], ["equal"])}
    assert all(gains["first", seed] == "–" for seed in ("0", "1", "mean of 2"))
    assert all(gains["equal", seed].startswith("+0.000") for seed in ("0", "1", "mean of 2"))
