import pytest

from data_tools.sources import find_slices
from stroke_tf.own_table import known_of

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
    assert known.cells["Epidural"].tolist() == ["1", "0", "0"]
    assert known.cells["Fracture"].tolist() == ["0", "1", "0"]


def test_the_column_id_names_slices_wherever_it_stands(table):
    known = known_of(table("source,id\nA,0001/0\nB,0001/1\n"), ["0001/1", "0001/0"])
    assert known.cells.to_dict("list") == {"source": ["B", "A"]}


def test_the_first_column_alone_names_slices(table):
    known = known_of(table("image;hospital\n7;A\n8;B\n"), ["8", "7"])
    assert known.cells["hospital"].tolist() == ["B", "A"]


def test_a_slice_without_a_row_has_empty_cells(table):
    known = known_of(table("id,hospital\na1,A\na2,B\n"), ["a1", "a3", "a2"])
    assert known.cells["hospital"].tolist() == ["A", "", "B"]
    assert known.has_row.tolist() == [True, False, True]
    assert known.told() == "table.csv names 2 of 3 slices: of the others it says nothing."


def test_a_table_of_other_slices_is_refused(table):
    with pytest.raises(ValueError, match="its column `id`.* and none of 2 slices, such as 2"):
        known_of(table("id,source\n1,A\n"), ["2", "3"])


def test_a_table_without_a_column_that_is_needed_is_refused(table):
    with pytest.raises(ValueError, match=r"must have the columns \['ward'\]"):
        known_of(table("id,source\n1,A\n"), ["1"], ["ward"])


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
    lines = [",".join(row[column] for column in columns) for row in rows]
    known = known_of(table("\n".join([heading, *lines])), ["p1/b", "p1/a"])
    assert known.column("source") == ["b", "a"]


def test_a_column_that_names_slices_can_be_asked_for(table):
    known = known_of(table("patient,slice,source\nA,1,x\nB,1,y\n"), ["b-01", "a-01"])
    assert known.column("patient") == ["B", "A"]
    assert known.column("source") == ["y", "x"]


def test_the_table_of_ct_ich_names_all_slices_as_they_are_converted(open_data):
    folder = open_data / "ct_ich"
    slices = find_slices(folder).slices
    known = known_of(folder / "hemorrhage_diagnosis.csv", [each.source_id for each in slices])
    assert [*known.naming] == ["PatientNumber", "SliceNumber"]
    assert known.told() == ""
    bleeds = known.cells["No_Hemorrhage"] == "0"
    assert bleeds.tolist() == [each.stroke_type.name == "HEMORRHAGE" for each in slices]
