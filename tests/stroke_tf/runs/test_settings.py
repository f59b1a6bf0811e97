import re

import pytest

from stroke_tf.audits.settings import AuditConfig
from stroke_tf.models.backbones import BACKBONES
from stroke_tf.models.custom_cnn import CUSTOM_CNNS
from stroke_tf.models.unet import ENCODERS
from stroke_tf.runs.settings import ClassifierRun, UnetRun


@pytest.mark.parametrize(
    ("settings", "listed", "names"),
    [
        (ClassifierRun, r"backbone: Network name, one of (.*?); or cnn-", BACKBONES),
        (ClassifierRun, r"; or (cnn-\w+ or cnn-\w+), the custom", CUSTOM_CNNS),
        (UnetRun, r"encoder: Network name\. For .*? one of (.*?);", ENCODERS),
        (UnetRun, r"for composed and joint one of (.*?)\.", BACKBONES),
        (AuditConfig, r"backbone: .*?, one of (.*?)\.", BACKBONES),
    ],
)
def test_help_lists_exactly_the_networks_there_are(settings, listed, names):
    found = re.search(listed, " ".join(settings.__doc__.split()))
    assert re.split(", | or ", found[1]) == [*names]
