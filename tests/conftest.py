"""Fixtures shared by all tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


def _folder_from(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value or not Path(value).is_dir():
        pytest.skip(f"{variable} does not name a folder: set it to run the tests on real data")
    return Path(value).resolve()


@pytest.fixture(scope="session")
def open_data() -> Path:
    """The folder of real head-CT slices."""
    return _folder_from("STROKE_TF_OPEN_DATA")


@pytest.fixture(scope="session")
def pretrained() -> Path:
    """The folder of pretrained weight files."""
    return _folder_from("STROKE_TF_WEIGHTS")
