import os
from pathlib import Path

import pytest

from benchmarks.cases import CASES, Settings, main

DATA = os.environ.get("STROKE_TF_OPEN_DATA")
FOLDER = Path(DATA or ".").parent / "cases"
pytestmark = pytest.mark.skipif(
    not (DATA and FOLDER.is_dir()), reason="no folder of cases beside STROKE_TF_OPEN_DATA"
)


def test_every_case_has_a_check():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {*CASES}


def test_a_case_is_run_and_told_in_a_table(capsys):
    main(Settings(cases=FOLDER, only=("ministry_portal_layout",)))
    *table, last = capsys.readouterr().out.splitlines()
    assert table[-1].endswith("| tree | 16 records: [8, 2, 2], session 4 | yes |")
    assert '"right": 1, "n": 1' in last


@pytest.mark.slow
def test_every_case_is_right(capsys):
    main(Settings(cases=FOLDER))
    assert "| NO |" not in capsys.readouterr().out
