"""Fixtures of the tests of the package."""

import pytest


@pytest.fixture(autouse=True, scope="session")
def few_resamples_of_parts(few_resamples):
    """Draws 50 resamples for an interval of a cross-validation."""
    from stroke_tf.runs.cross_validation import CrossValidated, CrossValidatedMasks

    with pytest.MonkeyPatch.context() as patch:
        for kind in (CrossValidated, CrossValidatedMasks):
            for function in (kind.metrics, kind.gain_over):
                patch.setitem(function.__kwdefaults__, "resamples", 50)
        yield
