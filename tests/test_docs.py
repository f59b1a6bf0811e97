"""Every command of README and docs must be one that its module or the Makefile understands."""

import dataclasses
import importlib.util
import re
import shlex
from pathlib import Path
from typing import get_type_hints

import pytest

from benchmarks import (
    frozen_features,
    mask_geometry,
    pipeline,
    planted_mistakes,
    predict,
    search,
    segmentation_peers,
    tfrecords,
    unet_step,
)
from data_tools.options import Conversion, Inspection, PhantomConfig
from data_tools.sources import LAYOUTS
from experiments.across_hospitals import AcrossHospitals
from experiments.demo import Demo
from experiments.few_patients import FewPatients
from experiments.lesions_in_boxes import LesionsInBoxes
from experiments.make_zoo import MakeZoo
from experiments.saucis_f1_f2_f3_samples import Samples
from experiments.score_stage1 import Stage1
from experiments.score_stage2 import Stage2
from stroke_tf.audits.settings import AuditConfig
from stroke_tf.cli import VERBS
from stroke_tf.command import parse
from stroke_tf.deploy.export import Export
from stroke_tf.deploy.predict import Prediction
from stroke_tf.deploy.save_model import SaveConfig
from stroke_tf.deploy.serve import ServeConfig
from stroke_tf.deploy.weights import WeightFiles
from stroke_tf.doctor import Doctor
from stroke_tf.reporting.report import ReportConfig
from stroke_tf.reporting.track import Tracking
from stroke_tf.reproduce.settings import Reproduction
from stroke_tf.runs.settings import ClassifierTraining, UnetTraining
from stroke_tf.search.settings import ClassifierSearch, UnetSearch
from stroke_tf.tables.cross_settings import kind_of
from stroke_tf.tables.settings import ByColumns, TableRun

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "benchmarks.frozen_features": frozen_features.Settings,
    "benchmarks.mask_geometry": mask_geometry.Settings,
    "benchmarks.planted_mistakes": planted_mistakes.Settings,
    "benchmarks.pipeline": pipeline.Settings,
    "benchmarks.predict": predict.Settings,
    "benchmarks.search": search.Settings,
    "benchmarks.segmentation_peers": segmentation_peers.Settings,
    "benchmarks.tfrecords": tfrecords.Settings,
    "benchmarks.unet_step": unet_step.Settings,
    "data_tools.build_tfrecords": Conversion,
    "data_tools.inspect": Inspection,
    "data_tools.phantom": PhantomConfig,
    "data_tools.phantom.data_set": PhantomConfig,
    "experiments.cross_validate": kind_of,
    "experiments.ct_ich_detect": TableRun,
    "experiments.ct_ich_recipes": TableRun,
    "experiments.ct_ich_segment": TableRun,
    "experiments.demo": Demo,
    "experiments.across_hospitals": AcrossHospitals,
    "experiments.few_patients": FewPatients,
    "experiments.lesions_in_boxes": LesionsInBoxes,
    "experiments.joint_phase2": TableRun,
    "experiments.make_zoo": MakeZoo,
    "experiments.reproduce": Reproduction,
    "experiments.open_stroke_segment": ByColumns,
    "experiments.saucis_ablation": TableRun,
    "experiments.saucis_f1_f2_f3_samples": Samples,
    "experiments.saucis_t4_t5_detect": TableRun,
    "experiments.saucis_t6_unet": TableRun,
    "experiments.score_stage1": Stage1,
    "experiments.score_stage2": Stage2,
    "experiments.train_classifier": ClassifierTraining,
    "experiments.train_unet": UnetTraining,
    "experiments.tune_classifier": ClassifierSearch,
    "experiments.tune_unet": UnetSearch,
    "experiments.usth_t1_detect": TableRun,
    "experiments.usth_t2_type": TableRun,
    "experiments.usth_t3_segment": TableRun,
    "stroke_tf.audits.run_audits": AuditConfig,
    "stroke_tf.deploy.export": Export,
    "stroke_tf.deploy.predict": Prediction,
    "stroke_tf.deploy.save_model": SaveConfig,
    "stroke_tf.deploy.serve": ServeConfig,
    "stroke_tf.deploy.weights": WeightFiles,
    "stroke_tf.doctor": Doctor,
    "stroke_tf.reporting.report": ReportConfig,
    "stroke_tf.reporting.track": Tracking,
}
SETTINGS |= {verb: SETTINGS[module] for verb, (module, _) in VERBS.items() if module in SETTINGS}
MODULES = {verb: module for verb, (module, _) in VERBS.items()}
MEASURED = ("ct_ich.md", "search.md", "open_stroke_ct.md")
"""Pages whose prose stands as it was when its numbers were measured."""
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LISTED = [
    line for line in (ROOT / "docs/reference/commands.md").read_text().splitlines() if "| `" in line
]
"""The rows of the page of all commands."""


def commands():
    for page in PAGES:
        fences = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)
        for fence in (text for language, text in fences if not language):
            for line in fence.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == ["stroke-tf"]:
                    words.insert(1, "-m")
                if words[1:2] == ["-m"]:
                    yield pytest.param(words[2], words[3:], id=f"{page.name}: {line.strip()}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_described(layout):
    assert f"`{layout}`" in (ROOT / "docs/howto/your_data.md").read_text()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.name not in MEASURED],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_no_line_of_prose_is_too_long(page):
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [
        line for line in prose.splitlines() if len(line) > 120 and not line.startswith("|")
    ] == []


@pytest.mark.parametrize(("module", "flags"), list(commands()))
def test_a_documented_command_takes_its_flags(module, flags):
    assert importlib.util.find_spec(MODULES.get(module, module))
    kind = SETTINGS[module]
    parse(kind_of(flags) if kind is kind_of else kind, args=flags)


def test_there_are_documented_commands():
    assert len(list(commands())) >= 4


def names_of(kind):
    """The fields of a dataclass, and those of the dataclasses in it."""
    for name, inner in get_type_hints(kind).items():
        yield name
        yield from names_of(inner) if dataclasses.is_dataclass(inner) else ()


def test_the_page_of_commands_has_a_row_for_each_verb():
    assert [row.split("`")[1] for row in LISTED] == list(VERBS)


@pytest.mark.parametrize("row", LISTED, ids=lambda row: row.split("`")[1])
def test_a_row_of_commands_names_flags_of_its_verb_and_a_target_that_runs_it(row):
    verb = row.split("`")[1]
    kind = SETTINGS[verb] if SETTINGS[verb] is not kind_of else kind_of([])
    flags = re.findall("`--([a-z0-9-]+)`", row)
    assert {flag.replace("-", "_") for flag in flags} <= set(names_of(kind))
    makefile = (ROOT / "Makefile").read_text()
    runs = re.findall(rf"^([a-z-]+):.*\n\t.*\$\(RUN\) {verb}\b", makefile, re.MULTILINE)
    assert re.findall("`make ([a-z-]+)`", row) == runs
