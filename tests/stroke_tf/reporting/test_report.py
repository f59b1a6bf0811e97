import dataclasses
import functools
import json
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from html_page import Page

from stroke_tf.command import parse
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.evaluation.metrics import Counts, classification_metrics
from stroke_tf.evaluation.segmentation import count_masks, segmentation_metrics
from stroke_tf.files import write_json
from stroke_tf.page import render_page
from stroke_tf.reporting.figures import (
    figure_confusion,
    figure_history,
)
from stroke_tf.reporting.report import HEADLINES, ReportConfig, main, write_report
from stroke_tf.run_folder import CAUTIONS_NAME, RunFolder, RunMetrics, save_figure
from stroke_tf.runs.settings import UnetRun, UnetTraining

SHA = "0123456789abcdef" * 4
NAN = float("nan")
SPLIT = {"train": (0, 1, 2), "val": (3,), "test": (4, "stage1")}
EVIL = "<script>alert(1)</script>|*x*`[y](http://example.org)![z](http://example.org/z.png)\n# h"


def _finish(run, metrics, *, n, threshold=None, config=None, **changes):
    with run.opened(config or {"backbone": run.row}, data_manifest_sha256=SHA):
        values = {
            "protocol": "clean",
            "split": SPLIT,
            "n": n,
            "threshold": threshold,
            "metrics": metrics,
            "wall_seconds": 75.0,
            "data_manifest_sha256": SHA,
        }
        result = RunMetrics(run.experiment, run.row, run.seed, **{**values, **changes})
        run.finish(result, pd.DataFrame(columns=["id"]), figures={}, files={})
    return result


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Figures drawn once for all runs of this module."""
    folder = tmp_path_factory.mktemp("drawn")
    history = pd.DataFrame({"epoch": [0, 1], "loss": [0.7, 0.5], "val_loss": [0.8, 0.6]})
    save_figure(figure_history(history), folder / "history.png")
    save_figure(figure_confusion(Counts(5, 1, 2, 9), ("none", "stroke")), folder / "confusion.png")
    return folder


@pytest.fixture
def classifier(tmp_path, drawn):
    """Returns a function that leaves a finished run of a classifier in `tmp_path`."""
    return functools.partial(_classifier, tmp_path, drawn)


def _classifier(out, drawn, row="cnn", seed=0, **changes):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, 60)
    scores = np.clip(0.4 * truth + rng.normal(0.3, 0.2, 60), 0, 1)
    run = RunFolder(out, "demo", row, seed)
    shutil.copytree(drawn, run.figures)
    metrics = classification_metrics(truth, scores, threshold=0.5, resamples=20)
    return _finish(run, metrics, n=60, threshold=0.5, **changes)


def _segmenter(out, row="unet"):
    masks = np.random.default_rng(0).integers(0, 3, (2, 4, 8, 8))
    metrics = segmentation_metrics(count_masks(*masks), resamples=20)
    return _finish(RunFolder(out, "demo", row, 0), metrics, n=4)


def _page(out, experiment="demo", **options):
    html = write_report(out, experiment, **{"title": "Demo", **options})
    return Page(html.read_text(encoding="utf-8"))


def test_report_writes_both_files_into_the_experiments_folder(tmp_path, classifier):
    classifier()
    path = write_report(tmp_path, "demo", title="Demo")
    assert path == tmp_path / "demo" / "report.html"
    assert (tmp_path / "demo" / "REPORT.md").read_text().startswith("# Demo\n")
    assert not [file for file in path.parent.iterdir() if file.name.startswith(".")]


def test_each_kind_of_run_has_its_own_table_with_intervals(tmp_path, classifier):
    first, second, unet = classifier(), classifier(seed=1), _segmenter(tmp_path)
    data, classification, segmentation, *_ = _page(tmp_path).tables
    assert classification[0][:6] == ["run", "protocol", "seed", "n", "threshold", "accuracy"]
    for line, run in zip(classification[1:], (first, second), strict=True):
        assert line[:5] == ["demo / cnn", "clean", str(run.seed), "60", "0.500"]
        value, low, high = run.metrics["accuracy"]
        assert line[5] == f"{value:.3f} [{low:.3f},\xa0{high:.3f}]"
    for table, run in ((classification, first), (segmentation, unet)):
        shown = [name for name in HEADLINES if name in run.metrics]
        assert table[0][5:] == [name.replace("_", " ") for name in shown]
        assert len(shown) < len(run.metrics)
    assert segmentation[0][5] == "lesion dice"
    assert segmentation[1][:5] == ["demo / unet", "clean", "0", "4", "–"]
    assert segmentation[1][5].startswith(f"{unet.metrics['lesion_dice'].value:.3f} [")
    assert len(data) == 3


def test_a_report_ends_with_what_its_numbers_mean(tmp_path):
    _segmenter(tmp_path)
    *_, glossary = _page(tmp_path).tables
    assert {line[0] for line in glossary} >= {"number", "threshold", "… dice", "… iou"}
    assert not {"roc auc", "brier"} & {line[0] for line in glossary}


def test_data_table_names_protocol_folds_and_manifest_once_for_equal_runs(tmp_path, classifier):
    classifier()
    classifier(seed=1)
    table, *_ = _page(tmp_path).tables
    assert table[1:] == [
        [
            "clean",
            "0, 1, 2",
            "3",
            "4, stage1",
            "60",
            SHA[:12],
            "demo / cnn, seed 0; demo / cnn, seed 1",
        ]
    ]


def test_warnings_stand_once_below_the_scores_with_the_runs_they_are_of(tmp_path, classifier):
    runs = [classifier(), classifier(seed=1)]
    assert "Beware" not in _page(tmp_path).text
    for run, more in zip(runs, ([], [f"Only 2 {EVIL}"]), strict=True):
        path = RunFolder(tmp_path, run.experiment, run.row, run.seed).path
        write_json(path / CAUTIONS_NAME, ["Every score is 0.4952", *more])
    page = _page(tmp_path)
    both = "Every score is 0.4952 (demo / cnn, seed 0; demo / cnn, seed 1)"
    assert page.text.count(both) == 1
    assert page.text.index("Results") < page.text.index(both) < page.text.index("Settings")
    assert "Only 2 <script>" in page.text


def test_classifiers_share_a_table_whatever_else_was_measured(tmp_path, classifier):
    run = classifier()
    more = {**run.metrics, "sensitivity_at_99_specificity": Metric(0.5, NAN, NAN)}
    _finish(RunFolder(tmp_path, "demo", "other", 0), more, n=60)
    page = _page(tmp_path)
    assert [line[0] for line in page.tables[1]] == ["run", "demo / cnn", "demo / other"]
    assert "99 specificity" not in page.text
    assert "stands in the metrics.json of its run" in page.text


def test_undefined_numbers_are_not_given_as_numbers(tmp_path):
    metrics = {"f1": Metric(NAN, NAN, NAN), "roc_auc": Metric(0.75, NAN, NAN)}
    _finish(RunFolder(tmp_path, "demo", "cnn", 0), metrics, n=5)
    page = _page(tmp_path)
    assert page.tables[1][1][5:] == ["n/a", "0.750"]
    assert "nan" not in page.text


def test_page_loads_nothing_from_anywhere(tmp_path, classifier):
    classifier()
    page = _page(
        tmp_path,
        notes=(
            "See [the paper](https://example.org), <https://example.org> and "
            "![logo](https://example.org/logo.png) ![up](../../secret.png).",
            '<img src="https://example.org/x.png">',
        ),
    )
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert "href" not in attributes
        assert attributes.get("src", "data:").startswith("data:")
        assert not [name for name in attributes if name.startswith("on")]
    assert "url(" not in page.text
    assert "@import" not in page.text
    assert "the paper" in page.text
    policy = [m["content"] for m in page.find("meta") if "http-equiv" in m]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_figures_are_embedded_with_captions_in_a_fixed_order(tmp_path, classifier):
    classifier()
    extra = tmp_path / "demo" / "cnn-s0" / "figures" / "a [new] figure.png"
    extra.write_bytes((extra.parent / "history.png").read_bytes())
    images = _page(tmp_path).find("img")
    assert [image["alt"].split()[0] for image in images] == ["Loss", "Confusion", "a"]
    assert images[2]["alt"] == "a [new] figure"
    assert all(image["src"].startswith("data:image/png;base64,iVBORw0KGgo") for image in images)


def test_markdown_links_figures_relative_to_itself(tmp_path, classifier):
    classifier()
    write_report(tmp_path, "demo", title="Demo")
    assert "](cnn-s0/figures/history.png)\n*Loss" in (tmp_path / "demo" / "REPORT.md").read_text()
    write_report(tmp_path, title="All")
    assert "](demo/cnn-s0/figures/history.png)" in (tmp_path / "REPORT.md").read_text()


def test_unfinished_runs_are_listed_as_such(tmp_path, classifier):
    classifier()
    with RunFolder(tmp_path, "demo", "killed", 2).opened({}, data_manifest_sha256=SHA):
        pass
    page = _page(tmp_path)
    assert page.tables[0] == [["run folder"], ["demo/killed-s2"]]
    assert len(page.tables[2]) == 2


def test_an_experiment_without_a_finished_run_still_has_a_report(tmp_path):
    with RunFolder(tmp_path, "demo", "killed", 2).opened({}, data_manifest_sha256=SHA):
        pass
    assert "Results" not in _page(tmp_path).text


def test_all_experiments_are_reported_together_or_one_alone(tmp_path):
    _segmenter(tmp_path)
    _finish(RunFolder(tmp_path, "other", "cnn", 0), {"f1": Metric(0.5, 0.4, 0.6)}, n=9)
    assert "other / cnn" not in _page(tmp_path).text
    assert "other / cnn" in _page(tmp_path, None).text
    assert (tmp_path / "report.html").is_file()


def test_the_command_that_trains_again_stands_beside_the_settings(tmp_path, classifier):
    classifier()
    page = _page(tmp_path)
    words = shlex.split(page.text[page.text.index("stroke-tf train-") :].splitlines()[0])
    assert words[1] == "train-classifier"
    run = tmp_path / "demo" / "cnn-s0" / "config.json"
    assert tmp_path / words[words.index("--config") + 1] == run
    write_json(run, {**dataclasses.asdict(UnetRun()), "records": "r", "out": "o", "row": "mine"})
    text = _page(tmp_path).text
    words = shlex.split(text[text.index("stroke-tf train-") :].splitlines()[0])
    words[words.index("--config") + 1] = str(run)
    run = parse(UnetTraining, args=words[2:]).run
    assert words[1] == "train-unet"
    assert (run.row, str(run.records), str(run.out)) == ("mine", "RECORDS", "again")


def test_a_run_that_no_command_trains_has_none_in_the_report(tmp_path, classifier):
    classifier(config={"backbone": "histogram"})
    assert "stroke-tf train-" not in _page(tmp_path).text


def test_settings_and_environment_are_shown(tmp_path, classifier):
    classifier(config={"fit": {"epochs": 3}, "note": "``` </code><b>"})
    page = _page(tmp_path)
    code = page.text[page.text.index("Settings") :]
    shown = json.loads(code[code.index("{") : code.index("Environment")])
    assert shown == {"fit": {"epochs": 3}, "note": "``` </code><b>"}
    assert page.find("b") == []
    environment = dict(page.tables[-2][1:])
    assert environment["python"].startswith("3.")
    assert f"numpy {np.__version__}" in environment["packages"]


def test_runs_of_different_environments_are_told_apart(tmp_path, classifier):
    classifier()
    _segmenter(tmp_path)
    env = tmp_path / "demo" / "unet-s0" / "env.json"
    env.write_text(json.dumps({**json.loads(env.read_text()), "python": "3.99.0"}))
    tables = _page(tmp_path).tables
    assert len([table for table in tables if table[0][0] == "what"]) == 2


def test_text_from_data_is_shown_and_never_obeyed(tmp_path):
    run = RunFolder(tmp_path, "demo", "cnn", 0)
    _finish(run, {EVIL: Metric(0.5, 0.4, 0.6)}, n=5, protocol=EVIL, split={"test": (EVIL,)})
    env = json.loads(run.env.read_text())
    run.env.write_text(json.dumps({**env, EVIL: EVIL, "devices": [EVIL]}))
    page = _page(tmp_path, title=EVIL)
    assert not {"script", "em", "a", "img"} & {tag for tag, _ in page.tags}
    assert len(page.find("h1")) == 1
    flat = " ".join(EVIL.split())
    data, results, environment, _ = page.tables
    assert [data[1][0], data[1][3], results[1][1]] == [flat] * 3
    assert results[0][5] == flat.replace("_", " ")
    assert [flat, flat] in environment
    assert {len(line) for line in results} == {6}


def test_wide_tables_stand_in_a_box_that_scrolls(tmp_path, classifier):
    classifier()
    page = _page(tmp_path)
    for index, (tag, _) in enumerate(page.tags):
        if tag == "table":
            assert page.tags[index - 1] == ("div", {"class": "scroll", "tabindex": "0"})
    assert re.search(r"\.scroll \{\s+margin: 1rem 0; overflow-x: auto;", page.text)


def test_the_same_runs_give_the_same_bytes(tmp_path, classifier):
    classifier()
    first = write_report(tmp_path, "demo", title="Demo").read_bytes()
    assert write_report(tmp_path, "demo", title="Demo").read_bytes() == first


def test_a_folder_without_runs_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="demo must hold runs"):
        write_report(tmp_path, "demo", title="Demo")


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "config.json must be JSON"), ("[]", "config.json must hold a JSON object")],
)
def test_a_broken_config_is_named(tmp_path, text, message):
    _segmenter(tmp_path)
    (tmp_path / "demo" / "unet-s0" / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        write_report(tmp_path, "demo", title="Demo")


def test_main_says_where_the_report_is(tmp_path, capsys):
    _segmenter(tmp_path)
    main(ReportConfig(out=tmp_path, experiment="demo"))
    assert capsys.readouterr().out == f"{tmp_path / 'demo' / 'report.html'}\n"


def test_command_line_help_loads_no_heavy_library():
    command = [sys.executable, "-X", "importtime", "-m", "stroke_tf.reporting.report", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--experiment" in done.stdout
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "markdown_it" in loaded
    assert not {"tensorflow", "keras", "matplotlib", "pandas", "scipy", "sklearn"} & loaded


def test_a_named_block_is_folded_and_another_one_is_not(tmp_path):
    page = render_page("```json Set <tings>\n{}\n```\n\n```json\n[]\n```\n", tmp_path, title="T")
    body = page.partition("<body>")[2]
    assert body.count("<details>") == 1
    assert "<summary>Set &lt;tings&gt;</summary>" in body
    assert body.index("</details>") < body.index("[]")
