"""Every command of README and docs must be one that its module or the Makefile understands."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
import tyro

from benchmarks import pipeline, tfrecords
from data_tools.build_tfrecords import Conversion
from data_tools.inspect import Inspection
from data_tools.phantom import PhantomConfig
from experiments.demo import Demo
from experiments.settings import ClassifierRun, UnetRun
from stroke_tf.reporting.report import ReportConfig

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "benchmarks.pipeline": pipeline.Settings,
    "benchmarks.tfrecords": tfrecords.Settings,
    "data_tools.build_tfrecords": Conversion,
    "data_tools.inspect": Inspection,
    "data_tools.phantom": PhantomConfig,
    "experiments.demo": Demo,
    "experiments.train_classifier": ClassifierRun,
    "experiments.train_unet": UnetRun,
    "stroke_tf.reporting.report": ReportConfig,
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands():
    for page in PAGES:
        for fence in re.findall(r"```\n(.*?)```", page.read_text(), re.DOTALL):
            for line in fence.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:2] == ["python", "-m"]:
                    yield pytest.param(words[2], words[3:], id=f"{page.name}: {line.strip()}")


@pytest.mark.parametrize(("module", "flags"), commands())
def test_a_documented_command_takes_its_flags(module, flags):
    assert callable(importlib.import_module(module).main)
    tyro.cli(SETTINGS[module], args=flags)


def test_there_are_documented_commands():
    assert len(list(commands())) >= 4
