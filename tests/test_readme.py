import re
from pathlib import Path

import numpy as np
import pytest
from finished_runs import tiny_network
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `records`, as README's examples expect it."""
    folder = tmp_path_factory.mktemp("readme")
    tree = write_tree(folder / "tree")
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=64, jobs=1))
    return folder


def block(name):
    return re.search(rf"<!-- {name} -->\n```python\n(.*?)```", README, re.DOTALL).group(1)


def test_the_plain_tensorflow_reader_reads_the_records(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    code = block("reader")
    assert "stroke_tf" not in code
    assert len(code.splitlines()) <= 10
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 40
    assert "10000 0 (64, 64, 1)" in lines
    assert "10035 2 (64, 64, 1)" in lines


def test_the_example_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    exec(compile(block("example"), "README.md", "exec"), {})
    source_id, score = capsys.readouterr().out.split()[-2:]
    assert b"10000" <= eval(source_id) <= b"10039"
    assert 0 <= float(score) <= 1


def test_the_example_of_masks_draws_slices_of_any_size(tmp_path, monkeypatch):
    tiny_network("mask", size=64).save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path)
    slices = [np.zeros((50, 71), np.uint8), np.full((64, 33), -1000, np.int16)]
    names = {"slices": slices}
    exec(compile(block("masks"), "README.md", "exec"), names)
    assert [mask.shape for mask in names["masks"]] == [(50, 71), (64, 33)]


def test_every_target_of_the_readme_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z][a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_public_name_is_in_the_readme():
    import stroke_tf

    table = README[README.index("The public names") : README.index("## The records")]
    assert set(re.findall(r"`(\w+)`", table)) == {*stroke_tf.__all__, "stroke_tf"}
