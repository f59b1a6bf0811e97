import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from experiments import cross_validate
from experiments.cross_validate import main
from stroke_tf.command import has_gpu, parse, reported
from stroke_tf.deploy import predict
from stroke_tf.deploy.sources import read_source
from stroke_tf.manifest import read_folds
from stroke_tf.runs.cross_validation import read_out_of_fold
from stroke_tf.tables.cross_settings import kind_of


def settings(*flags):
    return parse(kind_of(flags), args=flags)


@pytest.mark.parametrize(
    ("flags", "experiment", "row"),
    [
        ((), "cv5-detect-mobilenetv2", {"task": "detect", "backbone": "mobilenetv2"}),
        (
            ("--task", "type", "--model", "resnet50", "--folds", "10"),
            "cv10-type-resnet50",
            {"task": "type", "backbone": "resnet50"},
        ),
        (
            ("--task", "segment", "--model", "resnet34", "--loss", "lovasz"),
            "cv5-segment-resnet34",
            {"encoder": "resnet34", "architecture": "unet", "tune_mask": True, "loss": "lovasz"},
        ),
        (
            ("--task", "segment", "--model", "improved"),
            "cv5-segment-improved",
            {"architecture": "improved", "weights": None},
        ),
        (
            ("--task", "joint", "--no-tune-mask"),
            "cv5-joint-mobilenetv2",
            {"architecture": "joint", "encoder": "mobilenetv2", "tune_mask": False},
        ),
        (("--experiment", "mine", "--row", "first"), "mine", {"row": "first"}),
    ],
)
def test_the_task_decides_which_network_the_flags_are_of(flags, experiment, row):
    config = settings("my-records", *flags, "--seeds", "3", "4", "--out", "there")
    found = config.row
    assert {name: getattr(found, name) for name in row} == row
    table, run = config.table(found), config.table_run(found)
    assert (table.experiment, table.parts, table.folds) == (experiment, config.folds, "five")
    assert [*table.rows.values()] == [found]
    assert (str(run.records[0]), str(run.out), run.seeds) == ("my-records", "there", (3, 4))


@pytest.mark.parametrize("flag", ["--model", "--architecture"])
def test_the_improved_unet_is_refused_for_the_type(flag):
    with pytest.raises(ValueError, match=f"--task joint needs .*Received: {flag} improved"):
        settings("--task", "joint", flag, "improved").row  # noqa: B018


def test_without_seeds_there_is_that_of_the_fit(tmp_path):
    config = settings("--fit.seed", "7")
    assert config.table_run(config.row).seeds == (7,)


def test_settings_of_a_search_are_taken_but_for_their_folds(tmp_path):
    best = tmp_path / "best.json"
    best.write_text('{"task": "type", "val_folds": [8], "test_folds": [9], "dropout": 0.1}')
    row = settings("--config", str(best)).row
    assert (row.task, row.dropout) == ("type", 0.1)


@pytest.fixture
def records(phantom_records, tmp_path):
    """The manifest of phantoms, by patient, and a folds.csv to be changed."""
    folder = tmp_path / "records"
    folder.mkdir()
    for name in ("manifest.json", "folds.csv"):
        shutil.copy(phantom_records[0] / name, folder)
    return folder


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--folds", "3"), "they make [2, 5, 10] parts. Received: 3"),
        (("--columns", "nowhere.csv"), "nowhere.csv"),
        (("--columns", "others.csv"), "others.csv must name slices in its column `id`"),
        ((), "validation folds of part 0 must hold both classes of task detect. Received: 0 pos"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_trained(
    records, tmp_path, flags, told, capsys, monkeypatch
):
    table = records / "folds.csv"
    lines = [
        line.replace("ISCHEMIA", "NONE").replace("HEMORRHAGE", "NONE") if ",2,1," in line else line
        for line in table.read_text().splitlines(keepends=True)
    ]
    table.write_text("".join(lines))
    (tmp_path / "others.csv").write_text("id,hospital\nnobody,A\nno one,B\n")
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    config = settings(str(records), "--out", str(out), *flags)
    assert reported(lambda: main(config)) == 1
    assert told in capsys.readouterr().err
    assert not list(out.glob("*/*/"))


QUICK = (
    *("--model", "mobilenet025", "--weights", "None", "--training", "probe", "--head", "linear"),
    *("--image-size", "32", "--folds", "2", "--seeds", "0"),
)


def test_a_killed_cross_validation_goes_on_and_its_ensemble_predicts(
    phantom_records, tmp_path, capsys
):
    flags = [str(phantom_records[0]), "--out", str(tmp_path / "out"), *QUICK]
    folder = tmp_path / "out" / "cv2-detect-mobilenet025"
    parts = [folder / f"mobilenet025-clean-part{part}-s0" for part in (0, 1)]
    said = tmp_path / "said"
    with said.open("w") as errors:
        running = subprocess.Popen(
            [sys.executable, "-m", "experiments.cross_validate", *flags],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        )
    try:
        deadline = time.monotonic() + 300
        while not (parts[0] / "metrics.json").is_file():
            assert running.poll() is None, "ended before it could be killed"
            assert time.monotonic() < deadline, "tested no part in time"
            time.sleep(0.02)
    finally:
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
    assert "Decoding" in said.read_text()
    assert has_gpu() or not re.search("InitializeLog|cudart|oneDNN", said.read_text())
    assert not (parts[1] / "metrics.json").exists()
    assert not (folder / "predictions.csv").exists()
    (folder / "ensemble").mkdir()
    (folder / "ensemble" / "old.keras").write_text("of other runs")
    kept = {path: path.stat().st_mtime_ns for path in parts[0].rglob("*")}

    assert main(settings(*flags)) == 0
    assert {path: path.stat().st_mtime_ns for path in parts[0].rglob("*")} == kept
    shown = capsys.readouterr().out
    for name in ("TABLE.md", "predictions.csv", "ensemble", "report.html"):
        assert f": {folder / name}\n" in shown
        assert (folder / name).exists()
    rows = [row for row in read_folds(phantom_records[0]) if row.fold.isdecimal()]
    frame = read_out_of_fold(folder)
    assert sorted(frame["id"]) == sorted(row.source_id for row in rows)
    part_of = {row.source_id: int(int(row.fold) > 4) for row in rows}
    assert frame["part"].tolist() == [part_of[name] for name in frame["id"]]
    assert frame["truth"].tolist() == [
        int({row.source_id: row.stroke_type for row in rows}[name] != "NONE")
        for name in frame["id"]
    ]
    assert {"score", "called", "calibrated"} <= {*frame}

    assert not (folder / "ensemble" / "old.keras").exists()
    ensemble = read_source(folder / "ensemble").description
    assert [run.row[-5:] for run in ensemble.trained_on] == ["part0", "part1"]
    slices = sorted((phantom_records[0].parent / "slices").rglob("PNG/*.png"))[:3]
    out = tmp_path / "predicted"
    given = predict.Prediction(inputs=tuple(slices), model=(folder / "ensemble",), out=out)
    assert predict.main(dataclasses.replace(given, runtime="keras")) == 0
    predicted = pd.read_csv(out / "predictions.csv")
    assert len(predicted) == 3


def test_masks_are_cross_validated_and_detect_by_rules_of_each_part(
    tiny, phantom_records, tmp_path
):
    flags = ("--task", "segment", "--weights", "None", "--image-size", "32", "--fit.epochs", "1")
    flags = (*flags, "--score", "mask", "--mask-score", "regression")
    out = ("--out", str(tmp_path), "--folds", "2", "--no-augment", "--batch-size", "32")
    assert main(settings(str(phantom_records[0]), *flags, *out)) == 0
    folder = tmp_path / "cv2-segment-mobilenetv2"
    text = (folder / "TABLE.md").read_text()
    assert text.split("### Parts")[1].count("min_area_px") == 2
    assert "Worst, typical and best slices" in text
    saved = read_source(folder / "ensemble").description
    assert (saved.task, len(saved.networks)) == ("segment", 2)
    assert saved.mask_rule is not None
    masks, rest = text.split("### Lesion or none, by the score of the slice")
    detection, parts = rest.split("### Parts")
    assert "roc_auc" in detection and "roc_auc" not in masks
    assert detection.count("| mobilenetv2 | 0 | 192 | 24 | ") == 1
    assert parts.count("temperature") == parts.count("pixel_threshold") == 2
    frame = read_out_of_fold(folder)
    assert frame["score"].between(0, 1).all()
    assert {"truth", "called", "calibrated", "any_lesion_tp"} <= {*frame}
    assert frame["truth"].sum() == (frame["any_lesion_tp"] + frame["any_lesion_fn"] > 0).sum()
    assert [len(score.coefficients) for score in saved.mask_scores] == [9, 9]
    assert len(saved.temperatures) == 2


def test_a_smoke_run_needs_no_records(phantom_records, tmp_path, monkeypatch):
    monkeypatch.setattr(cross_validate, "smoke_records", lambda records, **_: phantom_records[:1])
    flags = ("--model", "histogram", "--smoke", "--out", str(tmp_path), "--folds", "2")
    assert main(settings(str(tmp_path / "nowhere"), *flags)) == 0
    folder = tmp_path / "cv2-detect-histogram-smoke"
    assert len(read_out_of_fold(folder)) == 24 * 8
    assert not (folder / "ensemble").exists()  # no network
