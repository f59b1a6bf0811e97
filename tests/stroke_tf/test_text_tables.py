"""Tests of stroke_tf.text_tables: encodings, separators, and what is refused."""

from pathlib import Path

import pytest

from stroke_tf.text_tables import TableRow, decode_text, read_columns, read_table, read_text

ROWS = [TableRow(2, {"id": "1", "patient": "Şükrı"}), TableRow(3, {"id": "2", "patient": "İğde"})]
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1254"]


def _write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_encoding_and_separator_gives_the_same_rows(
    tmp_path: Path, encoding: str, separator: str, newline: str
) -> None:
    text = newline.join(["id,patient", "1,Şükrı", "2,İğde", ""]).replace(",", separator)
    assert read_table(_write(tmp_path, text, encoding), ("id", "patient")) == ROWS
    assert read_columns(tmp_path / "table.csv") == ["id", "patient"]


@pytest.mark.parametrize(("mark", "encoding"), [(b"\xfe\xff", "utf-16-be"), (b"", "utf-8")])
def test_a_text_is_read_without_its_mark(tmp_path: Path, mark: bytes, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes(mark + "ağ\r\n".encode(encoding))
    assert read_text(tmp_path / "a.txt").text == "ağ\r\n"


def test_the_separator_is_the_one_that_gives_the_columns(tmp_path: Path) -> None:
    path = _write(tmp_path, 'note, a, b;id;"patient"\nx, y, z;1;" p "\n')
    rows = read_table(path, ("id", "patient"))
    assert rows == [TableRow(2, {"note, a, b": "x, y, z", "id": "1", "patient": "p"})]


def test_the_separator_that_excel_writes_is_no_heading(tmp_path: Path) -> None:
    path = _write(tmp_path, "sep=;\r\nid;patient\r\n1;Şükrı\r\n", "cp1254")
    assert read_table(path, ("id",)) == [TableRow(3, {"id": "1", "patient": "Şükrı"})]


def test_short_and_empty_rows_and_quoted_line_ends_are_let_pass(tmp_path: Path) -> None:
    path = _write(tmp_path, 'id,patient,note\n1\n,,\n\n2,p,"a\nb",\n')
    assert read_table(path) == [
        TableRow(2, {"id": "1", "patient": "", "note": ""}),
        TableRow(6, {"id": "2", "patient": "p", "note": "a\nb"}),
    ]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (
            b"id|patient\n1|a\n",
            r"Missing: \['id', 'patient'\]. Received: \['id\|patient'\] \(utf-8",
        ),
        (
            b"id;person\n1;a\n",
            r"Missing: \['patient'\].*\['id', 'person'\] \(utf-8, separated by ';",
        ),
        (b"", r"Missing: \['id', 'patient'\]"),
        (b"id,patient,id\n", r"a column must stand once. Twice: \['id'\]"),
        (b"id,patient\n1,a\n2,b,c\n", "line 3 must have 2 cells. Received: 3"),
        (b'id,patient\n1,"a\n2,b\n', "line 3 must be cells separated by ','"),
        (
            "id,patient\n1,Şükrü\n".encode("cp857"),
            "UTF-8.*UTF-16.*cp1254. Received: byte .* line 2",
        ),
        ("id,patient\n".encode("utf-16-le"), "zero bytes: UTF-16 without its mark"),
        (b"\xff\xfei\0d\0", r"Missing: \['patient'\]. Received: \['id'\] \(utf-16"),
        (b"\xff\xfei\0d\0,", "the byte-order mark of utf-16, and then bytes that are not"),
        (b"PK\x03\x04\x14\0\x06\0", "a ZIP file, as Excel's .xlsx are"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, data: bytes, part: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"(?s)table\.csv.*{part}"):
        read_table(path, ("id", "patient"))


def test_utf_8_is_tried_before_cp1254() -> None:
    assert decode_text("ü".encode(), name="a") == ("ü", "utf-8")
    assert decode_text(b"\xfc", name="a") == ("ü", "cp1254")
