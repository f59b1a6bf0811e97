import os
from pathlib import Path

import pytest
from case_bench import Bench
from cases import CASES

DATA = os.environ.get("STROKE_TF_OPEN_DATA")
FOLDER = Path(DATA or ".").parent / "cases"
pytestmark = pytest.mark.skipif(
    not (DATA and FOLDER.is_dir()), reason="no folder of cases beside STROKE_TF_OPEN_DATA"
)
QUICK = ("ministry_portal_layout",)


def test_every_case_has_a_check():
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {*CASES}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]
)
def test_a_case_is_right(name, tmp_path):
    case = CASES[name]
    outcomes = list(case.check(Bench((FOLDER / name).resolve(), tmp_path)))
    wrong = [f"{outcome.kind}: {outcome.happened}" for outcome in outcomes if not outcome.right]
    assert outcomes and not wrong, f"expected {case.expected}"
