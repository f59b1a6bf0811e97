import pytest

from stroke_tf.audits.known import classes_of, flags_of, known_of

CT_ICH = """PatientNumber,SliceNumber,Epidural,Subdural,Fracture
49,1,0,1,0
49,2,1,1,0
50,1,0,0,1
"""


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "table.csv").write_text(text)
        return tmp_path / "table.csv"

    return write


def test_two_first_columns_name_patient_and_slice(table):
    known = known_of(table(CT_ICH), ["049-002", "050-001", "049-001"])
    assert flags_of(known)["Epidural"].tolist() == [True, False, False]
    assert flags_of(known)["Fracture"].tolist() == [False, True, False]


def test_the_column_id_names_slices_wherever_it_stands(table):
    known = known_of(table("source,id\nA,0001/0\nB,0001/1\n"), ["0001/1", "0001/0"])
    assert known.cells.to_dict("list") == {"source": ["B", "A"]}


def test_the_first_column_alone_names_slices(table):
    known = known_of(table("image;hospital\n7;A\n8;B\n"), ["8", "7"])
    assert classes_of(known)["hospital"].tolist() == ["B", "A"]


def test_a_slice_without_a_row_has_empty_cells_and_is_of_no_class(table):
    known = known_of(table("id,hospital,flag\na1,A,1\na2,B,0\n"), ["a1", "a3", "a2"])
    assert known.cells["hospital"].tolist() == ["A", "", "B"]
    assert classes_of(known)["hospital"].isna().tolist() == [False, True, False]
    assert flags_of(known)["flag"].tolist() == [True, False, False]


def test_columns_of_one_value_or_of_many_divide_nothing(table):
    lines = "\n".join(f"{number},A,{number * 1.5}" for number in range(20))
    known = known_of(table(f"id,city,age\n{lines}\n"), ["3"])
    assert classes_of(known).columns.tolist() == []


def test_a_table_of_other_slices_is_refused(table):
    with pytest.raises(ValueError, match="must name slices in its column `id`"):
        known_of(table("id,source\n1,A\n"), ["2"])


def test_a_slice_named_twice_is_refused(table):
    with pytest.raises(ValueError, match="must name a slice once. Received more of: .*a-1"):
        known_of(table("id,source\na_01,A\na-01,B\n"), ["a-1"])
    with pytest.raises(ValueError, match="must name a slice once. Received more of: .*a-1"):
        known_of(table("id,source\na-1,A\na-1,B\n"), ["a-1"])


def test_ids_that_are_one_by_their_numbers_are_told_apart_as_they_are(table):
    known = known_of(table("id,source\n1,A\n01,B\na-1,C\na_01,D\n"), ["01", "1", "a_01", "a-1"])
    assert known.column("source") == ["B", "A", "D", "C"]


def test_a_row_that_could_be_of_two_slices_is_of_neither(table):
    known = known_of(table("id,source\n001,A\n2,B\n"), ["1", "01", "2"])
    assert known.column("source") == ["", "", "B"]


@pytest.mark.parametrize("heading", ["image,source", "source,image", "source,other,image"])
def test_a_path_of_a_picture_names_the_slice_that_is_called_after_it(heading, table):
    columns = heading.split(",")
    rows = [{"image": f"p1/{name}.png", "source": name, "other": "x"} for name in ("a", "b")]
    lines = [",".join(row[it] for it in columns) for row in rows]
    known = known_of(table("\n".join([heading, *lines])), ["p1/b", "p1/a"])
    assert known.column("source") == ["b", "a"]


def test_a_column_that_names_slices_can_be_asked_for(table):
    known = known_of(table("patient,slice,source\nA,1,x\nB,1,y\n"), ["b-01", "a-01"])
    assert known.column("patient") == ["B", "A"]
    assert known.column("source") == ["y", "x"]


@pytest.mark.parametrize(
    ("n", "levels"), [(1, []), (2, ["note"]), (3, ["warning"])], ids=["all", "half", "few"]
)
def test_a_table_that_names_few_slices_is_told_with_the_number(table, n, levels):
    found = known_of(table("id,source\n1,A\n"), list("123")[:n]).findings()
    assert [it.level for it in found] == levels
    assert all(it.text.startswith(f"table.csv names 1 of {n} slices") for it in found)
