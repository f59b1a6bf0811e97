import dataclasses
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from stroke_tf import cli
from stroke_tf.cli import VERBS

ROOT = Path(__file__).parents[1]
SCRIPT = Path(sys.executable).with_name("stroke-tf")
EXPERIMENTS = sorted(path.stem for path in (ROOT / "experiments").glob("[a-z]*.py"))
BENCHMARKS = sorted(path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py"))
VERB_MODULES = {module for module, _ in VERBS.values()}
COMMANDS = sorted(
    {
        *(f"benchmarks.{name}" for name in BENCHMARKS),
        *(module for module in VERB_MODULES if not module.startswith("experiments.")),
    }
)

SLOW_TO_IMPORT = {"tensorflow", "keras", "sklearn", "scipy.stats", "matplotlib", "pandas"}

# Names of tables in the code: help must list the values themselves.
TABLES = r"\b(BACKBONES|CUSTOM_CNNS|ENCODERS|HEADS|LOSSES)\b"

HELP = """
import runpy, sys
sys.argv = ["command", "--help"]
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert not end.code, end.code
print("imported:", sorted({slow!r} & set(sys.modules)))
"""


@pytest.mark.parametrize("module", COMMANDS)
def test_help_answers_without_heavy_imports(module):
    script = HELP.format(module=module, slow=SLOW_TO_IMPORT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python -m {module}" in done.stdout.split("\n\n")[0]
    assert done.stdout.rstrip().endswith("imported: []")
    assert not re.search(TABLES, done.stdout)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_a_file_that_can_be_run_and_answers_without_heavy_imports(name, tmp_path):
    command = [sys.executable, "-X", "importtime", ROOT / "experiments" / f"{name}.py", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python {name}.py" in done.stdout.split("\n\n")[0]
    assert "--smoke" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert not SLOW_TO_IMPORT & imported
    assert not re.search(TABLES, done.stdout)


def test_an_experiment_makes_its_own_records_for_a_smoke_run(tmp_path, monkeypatch, caplog):
    from experiments.saucis_f1_f2_f3_samples import Samples, main

    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    assert main(Samples(smoke=True)) == 0
    assert "No records at records: phantoms take their place" in caplog.text
    assert {path.name for path in (tmp_path / "results" / "smoke-data").iterdir()} == {
        *(".lock", "slices", "clean", "as-published"),
    }
    assert len(list((tmp_path / "results" / "samples" / "figures").iterdir())) == 4


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_runs_the_command_of_its_module(verb, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stroke-tf", verb, "--help"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert f"stroke-tf {verb}" in capsys.readouterr().out.split("\n\n")[0]


def test_the_console_script_lists_its_verbs_and_refuses_another():
    shown = subprocess.run([SCRIPT], capture_output=True, text=True)
    assert all(verb in shown.stdout for verb in VERBS)
    asked = subprocess.run([SCRIPT, "convert", "--help"], capture_output=True, text=True)
    assert "stroke-tf convert" in asked.stdout.split("\n\n")[0]
    wrong = subprocess.run(
        [sys.executable, "-m", "stroke_tf", "train"], capture_output=True, text=True
    )
    assert wrong.returncode == 2
    assert "VERB must be one of inspect, convert" in wrong.stderr
    assert wrong.stderr.endswith("Received: train\n")


def test_importing_the_package_loads_nothing_heavy():
    script = f"import stroke_tf, sys; assert not {SLOW_TO_IMPORT!r} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_public_name_can_be_loaded():
    import stroke_tf

    assert len(stroke_tf.__all__) <= 22
    for name in stroke_tf.__all__:
        assert getattr(stroke_tf, name) is not None
        assert name in dir(stroke_tf)
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = stroke_tf.nothing


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        ("data_tools.options", "Inspection"),
        ("experiments.demo", "Demo"),
        ("experiments.make_zoo", "MakeZoo"),
        ("stroke_tf.audits.settings", "AuditConfig"),
        ("stroke_tf.deploy.predict", "Prediction"),
        ("stroke_tf.tables.settings", "TableRun"),
    ],
)
def test_what_a_command_writes_here_is_not_committed(module, kind):
    fields = dataclasses.fields(getattr(import_module(module), kind))
    (out,) = (field for field in fields if field.name == "out")
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()}
    assert out.default.parts[0] in ignored  # pictures of patients may be in it
