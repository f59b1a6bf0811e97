"""Measured numbers of README and docs must be those of the result files that the pages name.

Below a table stands "Source: `docs/results/NAME.json`", or the file of code that its numbers are
tested against. A result file has the command, what was measured and `values`: by row of the table,
or by any name, and below that numbers.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = sorted((ROOT / "docs" / "results").glob("*.json"))
PAGES = [
    ROOT / "README.md",
    ROOT / "stroke_tf/fast/README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
TOLD = ("command", "date", "n", "note", "processor", "protocol", "values")
NUMBER = r"(?<![\w.])[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e-?\d+)?(?=x?\b)"
MEASURED = r"[*+-]*\d[\d,]*\.\d"  # how a cell begins
SCORE = r"\b[01]\.\d{3,}\b"
SOURCE = r"^Source: (.*)$"


def tables():
    """Each table of a page: its lines of cells, and the line that follows it."""
    for page in PAGES:
        found = re.findall(r"((?:^\|.*\n)+)\n*(.*)", page.read_text(), re.MULTILINE)
        for number, (text, below) in enumerate(found, 1):
            lines = [re.split(r" *(?<!\\)\| *", row.strip("| ")) for row in text.splitlines()[2:]]
            name = f"{page.relative_to(ROOT)}, table {number}"
            measured = any(re.match(MEASURED, cell) for line in lines for cell in line[1:])
            if measured or re.match(SOURCE, below):
                yield pytest.param(lines, below, id=name)


def sources(text):
    """The files that lines "Source: " name."""
    named = re.findall(SOURCE, text, re.MULTILINE)
    return [ROOT / path for line in named for path in re.findall("`([^`]+)`", line)]


def numbers(values):
    """All numbers of nested values."""
    if isinstance(values, dict):
        return [number for value in values.values() for number in numbers(value)]
    if isinstance(values, list):
        return [number for value in values for number in numbers(value)]
    return [values]


def is_among(printed, values):
    """Whether a number is one of some values, rounded as it is printed."""
    text = printed.replace(",", "")
    mantissa, _, exponent = text.partition("e")
    spec = f".{len(mantissa.partition('.')[2])}{'e' if exponent else 'f'}"
    return any(float(format(value, spec)) == float(text) for value in values)


def of_row(label, values):
    """The numbers of a row in the values of a file; all of them where these are one flat list."""
    if isinstance(values, list):
        return numbers(values)
    return numbers(values.get(label.replace("`", ""), []))


def misplaced(printed, known):
    """Returns the first printed number that is unknown or out of order; None if all are right.

    Printed numbers must be in the order of the known ones, which may be left out. So cells cannot
    be exchanged, and where a row prints all of its numbers, each is in its place.
    """
    rest = iter(known)
    return next(
        (number for number in printed if not any(is_among(number, [value]) for value in rest)), None
    )


@pytest.mark.parametrize(("lines", "below"), list(tables()))
def test_numbers_of_a_table_are_those_of_its_source(lines, below):
    files = sources(below)
    assert files, "below a table with measured numbers must stand: Source: `docs/results/NAME.json`"
    assert all(path.is_file() for path in files), below
    kept = [json.loads(path.read_text())["values"] for path in files if path.suffix == ".json"]
    for label, *cells in lines if kept else []:
        printed = re.findall(NUMBER, re.sub("`[^`]*`", "", " | ".join(cells)))
        known = [number for values in kept for number in of_row(label, values)]
        assert known or not printed, f"row {label!r}: not in {below}"
        wrong = misplaced(printed, known)
        assert wrong is None, f"{wrong}, row {label!r}: not there, or in another order, in {below}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "Source: `docs/results" in page.read_text()]
)
def test_scores_in_the_text_of_a_page_are_in_its_sources(page):
    text = page.read_text()
    files = [path for path in sources(text) if path.suffix == ".json"]
    known = numbers([json.loads(path.read_text())["values"] for path in files])
    prose = re.sub(r"^```.*?^```$|^\|.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    missing = [score for score in re.findall(SCORE, prose) if not is_among(score, known)]
    assert missing == [], f"not in {[path.name for path in files]}"


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.name)
def test_a_result_file_says_what_was_measured_and_how(path):
    result = json.loads(path.read_text())
    assert set(TOLD) <= result.keys() <= {*TOLD, "interval", "seeds"}
    assert numbers(result["values"])
    assert any(f"docs/results/{path.name}`" in page.read_text() for page in PAGES)


def test_a_number_is_compared_as_it_is_printed():
    assert is_among("1,064", [1064.4])
    assert is_among("-0.017", [-0.0174])
    assert is_among("7.1e-4", [0.000712])
    assert not is_among("0.017", [-0.0174])
    assert not is_among("0.834", [0.8334, 0.8346])


def test_numbers_stand_in_the_order_of_their_row():
    row = {"auc": [0.8123, 0.703, 0.883], "n": 500}
    assert misplaced(["0.812", "0.703", "0.883", "500"], numbers(row)) is None
    assert misplaced(["0.812", "500"], numbers(row)) is None
    assert misplaced(["0.812", "0.883", "0.703", "500"], numbers(row)) == "0.703"
    assert misplaced(["500", "0.812"], numbers(row)) == "0.812"
    assert misplaced(["0.703", "0.703"], numbers(row)) == "0.703"


def test_a_row_that_a_file_lacks_has_no_numbers():
    values = {"`frozen`": [0.7], "frozen": [0.8]}
    assert of_row("`frozen`", values) == [0.8]
    assert of_row("tuned", values) == []
    assert of_row("tuned", [0.1, 0.2]) == [0.1, 0.2]


def test_there_are_tables_of_measured_numbers():
    assert len(list(tables())) > 10
