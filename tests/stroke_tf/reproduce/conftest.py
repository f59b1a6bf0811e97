import pytest


@pytest.fixture(scope="session")
def other_records(tmp_path_factory):
    """Records of other phantom patients than all others."""
    from data_tools.conversion import build_tfrecords
    from data_tools.options import Conversion, PhantomConfig
    from data_tools.phantom.data_set import PATIENTS_NAME, make_phantom

    folder = tmp_path_factory.mktemp("other")
    slices = folder / "slices"
    make_phantom(PhantomConfig(out=slices, patients=10, size=96, seed=5, jobs=1))
    groups = slices / PATIENTS_NAME
    build_tfrecords(
        Conversion(data=slices, out=folder / "other", groups=groups, size=96, jobs=1, folds=3)
    )
    return folder / "other"
