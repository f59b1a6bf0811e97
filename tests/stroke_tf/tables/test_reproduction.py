import importlib
import re

import numpy as np
import pandas as pd
import pytest
from html_page import Page

from stroke_tf.evaluation.intervals import Metric, bootstrap
from stroke_tf.evaluation.metrics import Counts, roc_auc
from stroke_tf.evaluation.segmentation import count_masks
from stroke_tf.files import write_json, write_text
from stroke_tf.manifest import FoldRow, folds_text, manifest_sha256
from stroke_tf.reporting.figures import figure_confusion
from stroke_tf.reporting.samples import FIGURES as SAMPLE_FIGURES
from stroke_tf.run_folder import RunFolder, RunMetrics, save_figure
from stroke_tf.tables.paper_figures import FIGURES, SAMPLES
from stroke_tf.tables.papers import TABLES
from stroke_tf.tables.reproduced import over_seeds, read_reproduction
from stroke_tf.tables.reproduction import write_reproduction

EXPERIMENT = "usth-t1-detect"
SHA = "0123456789abcdef" * 4
SPLIT = {"train": (0, 1), "val": (7,), "test": (8, 9)}
NAN = float("nan")
EVIL = "<script>alert(1)</script>|*x*`[y](http://example.org)\n# h"
MANY = pd.DataFrame({"id": range(40), "truth": [0, 1] * 20, "score": np.linspace(0, 1, 40)})


def job(row="resnet50", protocol="clean", seed=0, state="waiting", **more):
    named = {"experiment": EXPERIMENT, "row": row, "protocol": protocol, "seed": seed}
    return {**named, "records": f"records-{protocol}", "state": state, "reason": "", **more}


def plan(out, *jobs, **changes):
    """Writes reproduce.json of some trainings."""
    values = {
        "command": "python -m experiments.reproduce --records records",
        "seeds": [0, 1, 2],
        "tables": {EXPERIMENT: ["usth-t1"]},
        "records": [{"folder": "records-clean", "protocol": "clean", "manifest_sha256": SHA}],
        "jobs": list(jobs),
    }
    write_json(out / "reproduce.json", values | changes)


def finish(out, planned, *, slices=MANY, threshold=0.5, figures=None, files=None, **metrics):
    """Leaves the run folder of a training that is done."""
    row = f"{planned['row']}-{planned['protocol']}"
    folder = RunFolder(out, planned["experiment"], row, planned["seed"])
    result = RunMetrics(
        folder.experiment,
        folder.row,
        folder.seed,
        planned["protocol"],
        SPLIT,
        len(slices),
        threshold,
        {name: Metric(*numbers) for name, numbers in metrics.items()},
        90.0,
        SHA,
    )
    config = {"image_size": 224, "batch_size": 32, "weights": None, "fit": {"epochs": 72}}
    with folder.opened(config, data_manifest_sha256=SHA):
        folder.finish(result, slices, figures=figures or {}, files=files or {})
    return folder


def page(out):
    return Page(write_reproduction(out).read_text(encoding="utf-8"))


def lines(shown, row):
    """Returns the cells of a row by metric, those of the first table that has both."""
    return {
        line[1]: line[2:]
        for table in reversed(shown.tables)
        if table[0][:2] == ["row", "metric"]
        for line in table[1:]
        if line[0] == row
    }


def test_seeds_are_averaged_beside_the_paper(tmp_path):
    jobs = [job(seed=seed) for seed in (0, 1, 2)] + [job(protocol="as-published")]
    plan(tmp_path, *jobs)
    for planned, value in zip(jobs, (0.8, 0.9, 0.85, 0.96), strict=True):
        finish(tmp_path, planned, recall_macro=(value, value - 0.1, value + 0.04))
    line = lines(page(tmp_path), "resnet50")["recall macro"]
    paper, published, its_limits, clean, limits, gain = line
    assert (paper, published, its_limits) == ("0.9242", "0.960", "[0.860,\xa01.000]")
    assert clean == "0.850 (3:\xa00.800–0.900)"
    assert limits == "[0.750,\xa00.890]"
    assert gain == f"{0.85 - 0.9242:+.3f}"


def test_decoded_numbers_are_marked_and_stand_beside_ours(tmp_path):
    planned = job("efficientnetv2b0")
    plan(tmp_path, planned)
    finish(tmp_path, planned, sensitivity=(0.9, 0.8, 1), roc_auc=(0.97, 0.9, 1))
    found = lines(page(tmp_path), "efficientnetv2b0")
    assert found["sensitivity"][0] == f"{round(65 / 70, 4)}†"
    assert found["sensitivity"][5] == f"{0.9 - 65 / 70:+.3f}"
    assert found["roc auc"][:4] == ["–", "–", "–", "0.970"]


def test_the_interval_of_several_seeds_is_not_too_narrow():
    rng = np.random.default_rng(0)
    truth, groups = np.tile([0, 1], 100), np.repeat(np.arange(50), 4)
    hard = rng.normal(0, 1, 50)[groups]  # patients that every seed finds hard
    seeds = [truth + hard + rng.normal(0, 0.3, 200) for _ in range(3)]
    ranks = [pd.Series(scores).rank(pct=True).to_numpy() for scores in seeds]

    def aucs(weights):
        drawn = np.repeat(np.arange(200), weights)
        found = [roc_auc(truth[drawn], scores[drawn]) for scores in ranks]
        return [*found, np.mean(found)]

    *single, mean = bootstrap(aucs, groups, seed=0, resamples=300)
    ours = over_seeds(single)
    assert ours.value == pytest.approx(mean.value)
    assert mean.high - mean.low <= ours.high - ours.low < 1.3 * (mean.high - mean.low)


def test_a_report_of_nothing_yet_names_every_table_figure_and_note(tmp_path):
    plan(tmp_path, job(), job(seed=1, state="not run", reason="outside the budget of 1 h"))
    text = page(tmp_path).text
    for table in TABLES.values():
        assert f"{' '.join(table.source)}: {table.title}" in text
        for note in (*table.notes, *(row.note for row in table.rows)):
            assert note in text
    for figure in FIGURES:
        assert f"{figure.paper} {figure.name}" in text
    assert text.count("Not drawn: ") == len(FIGURES)


def test_classifiers_are_compared_with_the_first_row_by_patient(tmp_path):
    folder, truth = tmp_path / "records-clean", np.tile([0, 1, 1], 8)
    folds = [
        FoldRow(f"s{number}", f"p{number // 4}", "NONE", "9", 0, 8, 8, "", 0)
        for number in range(len(truth))
    ]
    write_text(folder / "folds.csv", folds_text(folds))
    write_json(folder / "manifest.json", {})
    slices = pd.DataFrame(
        {"id": [fold_row.source_id for fold_row in folds], "truth": truth, "score": 0.5}
    )
    jobs = [job(row) for row in ("histogram", "resnet50", "mobilenetv2", "efficientnetb0")]
    records = {"folder": "records-clean", "protocol": "clean"}
    plan(tmp_path, *jobs, records=[records | {"manifest_sha256": manifest_sha256(folder)}])
    for planned, scores in zip(jobs[:-1], (0.4, truth * 0.9, 1 - truth), strict=True):
        finish(tmp_path, planned, slices=slices.assign(score=scores), roc_auc=(0.5, 0.4, 0.6))
    finish(tmp_path, jobs[-1], slices=slices[4:], roc_auc=(0.5, 0.4, 0.6))
    write_reproduction(tmp_path, records=[folder])
    text = (tmp_path / "REPORT.md").read_text()
    assert "## usth-t1-detect against its histogram" in text
    assert "\n| resnet50 | +0.500 [" in text
    assert "\n| mobilenetv2 | -0.500 [" in text
    assert "\n| efficientnetb0 | – | – | – | – |" in text  # tested on other slices
    assert "corrected by Holm for the comparisons of this table (2)" in text
    assert "against its" not in page(tmp_path).text  # without the records


def test_cells_that_are_not_run_say_so_and_why(tmp_path):
    reason = "outside the budget of 1 h (estimated 3.2 h)"
    done = job("mobilenetv2")
    plan(
        tmp_path,
        done,
        job(seed=0, state="failed", reason="no memory"),
        *(
            job(row, seed=seed, state="not run", reason=reason, records=None)
            for row in ("cnn-detect", "efficientnetv2b0")
            for seed in (0, 1)
        ),
        job("efficientnetb0", state="done"),  # its folder was deleted since
    )
    finish(tmp_path, done, recall_weighted=(0.9, 0.8, 1))
    shown = page(tmp_path)
    assert "Of 7 trainings: 1 done, 1 failed, 4 not run, 1 waiting." in shown.text
    assert lines(shown, "resnet50")["recall macro"][3] == "failed"
    assert lines(shown, "cnn-detect")["recall macro"][3] == "not run"
    (table,) = [rows for rows in shown.tables if rows[0][-1] == "why"]
    assert table[1:] == [
        [EXPERIMENT, "resnet50", "clean", "0", "failed", "no memory"],
        [EXPERIMENT, "cnn-detect, efficientnetv2b0", "clean", "0, 1", "not run", reason],
        [EXPERIMENT, "efficientnetb0", "clean", "0", "waiting", "its result is no longer there"],
    ]


def test_a_training_that_is_done_is_so_though_the_last_command_left_it_out(tmp_path):
    kept = job("mobilenetv2", state="not run", reason="left out by --tables", records=None)
    unscored = job(state="not run", reason="not scored on --outside: outside the budget of 1 h")
    plan(tmp_path, kept, unscored)
    for planned in (kept, unscored):
        finish(tmp_path, planned, recall_macro=(0.5, 0.4, 0.6))
    shown = page(tmp_path)
    assert "Of 2 trainings: 2 done." in shown.text
    assert "left out by" not in shown.text
    (table,) = [rows for rows in shown.tables if rows[0][-1] == "why"]
    assert table[1:] == [[EXPERIMENT, "resnet50", "clean", "0", "done", unscored["reason"]]]


def test_rows_that_the_paper_does_not_have_come_last(tmp_path):
    planned = job("histogram")
    plan(tmp_path, planned)
    finish(tmp_path, planned, recall_macro=(0.6, 0.5, 0.7))
    assert lines(page(tmp_path), "histogram") == {
        "recall macro": ["–", "–", "–", "0.600", "[0.500,\xa00.700]", "–"]
    }


def test_scores_of_training_come_from_the_best_epoch(tmp_path):
    planned = job("vgg16") | {"experiment": "saucis-t4-t5-detect"}
    tables = {"saucis-t4-t5-detect": ["saucis-t4", "saucis-t5"]}
    plan(tmp_path, planned, tables=tables)
    folder = finish(tmp_path, planned, accuracy=(0.7, 0.6, 0.8))
    of_both = {"accuracy": [0.6, 0.8], "loss": [0.7, 0.5]}
    history = {"epoch": [0, 1]} | of_both | {f"val_{name}": of for name, of in of_both.items()}
    pd.DataFrame(history).to_csv(folder.history, index=False)
    found = lines(page(tmp_path), "vgg16")
    assert found["train accuracy"] == ["0.9189", "–", "–", "0.800", "–", "-0.119"]
    assert found["accuracy"][0:4:3] == ["0.94", "0.700"]  # of the abstract


@pytest.mark.parametrize(
    ("slices", "doubt"),
    [
        (MANY.assign(score=0.25), "all 40 scores are equal"),
        (MANY.assign(score=MANY["score"] / 4), "all 40 slices are called one class"),
        (MANY.assign(truth=[1] * 4 + [0] * 36), "4 test slices of one class are few"),
    ],
)
def test_scores_that_say_little_are_marked(tmp_path, slices, doubt):
    planned = job()
    plan(tmp_path, planned)
    finish(tmp_path, planned, slices=slices, recall_macro=(0.5, 0.5, 0.5))
    shown = page(tmp_path)
    assert lines(shown, "resnet50")["recall macro"][3] == "0.500 ⚠"
    assert f"⚠ resnet50-clean-s0: {doubt}" in shown.text


def test_scores_that_are_close_and_still_rank_are_not_marked(tmp_path):
    planned = job()
    plan(tmp_path, planned)
    close = MANY.assign(score=0.5 + (MANY["score"] - 0.5) / 10_000)
    finish(tmp_path, planned, slices=close, recall_macro=(0.5, 0.5, 0.5))
    assert lines(page(tmp_path), "resnet50")["recall macro"][3] == "0.500"


def test_masks_without_a_lesion_are_marked(tmp_path):
    planned = job() | {"experiment": "usth-t3-segment"}
    plan(tmp_path, planned, tables={"usth-t3-segment": ["usth-t3"]})
    truth = np.zeros((12, 8, 8), int)
    truth[:11, 2:4] = 1
    slices = count_masks(truth, 0 * truth).to_frame([str(number) for number in range(12)])
    finish(tmp_path, planned, slices=slices, threshold=None, sm_f1=(0.3, NAN, NAN))
    shown = page(tmp_path)
    assert "nothing is drawn on any of 12 slices" in shown.text
    assert "are few" not in shown.text
    assert lines(shown, "resnet50")["sm f1"][3] == "0.300 ⚠"


def test_a_training_that_failed_outside_keeps_its_scores(tmp_path):
    planned = job(state="failed", reason="outside other: no such slices")
    plan(tmp_path, planned)
    finish(tmp_path, planned, recall_macro=(0.5, 0.4, 0.6))
    shown = page(tmp_path)
    assert lines(shown, "resnet50")["recall macro"][3] == "0.500 ⚠"
    assert shown.text.count("outside other: no such slices") == 2  # here, and among what is not run


def test_scores_that_say_something_are_not_marked(tmp_path):
    plan(tmp_path, job())
    finish(tmp_path, job(), recall_macro=(0.5, 0.4, 0.6))
    text = (write_reproduction(tmp_path).parent / "REPORT.md").read_text()
    assert text.count("⚠") == 1  # where it is explained


def test_outside_scores_have_a_column(tmp_path):
    jobs = [job(seed=seed) for seed in (0, 1)]
    plan(tmp_path, *jobs, outside=[{"folder": "other", "manifest_sha256": SHA[::-1]}])
    for planned, value in zip(jobs, (0.7, 0.8), strict=True):
        score = {"value": value, "low": value - 0.1, "high": None}
        outside = {"name": "other", "n": 30, "patients": 7, "metrics": {"recall_macro": score}}
        finish(tmp_path, planned, recall_macro=(0.9, 0.8, 1), files={"outside-other.json": outside})
    shown = page(tmp_path)
    assert lines(shown, "resnet50")["recall macro"][-1] == "0.750 [0.650,\xa0nan]"
    assert "outside other: 30 slices of 7 patients" in shown.text
    assert SHA[::-1] in shown.text


def test_figures_of_the_papers_are_pictures_of_runs_that_are_named(tmp_path):
    planned = job("efficientnetv2b0", seed=1)
    plan(tmp_path, planned, samples={"state": "failed", "reason": "no pictures"})
    drawn = {"confusion": figure_confusion(Counts(5, 1, 2, 9), ("none", "stroke"))}
    finish(tmp_path, planned, figures=drawn)
    samples = tmp_path / SAMPLES / "figures" / "saucis-1-usth-1-classes-s0.png"
    save_figure(figure_confusion(Counts(1, 1, 1, 1), ("a", "b")), samples)
    shown = page(tmp_path)
    assert "Not drawn: samples, failed (no pictures)." in shown.text
    assert [image["alt"] for image in shown.find("img")] == [
        "saucis-1-usth-1-classes-s0",
        "saucis-1-usth-1-classes-s0",
        "confusion: usth-t1-detect, efficientnetv2b0, clean, seed 1",
    ]
    assert all(image["src"].startswith("data:image/png;base64,") for image in shown.find("img"))


def test_every_figure_of_a_paper_has_a_row_that_draws_it():
    for figure in FIGURES:
        if figure.experiment == SAMPLES:
            assert set(figure.pictures) <= set(SAMPLE_FIGURES)
        else:
            module = importlib.import_module(f"experiments.{figure.experiment.replace('-', '_')}")
            assert figure.row in module.TABLE.rows


def test_sizes_are_those_of_the_records(tmp_path):
    folds = {str(fold): {"NONE": 4, "ISCHEMIA": 2, "HEMORRHAGE": 1} for fold in range(10)}
    folds |= {"stage1": {"NONE": 3, "UNSPECIFIED": 5}}
    records = {"folder": "records-clean", "protocol": "clean", "manifest_sha256": SHA}
    plan(tmp_path, job(), records=[records | {"folds": folds}])
    sizes = {line[0]: line[1:] for table in page(tmp_path).tables for line in table}
    assert sizes["all"] == ["6951", "–", "78"]
    assert sizes["none"] == ["4557", "–", "43"]
    assert sizes["stroke"] == ["2394", "–", "35"]
    assert sizes["phase 1 test"] == ["100", "–", "8"]


def test_settings_seeds_and_hashes_are_told(tmp_path):
    planned = job(seconds=120.0, memory_bytes=3 << 29)
    plan(tmp_path, planned, scaled=["image size 96", "1 epoch"], budget_hours=1)
    finish(tmp_path, planned, recall_macro=(0.9, 0.8, 1))
    shown = page(tmp_path)
    assert "Scaled down: image size 96; 1 epoch." in shown.text
    assert "A budget of 1 hours." in shown.text
    assert SHA in shown.text
    assert "python -m experiments.reproduce --records records" in shown.text
    (table,) = [rows for rows in shown.tables if rows[0][-1] == "settings"]
    settings = "224 px, batch 32, at most 72 epochs, weights None"
    assert table[1][3:] == ["0", "1.5", "2.0 min, 1.5 GiB memory", settings]
    assert ["what", "version or value"] in [table[0] for table in shown.tables]


@pytest.mark.parametrize("deterministic", [True, False])
def test_it_says_what_seeds_fix(tmp_path, deterministic):
    plan(tmp_path, job(), deterministic=deterministic)
    text = page(tmp_path).text
    assert ("A seed fixes the initial weights" in text) != deterministic
    assert ("bit by bit" in text) == deterministic


def test_whatever_the_files_hold_shows_as_text(tmp_path):
    evil = [job(state="failed", reason=EVIL)]
    outside = [{"folder": EVIL, "manifest_sha256": EVIL}]
    plan(tmp_path, *evil, scaled=[EVIL], outside=outside, command=f"x\n```\n{EVIL}")
    shown = page(tmp_path)
    assert not shown.find("script")
    assert not shown.find("a")
    assert re.sub(r"\s+", " ", EVIL) in shown.text
    assert len([tag for tag, _ in shown.tags if tag == "h1"]) == 1


@pytest.mark.parametrize("values", ["[]", "{}", "no json"])
def test_a_plan_that_is_none_is_named(tmp_path, values):
    (tmp_path / "reproduce.json").write_text(values)
    with pytest.raises(ValueError, match=r"reproduce\.json must be"):
        read_reproduction(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"reproduce\.json"):
        read_reproduction(tmp_path / "elsewhere")
