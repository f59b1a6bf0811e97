"""Tiny records of head phantoms in both protocols, shared by the tests of the experiments."""

from pathlib import Path

import pytest

from data_tools.build_tfrecords import Conversion
from data_tools.conversion import build_tfrecords
from data_tools.phantom import PATIENTS_NAME, PhantomConfig, make_phantom


@pytest.fixture(scope="session")
def phantom_records(tmp_path_factory) -> tuple[Path, Path]:
    """Records of 24 phantom patients: dealt by patient, and dealt by slice."""
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
