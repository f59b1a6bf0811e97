import pytest

from stroke_tf.tables.columns import check_columns, read_columns, value_of

TABLE = (
    "id;patient;hospital;kv;file;same\n"
    "01;Ann;A;100;a.png;x\n2;Bob;B;120;b.png;x\n3;Bob;A;;c.png;x\n"
)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "slices.csv"
    path.write_text(TABLE)
    return path


def test_columns_of_some_values_are_taken_and_the_others_named(path, monkeypatch, caplog):
    monkeypatch.setattr("stroke_tf.tables.columns.MOST_VALUES", 2)
    caplog.set_level("INFO")
    assert read_columns(path) == {"hospital": {"01": "A", "2": "B", "3": "A"}}
    assert "column file has 3 values: not shown apart" in caplog.text
    assert "column same has 1 values" in caplog.text


def test_columns_that_are_named_are_taken_whatever_they_hold(path):
    columns = read_columns(path, ("kv", "same"))
    assert [*columns] == ["kv", "same"]
    assert [value_of(columns["kv"], name) for name in ("01", "3", "unknown")] == ["100", "–", "–"]


def test_without_a_table_there_is_no_column():
    assert read_columns(None) == {}


def test_columns_that_name_no_slice_are_refused(path, caplog):
    caplog.set_level("INFO")
    columns = read_columns(path, ("hospital",))
    with pytest.raises(ValueError, match=r"by their ids, such as \['1'\]. Received: \['01'\]"):
        check_columns(columns, ["1"])
    check_columns(columns, ["01", "1"])
    assert "column hospital does not name 1 slices: ['1']" in caplog.text


def test_a_table_without_its_columns_is_refused(path, tmp_path):
    with pytest.raises(ValueError, match=r"must have the columns \['id', 'ward'\].*Received"):
        read_columns(path, ("ward",))
    path.write_text("id,score\n1,2\n2,3\n")
    with pytest.raises(ValueError, match="a column must not be one of .* Received: score"):
        read_columns(path)
    with pytest.raises(FileNotFoundError, match="nowhere.csv"):
        read_columns(tmp_path / "nowhere.csv")
