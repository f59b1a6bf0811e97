"""Text files and tables as people's programs write them, read in one way.

Owns encodings and separators: UTF-8, UTF-16 with its byte-order mark, or cp1254 (Windows in
Turkish); comma, semicolon or tab. Knows nothing of what a table is for.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SEPARATORS = (",", ";", "\t")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NOT_CP1254 = re.compile(rb"[\x80-\x9f]")  # Turkish letters of DOS and of UTF-8 stand there
_EXCEL_HINT = re.compile(r"sep=([,;\t])")


class Text(NamedTuple):
    """The text of a file, without a byte-order mark, and the encoding that it is in."""

    text: str
    encoding: str


class TableRow(NamedTuple):
    """One row of a table.

    Attributes:
        line: Its last line in the file, the first line being 1.
        values: Its cells by column, without spaces around them; "" where the row is short.
    """

    line: int
    values: dict[str, str]


def read_text(path: Path, *, name: str | None = None) -> Text:
    """Returns the text of a file; `name` is how messages call it, in place of its path.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is in none of the encodings.
    """
    return decode_text(path.read_bytes(), name=name or str(path))


def decode_text(data: bytes, *, name: str) -> Text:
    """Returns the text of a file's bytes; `name` is how messages call it.

    Raises:
        ValueError: If they are in none of the encodings.
    """
    marked = [encoding for mark, encoding in _MARKS if data.startswith(mark)]
    for encoding in marked[:1] or ["utf-8", *([] if _NOT_CP1254.search(data) else ["cp1254"])]:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return Text(text, encoding)
    raise ValueError(
        f"{name} must be text in UTF-8, in UTF-16 with its byte-order mark or in cp1254. "
        f"Received: {_looks_like(data, marked)}"
    )


def read_table(
    path: Path, columns: Sequence[str] = (), *, name: str | None = None
) -> list[TableRow]:
    """Returns the rows of a CSV or TSV file whose first line names the columns.

    Other columns may stand beside the wanted ones; rows of empty cells are left out. `name` is how
    messages call the file, in place of its path.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is in none of the encodings, lacks a column or has one twice, or a row has
            more cells than there are columns. Names file, encoding, separator and line.
    """
    name = name or str(path)
    text, encoding = read_text(path, name=name)
    separator, skipped, text = _separator(text, columns)
    lines = _lines(text, separator, name=name)
    _, heading = next(lines, (1, []))
    seen = f"{heading} ({encoding}, separated by {separator!r})"
    if missing := [column for column in columns if column not in heading]:
        wanted = f"{name}: must have the columns {list(columns)}, separated by , ; or a tab"
        raise ValueError(f"{wanted}. Missing: {missing}. Received: {seen}")
    if doubled := {cell for cell in heading if cell and heading.count(cell) > 1}:
        raise ValueError(f"{name}: a column must stand once. Twice: {sorted(doubled)} in {seen}")
    return [
        TableRow(line + skipped, _values(heading, cells, f"{name}: line {line + skipped}"))
        for line, cells in lines
        if any(cells)
    ]


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Returns rows, the first of them the heading, as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_columns(path: Path) -> list[str]:
    """Returns the columns of a CSV or TSV file; raises as `read_table` does."""
    text, _ = read_text(path)
    separator, _, text = _separator(text, ())
    return next(_lines(text, separator, name=str(path)), (1, []))[1]


def _separator(text: str, columns: Sequence[str]) -> tuple[str, int, str]:
    """Returns the separator, the number of lines before the heading, and the text from there."""
    first, _, rest = text.partition("\n")
    if hint := _EXCEL_HINT.fullmatch(first.strip(" \r")):
        return hint[1], 1, rest

    def fits(separator: str) -> tuple[int, int]:
        cells = [cell.strip() for cell in first.replace('"', "").split(separator)]
        return len(set(columns).intersection(cells)), len(cells)

    return max(SEPARATORS, key=fits), 0, text


def _lines(text: str, separator: str, *, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            yield reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise ValueError(
            f"{name}: line {reader.line_num} must be cells separated by {separator!r}. "
            f"Received: {error}"
        ) from error


def _values(heading: list[str], cells: list[str], where: str) -> dict[str, str]:
    if any(cells[len(heading) :]):
        raise ValueError(f"{where} must have {len(heading)} cells. Received: {len(cells)}")
    padded = [*cells, *[""] * (len(heading) - len(cells))]
    return dict(zip(heading, padded, strict=False))


def _looks_like(data: bytes, marked: list[str]) -> str:
    if data.startswith(b"PK"):
        return "a ZIP file, as Excel's .xlsx are: save it as CSV UTF-8"
    if marked:
        return f"the byte-order mark of {marked[0]}, and then bytes that are not"
    if b"\0" in data:
        return "zero bytes: UTF-16 without its mark, or no text"
    place = next(number for number, byte in enumerate(data) if byte > 127)
    return f"byte {data[place]:#04x} on line {data[:place].count(10) + 1}"
