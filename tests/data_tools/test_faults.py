from data_tools.faults import fault_lines, write_faults
from stroke_tf.manifest import Rejected


def test_equal_faults_are_one_line_with_the_first_five_files():
    faults = [
        Rejected(f"{n}.png", f"must be 80 wide. Received: {n}") for n in (10, 2, 1, 3, 4, 5, 0)
    ]
    faults.insert(3, Rejected("x.png", "must be grey. Received: red"))
    assert fault_lines(faults) == [
        "7 faults: must be 80 wide. First received: 0. "
        "In 0.png, 1.png, 2.png, 3.png, 4.png and 2 more",
        "x.png: must be grey. Received: red",
    ]


def test_rules_that_differ_in_numbers_only_are_equal():
    faults = [Rejected(f"{n}.png", f"must have the size ({n}, 5). Received: 1") for n in (3, 4)]
    assert len(fault_lines(faults)) == 1


def test_all_faults_are_written(tmp_path):
    write_faults(tmp_path / "faults.csv", [Rejected("a,b.png", 'must be "x"')])
    assert (tmp_path / "faults.csv").read_text() == 'file,fault\n"a,b.png","must be ""x"""\n'
