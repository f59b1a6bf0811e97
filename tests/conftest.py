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


@pytest.fixture(autouse=True, scope="session")
def coarse_figures():
    """Saves figures with few pixels: whole ones take a third of some tests' time."""
    from stroke_tf import run_folder

    whole = run_folder.DPI
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_folder, "DPI", 30)
        yield whole


@pytest.fixture(scope="session")
def phantom_records(tmp_path_factory) -> tuple[Path, Path]:
    """Records of 24 phantom patients: dealt by patient, and dealt by slice."""
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion, PhantomConfig
    from data_tools.phantom.data_set import PATIENTS_NAME, make_phantom

    folder = tmp_path_factory.mktemp("phantom")
    make_phantom(PhantomConfig(out=folder / "slices", patients=24, size=96, jobs=1))
    records = folder / "clean", folder / "as-published"
    for out in records:
        build_tfrecords(
            Conversion(
                data=folder / "slices",
                out=out,
                protocol=out.name,
                groups=folder / "slices" / PATIENTS_NAME,
                size=96,
                jobs=1,
            )
        )
    return records
