"""The stage-1 text format of the TEKNOFEST-2021 stroke competition: an id and yes or no a line."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import NamedTuple

STAGE1_HEADER = "Image Id\tİnme Var mı?"
_SEPARATORS = "\t;,"  # a tab is the organisers'; the others are what Excel makes of it
_LINE = {mark: re.compile(rf"([^{mark}]*\S){mark}\s*([01])\s*") for mark in _SEPARATORS}


class Stage1Line(NamedTuple):
    """One line of a stage-1 file.

    Attributes:
        number: Line number, the header being line 1.
        text: The line as it stands, without its end.
        image_id: The slice's id; empty where the line cannot be read.
        stroke: The answer; None where the line is not an id, the separator and 0 or 1.
    """

    number: int
    text: str
    image_id: str
    stroke: bool | None


def stage1_text(answers: Mapping[str, bool]) -> str:
    r"""Returns stage-1 answers in the organisers' format: tab-separated lines that end in CRLF.

    Write it as UTF-8 and without translating line ends.

    Args:
        answers: Whether the slice of an id shows a stroke; the order is kept.

    Raises:
        ValueError: If an id is empty or holds white space other than single spaces between words.
    """
    for image_id in answers:
        if not image_id or " ".join(image_id.split()) != image_id:
            raise ValueError(f"an id must be words parted by single spaces. Received: {image_id!r}")
    lines = [STAGE1_HEADER, *(f"{name}\t{int(stroke)}" for name, stroke in answers.items())]
    return "".join(f"{line}\r\n" for line in lines)


def parse_stage1(text: str, *, name: str = "answers") -> dict[str, bool]:
    """Returns the answers of a stage-1 text by id.

    Args:
        text: The text; a byte-order mark, any line ends, blank lines, and semicolons or commas for
            tabs are let pass.
        name: Where the text comes from, for the error messages.

    Raises:
        ValueError: If the header is missing, a line is not an id, a tab and 0 or 1, or an id
            occurs twice. Names the line.
    """
    if not is_stage1(text):
        first = "".join(text.splitlines()[:1])
        raise ValueError(f"{name}: line 1 must be {STAGE1_HEADER!r}. Received: {first!r}")
    answers: dict[str, bool] = {}
    for line in stage1_lines(text):
        if line.stroke is None:
            rule = "must be an id, a tab and 0 or 1"
        elif line.image_id in answers:
            rule = "must not repeat an id"
        else:
            answers[line.image_id] = line.stroke
            continue
        raise ValueError(f"{name}: line {line.number} {rule}. Received: {line.text!r}")
    return answers


def is_stage1(text: str) -> bool:
    """Returns whether a text starts with the header of stage 1, in any case and spelling of i."""
    return _separator(text) is not None


def stage1_lines(text: str) -> Iterator[Stage1Line]:
    """Yields the lines after the header, right or wrong; blank ones are left out."""
    pattern = _LINE[_separator(text) or "\t"]
    for number, line in enumerate(text.splitlines()[1:], start=2):
        if match := pattern.fullmatch(line):
            yield Stage1Line(number, line, match[1], match[2] == "1")
        elif line.strip():
            yield Stage1Line(number, line, "", None)


def _separator(text: str) -> str | None:
    """Returns what separates the two words of the header; None where there is no header."""
    first = "".join(text.splitlines()[:1])
    return next((mark for mark in _SEPARATORS if _fold(first, mark) == _HEADER), None)


def _fold(text: str, separator: str) -> list[str]:
    """Returns the letters a to z of each cell, in lower case and with one kind of i."""
    plain = unicodedata.normalize("NFKD", text).lower().replace("ı", "i")
    return [re.sub("[^a-z]", "", cell) for cell in plain.split(separator)]


_HEADER = _fold(STAGE1_HEADER, "\t")
