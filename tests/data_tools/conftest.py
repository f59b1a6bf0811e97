import pytest
from trees import write_tree


@pytest.fixture
def tree(tmp_path):
    """20 slices without, 10 with ischaemia and 10 with haemorrhage, ids 10000 to 10039."""
    return write_tree(tmp_path / "tree")
