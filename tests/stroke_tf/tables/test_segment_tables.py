import csv
import importlib
import re
from dataclasses import replace

import pandas as pd
import pytest

from experiments import saucis_ablation
from experiments.open_stroke_segment import main as open_stroke
from stroke_tf.config import FitConfig
from stroke_tf.manifest import FOLDS, read_folds, read_manifest
from stroke_tf.runs.best_epoch import best_epoch
from stroke_tf.runs.cross_validation import read_out_of_fold
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables import run_table as tables
from stroke_tf.tables.papers import TABLES
from stroke_tf.tables.run_table import run_table
from stroke_tf.tables.settings import ByColumns, TableRun
from stroke_tf.tables.sizes import sizes_of_classes
from stroke_tf.tables.table import Table
from stroke_tf.training.losses import LOSSES

EXPERIMENTS = (
    "usth_t3_segment",
    "saucis_t6_unet",
    "saucis_ablation",
    "joint_phase2",
    "open_stroke_segment",
    "ct_ich_recipes",
    "ct_ich_segment",
)
PUBLISHED = {"usth_t3_segment": "usth-t3", "saucis_t6_unet": "saucis-t6"}


def module(name):
    return importlib.import_module(f"experiments.{name}")


def config_for(name, records, out, **options):
    kind = ByColumns if name == "open_stroke_segment" else TableRun
    return kind(records=tuple(records), out=out, smoke=True, **options)


def table(out, name):
    return (out / f"{module(name).TABLE.experiment}-smoke" / "TABLE.md").read_text()


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("usth_t3_segment", "resnet50"),
        ("saucis_t6_unet", "improved-unet"),
        pytest.param("saucis_ablation", "loss-lovasz", marks=pytest.mark.slow),
    ],
)
def test_a_smoke_run_is_shown_with_its_lesion_scores(name, row, tiny, phantom_records, tmp_path):
    assert module(name).main(config_for(name, phantom_records[1:], tmp_path, rows=(row,))) == 0
    text = table(tmp_path, name)
    assert "## Protocol as-published" in text
    assert "| row | n | lesion_dice | lesion_iou | ischemia_dice |" in text
    assert f"\n| {row} | " in text.split("### Ours, seed 0")[1]
    if name in PUBLISHED:
        (beside,) = (line for line in text.splitlines() if f"| {row} | as-published | 0 | " in line)
        assert " / " in beside and "–" not in beside
    folder = tmp_path / f"{module(name).TABLE.experiment}-smoke"
    figures = {path.stem for path in (folder / f"{row}-as-published-s0/figures").iterdir()}
    assert figures >= {"history", "segmentation"}
    history = pd.read_csv(folder / f"{row}-as-published-s0" / "history.csv")
    assert {"lesion_iou", "val_lesion_iou", "val_lesion_dice"} <= set(history.columns)


@pytest.mark.slow  # test_cross_validate has masks, classes and columns each by themselves
def test_cross_validated_networks_are_compared_in_all_and_by_source(
    tiny, phantom_records, tmp_path, monkeypatch
):
    experiment = module("open_stroke_segment")
    monkeypatch.setattr(experiment, "TABLE", replace(experiment.TABLE, parts=2))
    rows = experiment.TABLE.rows
    quick = {"backbone": "mobilenet025", "training": "probe", "head": "linear"}
    monkeypatch.setitem(rows, "type", replace(rows["type"], **quick))
    sources = tmp_path / "manifest.csv"
    rows = [row for row in read_folds(phantom_records[0]) if row.fold.isdecimal()]
    ids, patients = [row.source_id for row in rows], len({row.group_id for row in rows})
    with sources.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "source", "file"))
        sources_of = [("here", "there")[place % 2] for place in range(len(ids))]
        writer.writerows(zip(ids, sources_of, ids, strict=True))
    config = config_for(
        "open_stroke_segment",
        phantom_records[:1],
        tmp_path,
        rows=("joint", "type"),
        columns=sources,
    )
    assert open_stroke(config) == 0
    text = table(tmp_path, "open_stroke_segment")
    masks, rest = text.split("### Classes of slices\n")
    classes, apart, types_apart = re.split("### .* by source", rest)
    assert f"\n| joint | 0 | {len(ids)} | {patients} | " in masks
    assert "\n| joint | 0 | " in classes
    assert "\n| type | 0 | " in classes
    assert "| type | " not in masks + apart
    assert f"\n| joint | 0 | here | {-(-len(ids) // 2)} | " in apart
    assert "\n| joint | 0 | there | " in apart
    assert "\n| type | 0 | there | " in types_apart
    assert "by file" not in text  # as many values as slices
    folder = tmp_path / "open-stroke-segment-smoke"
    assert "](joint-clean-s0.png)" in text
    assert (folder / "joint-clean-s0.png").stat().st_size > 1000
    assert "Failed" not in text
    assert "### Parts" not in text
    kept = read_out_of_fold(folder, "joint")
    assert sorted(kept["id"]) == sorted(ids)
    source_of = dict(zip(ids, sources_of, strict=True))
    assert kept["source"].tolist() == [source_of[name] for name in kept["id"]]
    assert not (folder / "ensemble").exists()
    assert open_stroke(replace(config, rows=("type",), columns=None)) == 0
    text = table(tmp_path, "open_stroke_segment")
    assert "by source" not in text
    chosen = r"\| 0 \| 1 \| 5, 6, 7, 8, 9 \| 0 \| \d+ \| \d+ \| \d+ \| threshold 0.5, temperature"
    assert re.search(chosen, text.split("### Parts")[1])


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_smoke_run_of_every_row(name, phantom_records, tmp_path):
    rows = tuple(module(name).TABLE.rows)
    assert module(name).main(config_for(name, phantom_records[:1], tmp_path, rows=rows)) == 0
    assert all(f"| {row} | " in table(tmp_path, name) for row in module(name).TABLE.rows)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_rows_that_load_no_weights_say_so(name):
    for row in module(name).TABLE.rows.values():
        if isinstance(row, UnetRun) and row.architecture == "improved":
            assert row.weights is None


@pytest.mark.parametrize(("name", "key"), PUBLISHED.items())
def test_the_rows_of_the_paper_are_there(name, key):
    assert {row.name for row in TABLES[key].rows} <= module(name).TABLE.rows.keys()


def test_the_ablation_changes_one_thing_at_a_time():
    rows = saucis_ablation.TABLE.rows
    whole, plain = (vars(rows[name].improvements) for name in ("improved", "plain"))
    for name, row in rows.items():
        switches = vars(row.improvements)
        from_whole = [key for key in whole if switches[key] != whole[key]]
        from_plain = [key for key in plain if switches[key] != plain[key]]
        if name.startswith("without-"):
            assert from_whole == [name.removeprefix("without-").replace("-", "_")]
        elif name.startswith("plain-with-"):
            assert from_plain == [name.removeprefix("plain-with-").replace("-", "_")]
    assert {row.loss for row in rows.values()} == set(LOSSES)
    assert len(rows) == 2 + 2 * len(whole) + len(LOSSES) - 1


def test_the_joint_network_is_compared_on_equal_terms():
    masks, types, joint = (
        module("joint_phase2").TABLE.rows[row] for row in ("unet", "type", "joint")
    )
    assert replace(joint, architecture="unet") == masks
    assert types.backbone == masks.encoder
    for setting in ("image_size", "batch_size", "fit", "augment", "strength"):
        assert getattr(types, setting) == getattr(masks, setting)


def test_sizes_stand_beside_those_of_the_paper(phantom_records):
    records = phantom_records[0]
    folds = [fold for fold in read_manifest(records).folds if fold.fold in range(FOLDS)]
    ischemia, hemorrhage = (
        sum(fold.classes[kind] for fold in folds) for kind in ("ISCHEMIA", "HEMORRHAGE")
    )
    assert sizes_of_classes(records).splitlines()[2:] == [
        f"| ischemia | 6780 | {ischemia} |",
        f"| hemorrhage | 6558 | {hemorrhage} |",
    ]


@pytest.mark.slow
def test_a_unet_row_that_fails_is_named_and_the_others_go_on(
    tiny, phantom_records, tmp_path, capsys
):
    small = UnetRun(
        weights=None, image_size=32, val_folds=(6, 7), test_folds=(8, 9), fit=FitConfig(epochs=1)
    )
    detecting = replace(small, score="mask")
    rows = {"broken": replace(small, val_folds=(8,)), "fine": small, "detects": detecting}
    config = TableRun(records=phantom_records[:1], out=tmp_path)
    assert run_table(config, Table("test", rows)) == 1
    text = (tmp_path / "test" / "TABLE.md").read_text()
    assert "Failed: broken-clean-s0: validation and test folds must be different" in text
    assert "\n| fine | " in text
    masks, detection = text.split("| row | n | roc_auc | ")
    assert "\n| detects | " in masks and "\n| detects | " in detection
    assert "\n| fine | " not in detection


def test_the_best_epoch_of_a_joint_network_has_its_loss_alone(tmp_path):
    folder = tmp_path / "unet" / "joint-s0"
    folder.mkdir(parents=True)
    history = {"epoch": [0, 1], "loss": [3.0, 2.0], "val_loss": [2.0, 2.5], "mask_loss": [2, 1]}
    pd.DataFrame(history).to_csv(folder / "history.csv", index=False)
    found = best_epoch(UnetRun(out=tmp_path, architecture="joint"))
    assert {name: metric.value for name, metric in found.items()} == {
        "train_loss": 3.0,
        "val_loss": 2.0,
    }


def test_weights_and_sizes_of_a_smoke_test_fit_both_kinds(tmp_path):
    config = TableRun(records=(tmp_path,), out=tmp_path, smoke=True)
    for row in (UnetRun(), ClassifierRun()):
        settled = tables._settled(row, config, "test", "row", tmp_path)
        assert (settled.weights, settled.fit.epochs, settled.batch_size) == (None, 1, 8)
    assert tables._settled(UnetRun(), config, "test", "row", tmp_path).filters == 4
