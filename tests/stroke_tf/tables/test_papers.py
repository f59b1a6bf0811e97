import colorsys
import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.models import BACKBONES
from stroke_tf.models.custom_cnn import CUSTOM_CNNS
from stroke_tf.run_folder import RunMetrics
from stroke_tf.tables.papers import TABLES, comparison_table
from stroke_tf.tables.published import PublishedCounts, compare

NONE, ISCHEMIA, HEMORRHAGE = 4427, 1130, 1093  # TEKNOFEST training set
STROKE = ISCHEMIA + HEMORRHAGE
DIGIT = 0.5e-4 + 1e-9  # percentages with two decimals, rounded
DECODED = [
    pytest.param(row, id=f"{key} {row.name}")
    for key, table in TABLES.items()
    for row in table.rows
    if row.counts
]
TYPE_ROWS = TABLES["usth-t2"].rows
T5 = [
    pytest.param(row, side, id=f"{row.name} {side}")
    for row, side in itertools.product(TABLES["saucis-t5"].rows, ("negative", "positive"))
]


def _sizes(key):
    return {row.name: row.values["slices"] for row in TABLES[key].rows}


def _run(row, protocol="clean", **metrics):
    values = {name: Metric(*numbers) for name, numbers in metrics.items()}
    split = {"train": (0,), "val": (1,), "test": (2,)}
    return RunMetrics("e", row, 3, protocol, split, 40, 0.5, values, 1.0, "0")


def _averages(tp, tn, *, positives, negatives):
    """Precision, recall and F1 as means of both classes, each of the shape of tp and tn."""
    fn, fp = positives - tp, negatives - tn
    of_positive = tp / (tp + fp), tp / positives, 2 * tp / (2 * tp + fp + fn)
    of_negative = tn / (tn + fn), tn / negatives, 2 * tn / (2 * tn + fp + fn)
    both, share = np.array([of_positive, of_negative]), positives / (positives + negatives)
    return {"macro": both.mean(axis=0), "weighted": share * both[0] + (1 - share) * both[1]}


@pytest.mark.parametrize("row", DECODED)
def test_decoded_counts_give_every_printed_ratio_to_its_digits(row):
    decoded = row.counts.metrics()
    for name, printed in row.values.items():
        assert decoded[name] == pytest.approx(printed, abs=DIGIT), name


@pytest.mark.parametrize("row", TABLES["usth-t1"].rows, ids=lambda row: row.name)
def test_detection_rows_have_one_confusion_matrix_and_one_kind_of_average(row):
    printed = np.array(list(row.values.values()))[:, None, None]
    tp, tn = np.mgrid[1:71, 1:131]
    found = [
        (int(tp[index]), int(tn[index]), kind)
        for kind, means in _averages(tp, tn, positives=70, negatives=130).items()
        for index in zip(*np.nonzero((np.abs(means - printed) <= DIGIT).all(axis=0)), strict=True)
    ]
    (kind,) = {name.split("_")[1] for name in row.values}
    assert found == [(row.counts.tp, row.counts.tn, kind)]


def row_of(table, name):
    (row,) = (row for row in TABLES[table].rows if row.name == name)
    return row


def test_the_best_detector_fixes_the_number_of_slices():
    # 5 missed and no false alarm, as the text says
    precision, recall, _ = row_of("usth-t1", "efficientnetv2b0").values.values()
    fits = [
        (positives, negatives)
        for positives, negatives in itertools.product(range(6, 400), range(1, 400))
        if abs((1 + negatives / (negatives + 5)) / 2 - precision) <= DIGIT
        and abs(((positives - 5) / positives + 1) / 2 - recall) <= DIGIT
    ]
    assert fits == [(70, 130)]
    rows = TABLES["usth-t1"].rows
    assert {row.counts.tp + row.counts.fn for row in rows} == {70}
    assert {row.counts.tn + row.counts.fp for row in rows} == {130}


@pytest.mark.parametrize("row", TYPE_ROWS, ids=lambda row: row.name)
def test_type_rows_have_one_set_of_counts_up_to_doubling(row):
    precision, recall, f1 = row.values.values()
    found = [
        (tp, positives - tp, fp)
        for positives in range(1, 2 * 219 + 1)
        for tp in range(math.floor((recall - DIGIT) * positives), positives + 1)
        for fp in range(60)
        if tp
        and abs(tp / positives - recall) <= DIGIT
        and abs(tp / (tp + fp) - precision) <= DIGIT
        and abs(2 * tp / (tp + positives + fp) - f1) <= DIGIT
    ]
    cells = np.array([row.counts.tp, row.counts.fn, row.counts.fp])
    assert found == [tuple(cells), tuple(2 * cells)]


def test_type_rows_were_not_all_scored_on_the_same_slices():
    haemorrhages = [row.counts.tp + row.counts.fn for row in TYPE_ROWS]
    assert haemorrhages == [219, 219, 211]
    assert round(0.2 * HEMORRHAGE) == 219


def test_only_one_detector_reaches_the_recall_goal_for_stroke_while_all_averages_do():
    goal, rows = 0.88, TABLES["usth-t1"].rows  # III-A
    reached = {row.name for row in rows if row.counts.metrics()["sensitivity"] >= goal}
    assert reached == {"efficientnetv2b0"}
    assert all(row.counts.metrics()["recall_macro"] >= goal for row in rows)
    best = row_of("usth-t1", "efficientnetv2b0").counts.metrics()
    assert best["sensitivity"] == pytest.approx(0.9286, abs=DIGIT)


def test_the_weighted_recall_of_mobilenetv2_is_its_accuracy():
    row = row_of("usth-t1", "mobilenetv2")
    assert row.counts.metrics()["accuracy"] == row.values["recall_weighted"] == 182 / 200


def test_saucis_sizes_are_multiples_of_the_training_set():
    assert _sizes("saucis-t1") == {"positive": 4 * STROKE, "negative": 2 * NONE}
    assert _sizes("saucis-t3") == {"ischemia": 6 * ISCHEMIA, "hemorrhage": 6 * HEMORRHAGE}


def test_the_saucis_split_counts_augmented_slices():
    sizes, total = _sizes("saucis-t2"), sum(_sizes("saucis-t1").values())
    assert sum(sizes.values()) == total == 17746
    for part, share in {"train": 0.7, "test": 0.2, "val": 0.1}.items():
        assert sizes[part] == pytest.approx(share * total, abs=1), part


def test_the_usth_data_set_is_the_training_set_with_both_test_sessions():
    sizes = _sizes("usth-data")
    assert sizes["all"] == sizes["none"] + sizes["stroke"]
    assert sizes["all"] - (NONE + STROKE) == 301
    assert sizes["stroke"] - STROKE == 171
    # all negatives of both test sessions: those of Table I
    assert sizes["none"] - NONE == 130 != sizes["phase 1 test"]


def test_saucis_validation_accuracy_is_above_training_in_every_row():
    rows = [row.values for row in TABLES["saucis-t4"].rows]
    assert all(row["val_accuracy"] > row["train_accuracy"] for row in rows)
    assert sum(row["val_loss"] > row["train_loss"] for row in rows) == 3


def _f1_contradicts(row, side):
    first, second = (row.values[f"{name}_{side}"] for name in ("accuracy", "precision_recall"))
    printed = row.values["f1" if side == "positive" else "f1_negative"]
    low, high = (
        2 * (first + slack) * (second + slack) / (first + second + 2 * slack)
        for slack in (-0.005, 0.005)
    )
    return not (low - 1e-9 <= printed + 0.005 and printed - 0.005 <= high + 1e-9)


@pytest.mark.parametrize(("row", "side"), T5)
def test_f1_of_saucis_table_5_contradicts_its_columns_where_the_note_says(row, side):
    named = {
        ("vgg16", "positive"),
        ("inceptionv3", "positive"),
        ("densenet121", "negative"),
        ("densenet121", "positive"),
        ("inceptionresnetv2", "negative"),
        ("inceptionresnetv2", "positive"),
    }
    assert _f1_contradicts(row, side) == ((row.name, side) in named)


@pytest.mark.parametrize("order", ["precision first", "recall first"])
@pytest.mark.parametrize("row", TABLES["saucis-t5"].rows, ids=lambda row: row.name)
def test_no_share_of_strokes_gives_the_four_ratios_of_a_model_of_saucis_table_5(row, order):
    columns = ("accuracy", "precision_recall")
    names = columns if order == "precision first" else columns[::-1]
    (precision_0, recall_0), (precision_1, recall_1) = (
        [row.values[f"{name}_{side}"] for name in names] for side in ("negative", "positive")
    )
    share = np.linspace(0.002, 0.998, 499)[:, None, None]
    slack = np.linspace(-0.005, 0.005, 21)
    found_0, found_1 = recall_0 + slack[:, None], recall_1 + slack
    of_0 = found_0 * (1 - share) / (found_0 * (1 - share) + (1 - found_1) * share)
    of_1 = found_1 * share / (found_1 * share + (1 - found_0) * (1 - share))
    errors = np.maximum(np.abs(of_0 - precision_0), np.abs(of_1 - precision_1))
    assert errors.min() > 0.009  # rounding explains 0.005


def _iou_of(dice):
    return dice / (2 - dice)


def test_the_iou_of_saucis_table_6_is_that_of_the_training_loss():
    (row,) = TABLES["saucis-t6"].rows
    assert _iou_of(1 - row.values["train_loss"]) == pytest.approx(0.649, abs=5e-4)
    assert _iou_of(1 - row.values["val_loss"]) == pytest.approx(0.613, abs=5e-4)
    assert row.values["lesion_iou"] - 0.649 < 0.002


def test_the_abstract_of_saucis_rounds_vgg16_up():
    said = row_of("saucis-text", "vgg16").values["accuracy"]
    assert said > round(row_of("saucis-t4", "vgg16").values["val_accuracy"], 2) == 0.93


@pytest.mark.parametrize("row", TABLES["usth-t3"].rows, ids=lambda row: row.name)
def test_the_iou_of_usth_table_3_is_above_that_of_one_overlap(row):
    assert row.values["sm_iou"] > _iou_of(row.values["sm_f1"]) + 0.05


def test_red_hues_of_the_usth_masks_hold_blue_but_not_green():
    def hue(*rgb):
        return 255 * colorsys.rgb_to_hsv(*rgb)[0]

    assert [round(hue(*rgb)) for rgb in ((1, 0, 0), (0, 1, 0), (0, 0, 1))] == [0, 85, 170]
    assert 160 <= hue(0, 0, 1) <= 255


def test_values_are_fractions_and_sizes_whole_numbers():
    for key, table in TABLES.items():
        for row in table.rows:
            for name, value in row.values.items():
                valid = value == int(value) > 1 if name == "slices" else 0 < value < 1
                assert valid, (key, row.name, name)


@pytest.mark.parametrize("key", ["saucis-t4", "saucis-t5", "usth-t1", "usth-t2"])
def test_rows_of_classifiers_have_the_names_of_our_networks(key):
    names = {row.name for row in TABLES[key].rows}
    assert names <= BACKBONES.keys() | CUSTOM_CNNS.keys()


def test_counts_without_true_negatives_give_no_ratio_of_negatives():
    assert PublishedCounts(tp=3, fn=1, fp=0).metrics() == {
        "sensitivity": 0.75,
        "precision": 1.0,
        "f1": pytest.approx(6 / 7),
    }


NAN = float("nan")


@pytest.mark.parametrize(
    ("published", "ours", "cell"),
    [
        (0.9643, (0.9, 0.85, 0.95), "0.9643 / 0.900 (-0.064) [0.850, 0.950]"),
        (0.92, (0.95, NAN, NAN), "0.92 / 0.950 (+0.030)"),
        (None, (0.9, 0.85, 0.95), "– / 0.900 [0.850, 0.950]"),
        (0.92, (NAN, NAN, NAN), "0.92 / –"),
        (None, (NAN, NAN, NAN), "–"),
    ],
)
def test_a_cell_shows_paper_ours_difference_and_interval(published, ours, cell):
    assert compare(published, Metric(*ours)) == cell


def test_a_comparison_has_every_row_of_the_paper_and_ours_after_them():
    ours = {
        "resnet18": _run("resnet18", precision=(0.9142, 0.8, 1.0)),
        "vgg16": _run("vgg16", precision=(0.7, 0.6, 0.8)),
    }
    header, rule, *rows = comparison_table("usth-t2", ours).split("\n\n")[0].splitlines()
    assert header == "| row | protocol | seed | n | precision | sensitivity | f1 |"
    assert rows == [
        "| cnn-type | – | – | – | 0.986 / – | 0.9635 / – | 0.9746 / – |",
        "| efficientnetv2b0 | – | – | – | 0.972 / – | 0.9498 / – | 0.9607 / – |",
        "| resnet18 | clean | 3 | 40 | 0.9845 / 0.914 (-0.070) [0.800, 1.000] | 0.9052 / – "
        "| 0.9432 / – |",
        "| vgg16 | clean | 3 | 40 | – / 0.700 [0.600, 0.800] | – | – |",
    ]


def test_a_decoded_number_is_marked():
    ours = {"mobilenetv2": _run("mobilenetv2", sensitivity=(0.9, 0.8, 1.0))}
    table = comparison_table("usth-t1", ours, metrics=["recall_weighted", "sensitivity", "auc"])
    (row,) = [line for line in table.splitlines() if line.startswith("| mobilenetv2")]
    cells = ["0.91 / –", "0.8† / 0.900 (+0.100) [0.800, 1.000]", "–"]
    assert row == f"| mobilenetv2 | clean | 3 | 40 | {' | '.join(cells)} |"
    assert "† from counts decoded" in table


def test_a_comparison_of_two_protocols_is_refused():
    ours = {"vgg16": _run("vgg16"), "xception": _run("xception", protocol="as-published")}
    with pytest.raises(ValueError, match="one protocol. Received:"):
        comparison_table("saucis-t5", ours)


def test_an_unknown_table_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'usth-t3'.*Received: 'usth-t4'"):
        comparison_table("usth-t4", {})


def test_the_numbers_load_without_tensorflow_or_pandas():
    code = (
        "import sys, stroke_tf.tables.papers; "
        "print(sorted({'tensorflow', 'keras', 'pandas', 'sklearn'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
