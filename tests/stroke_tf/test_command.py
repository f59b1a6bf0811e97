import dataclasses
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stroke_tf import command
from stroke_tf.audits.settings import AuditConfig
from stroke_tf.command import parse, reported
from stroke_tf.config import FitConfig
from stroke_tf.runs.keep_or_run import settings_text
from stroke_tf.runs.settings import ClassifierRun, ClassifierTraining, UnetRun, UnetTraining
from stroke_tf.tables.cross_settings import ClassifierCrossValidation


@dataclass(frozen=True)
class Needs:
    """Settings of which one has no default."""

    data: Path
    size: int = 2


@pytest.mark.parametrize(
    "run",
    [
        ClassifierRun(row="a", weights=None, test_folds=(1, "stage1"), augment=False),
        ClassifierRun(negatives_per_positive=2.5, fit=FitConfig(precision="float16")),
        UnetRun(decoder_filters=(8, 8, 8, 8, 8), fit=FitConfig(learning_rate=1.5e-5)),
        UnetRun(lesions_only=True, architecture="improved"),
    ],
)
def test_settings_come_back_from_their_file_and_flags_override_them(run, tmp_path):
    path = tmp_path / "best.json"
    path.write_text(settings_text(run))
    flags = ["--config", str(path)]
    assert parse(type(run), args=flags) == run
    changed = parse(type(run), args=[*flags, "--row", "b", "--fit.epochs", "1"])
    expected = dataclasses.replace(run, row="b", fit=dataclasses.replace(run.fit, epochs=1))
    assert changed == expected


def test_settings_inside_a_command_come_from_the_file_of_a_run(tmp_path):
    path = tmp_path / "best.json"
    path.write_text(settings_text(ClassifierRun(dropout=0.1)))
    found = parse(ClassifierTraining, args=[f"--config={path}", "--smoke"])
    assert found == ClassifierTraining(ClassifierRun(dropout=0.1), smoke=True)


@pytest.mark.parametrize(
    "content", [None, "no JSON", "[1]", '{"fit": {"epochs": "a"}}', '{"encoders": "vgg16"}']
)
def test_a_wrong_settings_file_is_named(tmp_path, capsys, content):
    path = tmp_path / "best.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SystemExit) as end:
        parse(UnetRun, args=["--config", str(path)])
    assert end.value.code == 2
    assert "best.json" in capsys.readouterr().err.replace("\n", "")


def test_help_shows_the_file_and_its_values_as_defaults(tmp_path, capsys):
    path = tmp_path / "best.json"
    path.write_text('{"encoder": "resnet34"}')
    with pytest.raises(SystemExit):
        parse(UnetRun, args=["--config", str(path), "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())  # lines break anywhere
    assert "--config FILE" in shown
    assert "(default: resnet34)" in shown


@pytest.mark.parametrize(
    ("kind", "flags", "hint"),
    [
        (UnetTraining, ["--backbone", "vgg16"], "Here --backbone is --encoder\n"),
        (ClassifierTraining, ["--encoder=vgg16"], "Here --encoder is --backbone\n"),
        (UnetTraining, ["--backbones", "vgg16"], ""),
    ],
)
def test_a_flag_of_another_command_is_told_by_its_name_here(kind, flags, hint, capsys):
    with pytest.raises(SystemExit) as end:
        parse(kind, args=flags)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert said.endswith(hint) and ("Here" in said) == bool(hint)


@pytest.mark.parametrize(
    ("kind", "flags", "meant"),
    [
        (AuditConfig, ["--records", "my records"], "'my records'"),
        (AuditConfig, ["--only", "data", "--records=r"], "r --only data"),
        (ClassifierCrossValidation, ["--task", "type", "--records", "r"], "r --task type"),
        (AuditConfig, ["run", "--records", "r", "--bogus"], ""),
        (AuditConfig, ["--records"], ""),
        (ClassifierTraining, ["--records"], ""),
    ],
)
def test_records_that_come_without_a_flag_are_told_how(kind, flags, meant, capsys, monkeypatch):
    monkeypatch.setattr(command, "called_as", "stroke-tf verb")
    with pytest.raises(SystemExit) as end:
        parse(kind, args=flags)
    assert end.value.code == 2
    said = capsys.readouterr().err
    hint = f"Here the records come without a flag: stroke-tf verb {meant}\n" if meant else ""
    assert said.endswith(hint) and ("Here" in said) == bool(hint)


def test_settings_without_a_default_have_no_file(capsys):
    assert parse(Needs, args=["--data", "x"]) == Needs(Path("x"))
    with pytest.raises(SystemExit):
        parse(Needs, args=["--help"])
    assert "--config" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("`epochs` must be >= 1. Received: 0"), 1, "`epochs` must be >= 1. Received: 0"),
        (MemoryError(), 1, "MemoryError"),
        (
            ImportError("C extension: None not built."),
            1,
            "C extension: None not built. `stroke-tf doctor` says what is missing or does not fit",
        ),
        (KeyboardInterrupt(), 130, "Stopped: the same command goes on"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(error, code, line, capsys):
    def work():
        raise error

    assert reported(work) == code
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize(
    ("devices", "own", "level"),
    [([], None, "3"), (["nvidia0"], None, "2"), (["kfd"], None, "2"), ([], "0", "0")],
)
def test_errors_of_cuda_show_where_there_is_a_gpu(monkeypatch, devices, own, level):
    name = "TF_CPP_MIN_LOG_LEVEL"
    monkeypatch.setenv(name, own or "")
    if own is None:
        monkeypatch.delenv(name)
    here = [Path("/dev", device) for device in devices]
    monkeypatch.setattr(
        Path, "glob", lambda folder, pattern: (path for path in here if path.match(pattern))
    )
    quiet = []
    monkeypatch.setattr(command, "import_quietly", quiet.append)
    monkeypatch.setattr(sys, "argv", ["command", "--data", "there"])
    with pytest.raises(SystemExit):
        command.run(lambda settings: 0, Needs, doc=None)
    assert os.environ[name] == level
    assert quiet == ["tensorflow"] * (level == "3")


def test_a_command_ends_with_the_exit_code_of_its_work(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command", "--data", "there"])
    with pytest.raises(SystemExit) as end:
        command.run(lambda settings: 3 if settings.data == Path("there") else 4, Needs, doc=None)
    assert end.value.code == 3
