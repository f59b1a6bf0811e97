import re
from pathlib import Path

import numpy as np
import pytest
from finished_runs import tiny_network
from guide import DOCS, guide_example, run_example
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.runs.same_training import TESTING

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
FENCES_AND_WORDS = r"^```\n(.*?)^```$|`([^`]+)`"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `records`, as the examples expect it."""
    folder = tmp_path_factory.mktemp("readme")
    tree = write_tree(folder / "tree")
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=64, jobs=1))
    return folder


def test_the_plain_tensorflow_reader_reads_the_records(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    code = guide_example("reader", "howto/read_records.md")
    assert "stroke_tf" not in code
    assert len(code.splitlines()) <= 10
    run_example("reader", "howto/read_records.md")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 40
    assert "10000 0 (64, 64, 1)" in lines
    assert "10035 2 (64, 64, 1)" in lines


def test_the_example_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    run_example("example", "howto/from_python.md")
    source_id, score = capsys.readouterr().out.split()[-2:]
    assert b"10000" <= eval(source_id) <= b"10039"
    assert 0 <= float(score) <= 1


def test_the_example_of_masks_draws_slices_of_any_size(tmp_path, monkeypatch):
    tiny_network("mask", size=64).save(tmp_path / "model.keras")
    monkeypatch.chdir(tmp_path)
    slices = [np.zeros((50, 71), np.uint8), np.full((64, 33), -1000, np.int16)]
    names = run_example("masks", "howto/from_python.md", slices=slices)
    assert [mask.shape for mask in names["masks"]] == [(50, 71), (64, 33)]


def test_the_readme_is_short():
    assert len(README.split()) <= 700
    assert [line for line in README.splitlines() if len(line) > 120] == []


def test_the_readme_is_tried_in_a_clone_step_by_step():
    before, block = README.split("## Try it")[1].split("```")[:2]
    assert "Clone this repository" in before
    commands = [line.partition("#")[0].strip() for line in block.strip().splitlines()]
    assert commands == ["make setup", ". .venv/bin/activate", "stroke-tf doctor", "make demo"]


def test_a_page_says_how_to_run_the_notebook():
    command = "jupyter execute notebooks/first_steps.ipynb"
    assert command in (DOCS / "getting_started.md").read_text()


def test_every_page_takes_the_shipped_model_as_there():
    assert [page.name for page in PAGES if "once it is made" in page.read_text()] == []


def test_the_guide_names_the_flags_of_runs_that_share_a_training():
    page = (DOCS / "howto/train.md").read_text()
    section = page[page.index("## One training, several tests") :].partition("\n## ")[0]
    flags = {name.replace("_", "-") for name in TESTING}
    assert set(re.findall("`--([a-z-]+)`", section)) == flags


def test_the_picture_of_the_readme_is_there_and_small():
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / path).stat().st_size < 200_000


def test_every_page_is_linked_by_the_readme_or_by_another():
    linked = {
        (page.parent / link).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)#:]+\.md)", page.read_text())
    }
    assert {*PAGES[1:]} - linked == {DOCS / "index.md", DOCS / "contributing.md"}


def test_every_target_that_a_page_names_is_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    named = {
        target
        for page in PAGES
        for fence, word in re.findall(FENCES_AND_WORDS, page.read_text(), re.DOTALL | re.MULTILINE)
        for target in re.findall(r"^(?:\w+=\S+ )?make ([a-z-]+)", fence or word, re.MULTILINE)
    }
    assert {"demo", "tfrecords", "train-unet", "tune-classifier"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_public_name_is_in_the_guide():
    import stroke_tf

    page = (DOCS / "howto/from_python.md").read_text()
    table = page[page.index("The public names") : page.index("A trained U-Net")]
    assert set(re.findall(r"`(\w+)`", table)) == {*stroke_tf.__all__, "stroke_tf"}
