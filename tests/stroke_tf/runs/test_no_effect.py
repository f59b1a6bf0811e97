from dataclasses import replace

import pytest

from stroke_tf.config import FitConfig
from stroke_tf.runs.no_effect import without_effect
from stroke_tf.runs.settings import HISTOGRAM, ClassifierRun, UnetRun

PLAIN = ClassifierRun()
EPOCHS = replace(PLAIN.fit, epochs=3)
HEAD_EPOCHS = replace(PLAIN.head_fit, epochs=3, learning_rate=0.5)


@pytest.mark.parametrize(
    ("run", "names"),
    [
        (ClassifierRun(training="frozen", fit=EPOCHS), ["--fit.epochs", "tells --head-fit"]),
        (ClassifierRun(training="probe", fit=EPOCHS), ["--fit.epochs", "tells --inverse-penalty"]),
        (ClassifierRun(training="frozen", weights=None), ["--weights None", "random"]),
        (ClassifierRun(training="probe", weights=None), ["--weights None", "random"]),
        (ClassifierRun(head_fit=HEAD_EPOCHS), ["--head-fit.epochs, --head-fit.learning-rate"]),
        (ClassifierRun(training="probe+tune", head_fit=HEAD_EPOCHS), ["--head-fit.epochs"]),
        (ClassifierRun(copies=2), ["--copies"]),
        (UnetRun(freeze=True, weights=None), ["--freeze", "random"]),
        (UnetRun(architecture="improved", freeze=True), ["improved", "--freeze"]),
        (UnetRun(architecture="improved", encoder="vgg16"), ["improved", "--encoder"]),
    ],
)
def test_what_has_no_effect_is_named(run, names):
    (line,) = without_effect(run)
    for name in names:
        assert name in line


@pytest.mark.parametrize(
    "run",
    [
        PLAIN,
        UnetRun(),
        ClassifierRun(fit=EPOCHS, weights=None),
        ClassifierRun(training="frozen", head_fit=HEAD_EPOCHS, copies=2),
        ClassifierRun(training="frozen", fit=replace(PLAIN.fit, seed=3, deterministic=True)),
        ClassifierRun(training="two-phase", fit=EPOCHS, head_fit=HEAD_EPOCHS, weights=None),
        ClassifierRun(training="probe+tune", fit=EPOCHS, copies=1),
        ClassifierRun(backbone=HISTOGRAM, training="probe", weights=None, fit=EPOCHS),
        UnetRun(freeze=True, fit=FitConfig(epochs=2)),
        UnetRun(architecture="improved", weights=None, fit=FitConfig(epochs=2)),
    ],
)
def test_what_has_an_effect_is_not(run):
    assert [*without_effect(run)] == []
