"""Every number of the page about the scores of segmentation_models is computed again."""

import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "explanation" / "sm_scores.md").read_text(
    encoding="utf-8"
)
NAMES = ("lesion_dice", "lesion_iou", "sm_f1", "sm_iou")


def rows():
    """The slices, what is done to them, and the printed scores of each row of the example."""
    for line in PAGE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and re.fullmatch("[IH -]*[IH][IH -]*", cells[0]):
            down, right = map(int, cells[1].split(","))
            yield cells[0].replace(" ", ""), down, right, float(cells[2]), cells[3:]


ROWS = list(rows())


@pytest.fixture(scope="module")
def score():
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(code, names)
    return names["score"]


@pytest.mark.parametrize(("slices", "down", "right", "trace", "printed"), ROWS)
def test_a_row_is_what_the_code_of_the_page_gives(score, slices, down, right, trace, printed):
    found = score(slices, down, right, trace)
    assert [f"{found[name]:.3f}" for name in NAMES] == printed


def test_the_example_shows_what_the_page_says_of_it():
    assert len(ROWS) == 8
    dice, f1 = ([float(row[4][column]) for row in ROWS] for column in (0, 2))
    assert {round(value, 2) for value in f1[:4]} == {0.65}
    assert (max(dice[:4]), min(dice[:4])) == (0.95, 0.315)
    assert dice[1] == dice[4] == dice[6] == dice[7]
    text = " ".join(PAGE.split("|")[-1].split())  # what follows the last table
    quoted = set(re.findall(r"0\.\d{3}\b", text))
    assert quoted == {ROWS[row][4][column] for row, column in QUOTED}


QUOTED = [(0, 0), (3, 0), (1, 2), (4, 2), (5, 2), (6, 2), (7, 2)]


def test_an_average_of_2e_11_over_two_slices_reaches_the_smoothing():
    from stroke_tf.evaluation.sm_scores import SM_SMOOTH

    assert f"{SM_SMOOTH / (2 * 512 * 512):.0e}" == "2e-11"
