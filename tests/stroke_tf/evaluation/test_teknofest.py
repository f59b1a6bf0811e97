import math
import unicodedata

import numpy as np
import pytest

from stroke_tf.evaluation.metrics import Counts
from stroke_tf.evaluation.teknofest import score_stage1, score_stage2
from stroke_tf.label_file import is_stage1, parse_stage1, stage1_lines, stage1_text

ANSWERS = {"10012": True, "9": False, "slice a": True}
TEXT = "Image Id\tİnme Var mı?\r\n10012\t1\r\n9\t0\r\nslice a\t1\r\n"


def _mask(*rows):
    return np.array([[int(cell) for cell in row.replace(".", "0")] for row in rows], np.uint8)


TRUTH = _mask(
    "........",
    "........",
    "..1111..",
    "..1111..",
    "..1111..",
    "..1111..",
    "........",
    "........",
)
PREDICTED = _mask(
    "2.......",
    "........",
    ".11.....",
    ".112....",
    ".11.....",
    ".11..2..",
    "........",
    "1.......",
)


def test_answers_are_written_in_the_format_of_the_organisers():
    assert stage1_text(ANSWERS) == TEXT


def test_answers_come_back_in_their_order():
    assert list(parse_stage1(stage1_text(ANSWERS)).items()) == list(ANSWERS.items())


def test_no_answers_are_a_header():
    assert parse_stage1(stage1_text({})) == {}


@pytest.mark.parametrize("image_id", ["", " 1", "1\t2", "1\n2", "1\u2028"])
def test_an_id_that_would_break_a_line_is_rejected(image_id):
    with pytest.raises(ValueError, match="an id must be words .* Received: "):
        stage1_text({image_id: True})


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("header", ["Image Id\tİnme Var mı?", "\ufeffIMAGE ID\tİNME VAR MI?"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_spellings_of_a_text_are_all_read(form, header, newline):
    text = unicodedata.normalize(form, newline.join([header, "4\t1 ", "", "5\t0", " "]))
    assert parse_stage1(text) == {"4": True, "5": False}


@pytest.mark.parametrize("text", ["", "4\t1\n", "Image Id İnme Var mı?\n4\t1\n", "Id\tİnme\n"])
def test_a_missing_header_is_rejected_with_the_first_line(text):
    assert not is_stage1(text)
    with pytest.raises(ValueError, match="a.txt: line 1 must be 'Image Id.*Received: '"):
        parse_stage1(text, name="a.txt")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("4 1", "must be an id, a tab and 0 or 1"),
        ("4\t2", "must be an id, a tab and 0 or 1"),
        ("4\t", "must be an id, a tab and 0 or 1"),
        ("\t1", "must be an id, a tab and 0 or 1"),
        ("9\t0", "must not repeat an id"),
        ("9\t1", "must not repeat an id"),
    ],
)
def test_a_wrong_line_is_named_with_its_text(line, rule):
    with pytest.raises(ValueError) as error:
        parse_stage1(f"{TEXT}\r\n{line}\r\n", name="a.txt")
    assert str(error.value) == f"a.txt: line 6 {rule}. Received: {line!r}"


def test_lines_are_given_right_or_wrong_with_their_numbers():
    assert list(stage1_lines(f"{TEXT}\r\n5\tx")) == [
        (2, "10012\t1", "10012", True),
        (3, "9\t0", "9", False),
        (4, "slice a\t1", "slice a", True),
        (6, "5\tx", "", None),
    ]


def test_a_missing_answer_is_wrong_whatever_the_truth():
    truth = {"a": True, "b": True, "c": True, "d": False, "e": False}
    found = score_stage1(truth, {"a": True, "b": False, "d": False})
    assert found.counts == Counts(tp=1, fp=1, fn=2, tn=1)
    assert found.missing == 2
    assert (found.recall, found.specificity) == pytest.approx((1 / 3, 1 / 2))
    assert found.score == pytest.approx((1 / 3 + 1 / 2) / 2)


def test_all_right_scores_1_and_no_answer_0():
    assert score_stage1(ANSWERS, ANSWERS).score == 1.0
    assert score_stage1(ANSWERS, {}).score == 0.0


def test_a_truth_of_one_class_has_no_score():
    found = score_stage1({"a": True}, {"a": True})
    assert found.recall == 1.0
    assert math.isnan(found.score)


def test_an_answer_to_an_unknown_id_is_rejected():
    with pytest.raises(ValueError, match="ids of the truth. Received: \\['x'\\]"):
        score_stage1({"a": True}, {"a": True, "x": False})


def test_stage_2_by_hand():
    # Dilated, the truth is rows and columns 1-6; eroded, 3-4.
    # TP: the eight 1s in columns 1 and 2. FN: the four pixels of the eroded truth, one called 2.
    # FP: both corners, and the 2 on the lesion's border, where the truth is 1.
    found = score_stage2([TRUTH], [PREDICTED])
    assert found.counts == Counts(tp=8, fp=3, fn=4, tn=64 - 15)
    assert found.score == pytest.approx(8 / 15)


def test_stage_2_with_a_kernel_of_1_is_the_plain_iou():
    # TP: the four 1s in column 2. FN: the other 12. FP: corners and column 1
    found = score_stage2([TRUTH], [PREDICTED], kernel=1)
    assert found.counts == Counts(tp=4, fp=6, fn=12, tn=64 - 22)


def test_stage_2_takes_the_pixels_of_all_slices_together():
    empty = np.zeros((5, 3), np.uint8)
    found = score_stage2([TRUTH, empty, TRUTH], [PREDICTED, empty, TRUTH])
    assert found.counts == Counts(tp=8 + 16, fp=3, fn=4, tn=49 + 15 + 48)
    assert found.score == pytest.approx(24 / 31)


def test_stage_2_forgives_one_pixel_between_lesions_of_both_classes():
    truth = np.repeat(_mask("11112222"), 8, axis=0)
    shifted = np.repeat(_mask("11111222"), 8, axis=0)
    assert score_stage2(truth[None], shifted[None]).score == 1.0
    assert score_stage2(truth[None], 3 - truth[None]).counts == Counts(16, 0, 48, 0)


def test_stage_2_does_not_erode_from_beyond_the_slice():
    full, nothing = np.full((1, 4, 4), 2, np.uint8), np.zeros((1, 4, 4), np.uint8)
    assert score_stage2(full, nothing).counts == Counts(tp=0, fp=0, fn=16, tn=0)


def test_stage_2_without_lesions_has_no_score():
    nothing = np.zeros((1, 4, 4), np.uint8)
    assert math.isnan(score_stage2(nothing, nothing).score)


@pytest.mark.parametrize(
    ("truths", "predictions", "kernel", "message"),
    [
        ([TRUTH], [TRUTH], 2, "`kernel` must be odd and >= 1. Received: 2"),
        ([TRUTH], [TRUTH], -1, "`kernel` must be odd and >= 1. Received: -1"),
        ([TRUTH], [TRUTH[:4]], 3, "one shape .* Received: \\(8, 8\\) and \\(4, 8\\)"),
        ([TRUTH], [TRUTH * 3], 3, "class ids \\[0, 1, 2\\]. Received: \\[0, 3\\]"),
        ([TRUTH], [TRUTH, TRUTH], 3, "shorter|longer"),
    ],
)
def test_stage_2_rejects(truths, predictions, kernel, message):
    with pytest.raises(ValueError, match=message):
        score_stage2(truths, predictions, kernel=kernel)
