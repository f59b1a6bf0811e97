"""Fixtures shared by all tests."""

import fcntl
import os
import signal
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_configure() -> None:
    """Makes Ctrl-C interrupt tests, even under a shell that starts them with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


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


@pytest.fixture(autouse=True, scope="session")
def few_resamples():
    """Draws 50 resamples for an interval where a test does not say how many."""
    from stroke_tf.evaluation import comparisons, lesions, metrics, segmentation

    functions = (
        metrics.classification_metrics,
        segmentation.segmentation_metrics,
        lesions.lesion_metrics,
        comparisons.paired_bootstrap,
    )
    with pytest.MonkeyPatch.context() as patch:
        for function in functions:
            patch.setitem(function.__kwdefaults__, "resamples", 50)
        yield


@pytest.fixture(autouse=True, scope="session")
def temporary_files(tmp_path_factory):
    """Has TensorFlow, and processes of tests, leave their temporary files with pytest's own."""
    folder = tmp_path_factory.mktemp("tmp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.setattr(tempfile, "tempdir", None)
        yield


@pytest.fixture(scope="session")
def phantom_records(tmp_path_factory) -> tuple[Path, Path]:
    """Records of 24 phantom patients: dealt by patient, and dealt by slice.

    The processes of pytest-xdist share them; the first one to come makes them.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "phantom"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _phantom_records(folder)


def _phantom_records(folder: Path) -> tuple[Path, Path]:
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion, PhantomConfig
    from data_tools.phantom.data_set import PATIENTS_NAME, make_phantom

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
