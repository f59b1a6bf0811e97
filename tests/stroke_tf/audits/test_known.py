import pytest

from stroke_tf.audits.known import classes_of, findings_of, flags_of
from stroke_tf.own_table import known_of


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "table.csv").write_text(text)
        return tmp_path / "table.csv"

    return write


def test_columns_of_0_and_1_are_flags_and_others_classes(table):
    known = known_of(table("id,hospital,flag\na1,A,1\na2,B,0\n"), ["a1", "a3", "a2"])
    assert classes_of(known).fillna("none").to_dict("list") == {"hospital": ["A", "none", "B"]}
    assert flags_of(known).to_dict("list") == {"flag": [True, False, False]}


def test_columns_of_one_value_or_of_many_divide_nothing(table):
    lines = "\n".join(f"{number},A,{number * 1.5}" for number in range(20))
    known = known_of(table(f"id,city,age\n{lines}\n"), ["3"])
    assert classes_of(known).columns.tolist() == []


@pytest.mark.parametrize(
    ("n", "levels"), [(1, []), (2, ["note"]), (3, ["warning"])], ids=["all", "half", "few"]
)
def test_a_table_that_names_few_slices_is_told_with_the_number(table, n, levels):
    found = findings_of(known_of(table("id,source\n1,A\n"), list("123")[:n]))
    assert [finding.level for finding in found] == levels
    assert all(finding.text.startswith(f"table.csv names 1 of {n} slices") for finding in found)
