"""The notebook for Kaggle and Colab: stored without outputs, and run as it stands on phantoms."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[1] / "notebooks" / "first_steps.ipynb"


@pytest.fixture
def notebook():
    return nbformat.read(PATH, as_version=4)


def test_the_notebook_is_stored_without_outputs(notebook):
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells] == [[]] * len(cells)
    assert {cell.execution_count for cell in cells} == {None}


def test_the_first_cell_quietens_the_log_of_tensorflow(notebook):
    first = next(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert 'os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"' in first
    assert "stroke_tf" not in first


def test_the_links_of_the_notebook_lead_somewhere(notebook):
    texts = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\(([^)]+)\)", "".join(texts))
    assert links
    assert [link for link in links if not (PATH.parent / link).is_file()] == []


def test_the_notebook_goes_from_slices_to_a_report(notebook, tmp_path, monkeypatch):
    (settings,) = (cell for cell in notebook.cells if cell.id == "settings")
    assert 'DATA = ""\nTINY = False\n' in settings.source
    settings.source = settings.source.replace("TINY = False", "TINY = True")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # that of notebooks keeps their pictures
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=600, resources=resources).execute()
    shown = {cell.id for cell in notebook.cells if "image/png" in str(cell.get("outputs"))}
    assert shown == {"look", "masks"}
    assert (tmp_path / "results" / "unet" / "first-s0" / "metrics.json").is_file()
    assert (tmp_path / "results" / "report.html").is_file()
