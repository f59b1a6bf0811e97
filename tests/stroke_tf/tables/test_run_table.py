import importlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from stroke_tf.config import FitConfig
from stroke_tf.files import write_text
from stroke_tf.manifest import read_folds, read_manifest
from stroke_tf.run_folder import RunMetrics, read_runs
from stroke_tf.runs.best_epoch import best_epoch
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.tables import run_table as tables
from stroke_tf.tables.papers import TABLES
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.sizes import sizes_of_split
from stroke_tf.tables.table import Table

ONE_EPOCH = FitConfig(epochs=1)
PLAIN = ClassifierRun(
    weights=None, image_size=32, val_folds=(6, 7), test_folds=(8, 9), augment=False
)
HISTOGRAM = replace(PLAIN, backbone="histogram")
SMALL = replace(PLAIN, backbone="mobilenet025", batch_size=32, fit=ONE_EPOCH, head_fit=ONE_EPOCH)
EXPERIMENTS = ("usth_t1_detect", "usth_t2_type", "saucis_t4_t5_detect", "ct_ich_detect")
SMOKES = (
    ("usth_t1_detect", "histogram", 2),
    ("usth_t2_type", "cnn-type", 1),
    ("saucis_t4_t5_detect", "histogram", 1),
    ("ct_ich_detect", "histogram", 1),
)
"""A row of each and the number of protocols; all are run in a slow test."""
PUBLISHED = {
    "usth_t1_detect": ("usth-t1",),
    "usth_t2_type": ("usth-t2",),
    "saucis_t4_t5_detect": ("saucis-t4", "saucis-t5"),
}


def module(name):
    return importlib.import_module(f"experiments.{name}")


def config_for(records, out, **options):
    return TableRun(records=tuple(records), out=out, **options)


def table(out, experiment="test"):
    return (out / experiment / "TABLE.md").read_text()


@pytest.mark.parametrize(("name", "row", "protocols"), SMOKES)
def test_a_smoke_run_fills_the_table(name, row, protocols, phantom_records, tmp_path):
    config = config_for(phantom_records[:protocols], tmp_path, rows=(row,), smoke=True)
    assert module(name).main(config) == 0
    experiment = f"{module(name).TABLE.experiment}-smoke"
    text = table(tmp_path, experiment)
    for protocol in ("clean", "as-published")[:protocols]:
        assert f"## Protocol {protocol}" in text
    assert text.count(f"\n| {row} | ") >= protocols
    assert "Failed" not in text
    assert (tmp_path / experiment / "report.html").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_smoke_run_of_every_row(name, phantom_records, tmp_path):
    rows = tuple(module(name).TABLE.rows)
    assert module(name).main(config_for(phantom_records, tmp_path, rows=rows, smoke=True)) == 0
    text = table(tmp_path, f"{module(name).TABLE.experiment}-smoke")
    assert all(f"| {row} | " in text for row in module(name).TABLE.rows)


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_are_those_of_the_paper_beside_a_histogram(name):
    for key in PUBLISHED[name]:
        published = {row.name for row in TABLES[key].rows}
        assert module(name).TABLE.rows.keys() == {"histogram", *published}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_row_can_be_built(name):
    from stroke_tf.models import BACKBONES
    from stroke_tf.models.custom_cnn import CUSTOM_CNNS
    from stroke_tf.models.heads import HEADS

    for row in module(name).TABLE.rows.values():
        assert row.backbone in {"histogram", *BACKBONES, *CUSTOM_CNNS}
        assert row.head in {"auto", *HEADS}
        assert (row.weights is None) or row.backbone not in CUSTOM_CNNS
        if row.unfreeze_from != "all":
            assert row.unfreeze_from in BACKBONES[row.backbone].blocks


def test_a_row_that_fails_is_named_and_the_others_go_on(phantom_records, tmp_path, capsys):
    rows = {"broken": replace(SMALL, weights="imagenet"), "fine": HISTOGRAM}
    config = config_for(phantom_records[:1], tmp_path, weights="nowhere.weights.h5")
    assert run_table(config, Table("test", rows)) == 1
    error = capsys.readouterr().err
    assert "Failed: broken-clean-s0: " in error
    assert "nowhere.weights.h5" in error
    text = table(tmp_path)
    assert "| fine | " in text
    assert "| broken | " not in text
    assert "Failed: broken-clean-s0" in text
    assert [run.row for run in read_runs(tmp_path)] == ["fine-clean"]


def test_a_table_names_no_folder_of_the_machine(phantom_records, tmp_path, monkeypatch, capsys):
    def broken(row):
        raise ValueError("/elsewhere/out/x.json must be JSON")

    monkeypatch.setattr(tables, "run_row", broken)
    assert run_table(config_for(phantom_records[:1], tmp_path), Table("t", {"a": HISTOGRAM})) == 1
    assert "Failed: a-clean-s0: x.json must be JSON" in table(tmp_path, "t")
    assert "Failed: a-clean-s0: /elsewhere/out/x.json must be" in capsys.readouterr().err


def test_a_table_stays_when_no_row_comes_to_a_result(phantom_records, tmp_path, capsys):
    rows = {"a": replace(HISTOGRAM, val_folds=(9,), test_folds=(9,))}
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "TABLE.md").write_text("of before")
    assert run_table(config_for(phantom_records[:1], tmp_path), Table("t", rows)) == 1
    assert table(tmp_path, "t") == "of before"
    assert "a-clean-s0: validation and test folds must be different" in capsys.readouterr().err


def test_every_seed_has_its_table_beside_the_paper(phantom_records, tmp_path):
    config = config_for(phantom_records[:1], tmp_path, seeds=(0, 2))
    assert run_table(config, Table("test", {"cnn-type": HISTOGRAM}, published=("usth-t2",))) == 0
    text = table(tmp_path)
    for seed in (0, 2):
        assert f"### usth-t2, seed {seed}" in text
        assert f"| cnn-type | clean | {seed} | 32 | 0.986 / " in text
        assert f"### Ours, seed {seed}" in text
    assert [run.seed for run in read_runs(tmp_path)] == [0, 2]


def test_rows_are_compared_with_the_first_on_the_same_slices(phantom_records, tmp_path):
    rows = {"first": HISTOGRAM, "again": HISTOGRAM, "smaller": replace(HISTOGRAM, image_size=48)}
    assert run_table(config_for(phantom_records[:1], tmp_path), Table("test", rows)) == 0
    text = table(tmp_path)
    assert "| row | AUC - first |" in text
    assert "| again | +0.000 [+0.000, +0.000] | 1 | 0 / 0 | 1 |" in text
    assert re.search(r"\| smaller \| [+-]0\.\d{3} \[", text)
    assert "corrected by Holm for the comparisons of this table (2)" in text


def test_a_smoke_run_takes_two_rows_but_those_that_are_named(phantom_records, tmp_path):
    rows = dict.fromkeys(("first", "second", "third"), HISTOGRAM)
    for named, shown in (((), {"first", "second"}), (("third",), {"third"})):
        config = config_for(phantom_records[:1], tmp_path, rows=named, smoke=True)
        assert run_table(config, Table("test", rows)) == 0
        text = table(tmp_path, "test-smoke")
        assert {name for name in rows if f"\n| {name} | " in text} == shown


def scored_at_random(config):
    """Stands for a training: scores its test slices at random, by its seed."""
    folds = {str(fold) for fold in config.test_folds}
    rows = [row for row in read_folds(config.records) if row.fold in folds]
    scores = np.random.default_rng(config.fit.seed).random(len(rows))
    truth = [int(row.stroke_type != "NONE") for row in rows]
    ids = [row.source_id for row in rows]
    folder = folder_of(config)
    frame = pd.DataFrame({"id": ids, "truth": truth, "score": scores})
    write_text(folder.predictions, frame.to_csv(index=False))
    protocol = read_manifest(config.records).protocol
    return RunMetrics("test", config.row, 0, protocol, {}, len(rows), 0.5, {}, 60.0, "data")


def test_cross_validation_shows_the_mean_of_seeds_the_gain_and_the_smoothed_row(
    phantom_records, tmp_path, monkeypatch
):
    monkeypatch.setattr(tables, "run_row", scored_at_random)
    rows = {"first": HISTOGRAM, "second": replace(HISTOGRAM, image_size=48)}
    config = config_for(phantom_records, tmp_path, seeds=(0, 1))
    options = {"folds": "five", "smoothed": {"second": 1.5}, "clean_only": ("second",)}
    assert run_table(config, Table("test", rows, **options)) == 0
    lines = table(tmp_path).splitlines()
    first = ["| first | 0 |", "| first | 1 |", "| first | mean of 2 |"]
    second = [line.replace("first", "second") for line in first]
    expected = [*first, *second, "| second, smoothed 1.5 | mean |", *first]
    found = [line for line in lines if line.startswith(("| first", "| second"))]
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True))
    assert found[0].endswith("| – | – | 5.0 |")
    assert found[2].endswith("| 10.0 |")
    assert found[3].endswith("| +0.000 [+0.000, +0.000] | – | 5.0 |")  # scores of the same seed
    p_values = [line.split(" | ")[-2] for line in found[:7]]
    assert p_values[:5] == ["–"] * 5  # one comparison a row, of its seeds together
    assert all(0 < float(p_value) <= 1 for p_value in p_values[5:])
    assert "corrected by Holm for the comparisons of this table (2)" in table(tmp_path)


def test_weights_go_to_the_rows_that_load_some(tmp_path):
    config = config_for((tmp_path,), tmp_path, weights="mine.weights.h5")
    loads = tables._settled(replace(SMALL, weights="imagenet"), config, "test", "row", tmp_path)
    scratch = tables._settled(SMALL, config, "test", "row", tmp_path)
    assert (loads.weights, scratch.weights) == ("mine.weights.h5", None)
    smoke = tables._settled(loads, replace(config, smoke=True), "test", "row", tmp_path)
    assert (smoke.weights, smoke.fit.epochs) == (None, 1)


@pytest.mark.parametrize(
    ("folders", "options", "message"),
    [
        (1, {"rows": ("third",)}, r"--rows must be of \['first'\]. Received: \['third'\]"),
        (0, {"records": (Path("nowhere"),)}, "nowhere/manifest.json must exist"),
        (0, {"records": "twice"}, "must be of different protocols. Received: .*'clean', 'clean'"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_runs(
    folders, options, message, phantom_records, tmp_path, capsys
):
    import re

    options = {"records": phantom_records[:1]} | options
    if options["records"] == "twice":
        options["records"] = phantom_records[:1] * 2
    assert run_table(TableRun(out=tmp_path, **options), Table("test", {"first": HISTOGRAM})) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_sizes_stand_beside_those_of_the_paper(phantom_records):
    records = phantom_records[1]
    manifest = read_manifest(records)
    folds = {fold.fold: fold for fold in manifest.folds}
    negative = sum(folds[fold].classes["NONE"] for fold in range(10))
    total = sum(folds[fold].records for fold in range(10))
    lines = sizes_of_split(records, val=(7,), test=(8, 9)).splitlines()[2:]
    assert lines == [
        f"| SAUCIS Table 1 | positive | 8892 | {total - negative} |",
        f"| SAUCIS Table 1 | negative | 8854 | {negative} |",
        f"| SAUCIS Table 2 | train | 12422 | {sum(folds[fold].records for fold in range(7))} |",
        f"| SAUCIS Table 2 | test | 3550 | {folds[8].records + folds[9].records} |",
        f"| SAUCIS Table 2 | val | 1774 | {folds[7].records} |",
    ]


@pytest.mark.parametrize(("watch", "epoch"), [("loss", 1), ("auc", 2)])
def test_the_best_epoch_is_the_one_whose_weights_were_kept(tmp_path, watch, epoch):
    config = ClassifierRun(out=tmp_path, row="mine", watch=watch)
    history = pd.DataFrame(
        {
            "epoch": [0, 1, 2],
            "accuracy": [0.5, 0.6, 0.7],
            "loss": [0.9, 0.8, 0.7],
            "val_accuracy": [0.4, 0.45, 0.48],
            "val_loss": [0.8, 0.6, 0.7],
            "val_auc": [0.5, 0.6, 0.9],
        }
    )
    folder = tmp_path / "classifier" / "mine-s0"
    folder.mkdir(parents=True)
    history.to_csv(folder / "history.csv", index=False)
    found = {name: metric.value for name, metric in best_epoch(config).items()}
    assert found == {
        "train_accuracy": history["accuracy"][epoch],
        "train_loss": history["loss"][epoch],
        "val_accuracy": history["val_accuracy"][epoch],
        "val_loss": history["val_loss"][epoch],
    }


def test_without_a_trained_backbone_there_is_no_epoch(tmp_path):
    assert best_epoch(ClassifierRun(out=tmp_path)) == {}


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import TableRun
from stroke_tf.tables.table import Table
from stroke_tf.config import FitConfig

fit = FitConfig(epochs=6, patience=6)
first = ClassifierRun(
    backbone="histogram", weights=None, image_size=32, val_folds=(6, 7), test_folds=(8, 9)
)
second = replace(first, backbone="mobilenet025", fit=fit)
config = TableRun(records=(Path(sys.argv[1]),), out=Path(sys.argv[2]))
sys.exit(run_table(config, Table("test", {"first": first, "second": second})))
"""


@pytest.mark.slow
def test_a_killed_table_goes_on_where_it_was(phantom_records, tmp_path):
    command = [sys.executable, "-c", KILLED, str(phantom_records[0]), str(tmp_path)]
    first, second = (tmp_path / "test" / f"{row}-clean-s0" for row in ("first", "second"))
    history = second / "history.csv"
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while not (history.is_file() and len(history.read_text().splitlines()) >= 3):
            assert running.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline, "trained no second epoch in time"
            time.sleep(0.02)
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    assert not (second / "metrics.json").exists()
    kept = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files(first)}
    assert first / "metrics.json" in kept

    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files(first)} == kept
    assert pd.read_csv(history)["epoch"].tolist() == list(range(6))
    assert keras.models.load_model(second / "model.keras", compile=False)
    assert all(f"| {row} | 32 |" in table(tmp_path) for row in ("first", "second"))


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())
