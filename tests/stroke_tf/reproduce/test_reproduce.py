import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from experiments import reproduce as experiment
from stroke_tf.command import parse
from stroke_tf.config import FitConfig
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.manifest import manifest_sha256, read_manifest
from stroke_tf.reproduce import run, work
from stroke_tf.reproduce.run import reproduce
from stroke_tf.reproduce.settings import Reproduction
from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.keep_or_run import folder_of, settings_of
from stroke_tf.runs.settings import ClassifierRun
from stroke_tf.tables.jobs import Estimate, outside_file
from stroke_tf.tables.table import Table

ROW = ClassifierRun(weights=None, image_size=64, fit=FitConfig(epochs=9))
TABLE = Table(
    "paper",
    {
        "histogram": replace(ROW, backbone="histogram"),
        "slow": replace(ROW, image_size=224),
        "quick": ROW,
    },
    published=("usth-t1",),
)
OWN = Table("own", {"loss": ROW})
HOURS = {"histogram": 0.01, "slow": 0.5, "quick": 0.2, "loss": 0.1}
SCORING = 36
"""Seconds that a finished run takes on outside slices."""


class Hands:
    """Stands for the processes that do the work: they take as long as they are estimated to."""

    def __init__(self):
        self.seconds, self.done, self.timed, self.broken = 0.0, [], [], {}

    def __call__(self, function, *args, watch=lambda: None):
        watch()
        return getattr(self, function.__name__)(*args)

    def estimate(self, runs, outside):
        self.timed.append(runs[0].row.rpartition("-clean")[0])
        return [Estimate(self.takes(one), 2 << 30, 1 << 20) for one in runs]

    def train_and_test(self, one, outside):
        name = folder_of(one).path.name
        if name in self.broken:
            raise RuntimeError(self.broken[name])
        self.seconds += self.takes(one)
        self.done.append(name)
        finish(one)
        for records in outside:
            found = {"name": records.name, "manifest_sha256": manifest_sha256(records)}
            outside_file(one, records).write_text(json.dumps(found))
        return []

    def draw_samples(self, records, out, seed, smoke):
        self.done.append("samples")

    def report(self, out, records):
        return out / "report.html"

    def takes(self, one):
        return SCORING if folder_of(one).is_done() else 3600 * HOURS[self.row(one)]

    @staticmethod
    def row(one):
        return one.row.removesuffix("-clean").removesuffix("-as-published")


def finish(one):
    folder, sha256 = folder_of(one), manifest_sha256(one.records)
    if folder.is_done():
        return
    with folder.opened(settings_of(one), data_manifest_sha256=sha256):
        protocol = read_manifest(one.records).protocol
        result = RunMetrics(
            *(one.experiment, one.row, one.fit.seed, protocol, {}, 1, 0.5),
            {"roc_auc": Metric(0.5, 0.4, 0.6)},
            *(1.0, sha256),
        )
        folder.finish(result, pd.DataFrame({"id": ["1"]}), figures={}, files={})


@pytest.fixture
def hands(monkeypatch):
    found = Hands()
    monkeypatch.setattr(run, "in_own_process", found)
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: found.seconds))
    return found


def reproduced(records, out, **options):
    config = Reproduction(records=tuple(records), out=out, **options)
    given = {"command": "command", "smoke_records": lambda records, **_: records}
    return reproduce(config, (TABLE, OWN), **given)


def kept(out):
    return json.loads((out / "reproduce.json").read_text())


def states(out):
    return {
        f"{job['row']}-{job['protocol']}-s{job['seed']}": (job["state"], job["reason"])
        for job in kept(out)["jobs"]
    }


def test_every_row_of_the_papers_is_run_under_both_protocols(hands, phantom_records, tmp_path):
    assert reproduced(phantom_records, tmp_path, seeds=(0, 1)) == 0
    clean = ["histogram-clean", "quick-clean", "slow-clean"]
    published = [name.replace("clean", "as-published") for name in clean]
    first = [f"{name}-s0" for name in (*clean, *published)]
    assert hands.done == ["samples", *first, *(name.replace("-s0", "-s1") for name in first)]
    assert hands.timed == ["histogram", "slow", "quick"]
    assert set(states(tmp_path).values()) == {("done", "")}


def test_what_is_needed_is_said_before_anything_runs(hands, phantom_records, tmp_path, capsys):
    reproduced(phantom_records, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    (slow,) = (line for line in lines if line.startswith("paper/slow, clean"))
    assert slow.split()[2:] == ["3", "30.0", "min", "2.0", "GiB", "0.00", "GiB"]
    (every,) = (line for line in lines if line.startswith("All: "))
    assert every.startswith("All: 4.3 h, at most 2.0 GiB of memory, 0.02 GiB of disk. ")
    assert "early stopping makes it less" in every
    first = next(line for line in lines if ": done; " in line)
    assert lines.index(every) < lines.index(first)
    assert first == "paper/histogram-clean-s0: done; 0.6 min, estimated 0.6 min"


def test_a_budget_takes_what_fits_in_the_stated_order(hands, phantom_records, tmp_path):
    assert reproduced(phantom_records[:1], tmp_path, budget_hours=0.7, seeds=(0, 1)) == 0
    found = states(tmp_path)
    assert hands.done == [
        "samples",
        *("histogram-clean-s0", "quick-clean-s0"),
        "histogram-clean-s1",
        "quick-clean-s1",
    ]
    assert found["slow-clean-s0"] == (
        "not run",
        "outside the budget of 0.7 h: estimated 30.0 min, 29.4 min left",
    )
    assert found["slow-clean-s1"][0] == "not run"


def test_a_budget_that_the_timing_used_up_leaves_rows_untimed(hands, phantom_records, tmp_path):
    assert reproduced(phantom_records[:1], tmp_path, budget_hours=0.0) == 0
    assert set(hands.done) == {"samples"} and not hands.timed
    reasons = {reason for _, reason in states(tmp_path).values()}
    assert "outside the budget of 0 h: not even timed" in reasons


def test_the_same_command_goes_on_and_times_nothing_twice(hands, phantom_records, tmp_path):
    hands.broken["quick-clean-s0"] = "its process was killed"
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0,)) == 1
    assert states(tmp_path)["quick-clean-s0"] == ("failed", "its process was killed")
    hands.broken.clear()
    hands.done.clear()
    hands.timed.clear()
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0, 1)) == 0
    assert hands.done[0] == "quick-clean-s0"
    assert len(hands.done) == 4 and not hands.timed
    assert states(tmp_path)["quick-clean-s0"] == ("done", "")


def test_a_row_that_fails_is_named_and_the_others_go_on(hands, phantom_records, tmp_path, capsys):
    hands.broken["quick-clean-s0"] = "no memory"
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0,)) == 1
    assert "slow-clean-s0" in hands.done
    assert "Failed: paper/quick-clean-s0: no memory" in capsys.readouterr().err


def test_what_is_kept_names_no_folder_of_the_machine(hands, phantom_records, tmp_path, monkeypatch):
    def draw_samples(*_):
        raise RuntimeError("/elsewhere/records/manifest.json must exist")

    monkeypatch.setattr(hands, "draw_samples", draw_samples)
    hands.broken["quick-clean-s0"] = "/elsewhere/records must hold gray8. Received: 1/2"
    line = [*("--records", str(phantom_records[0]), f"--out={tmp_path}", "--seeds=0")]
    monkeypatch.setattr(experiment, "TABLES", (TABLE,))
    assert experiment.main(parse(Reproduction, args=line), args=tuple(line)) == 1
    said = kept(tmp_path)
    assert said["command"].endswith(f" --records clean --out={tmp_path.name} --seeds=0")
    assert said["samples"]["reason"] == "manifest.json must exist"
    assert states(tmp_path)["quick-clean-s0"][1] == "records must hold gray8. Received: 1/2"


def test_a_network_that_cannot_be_timed_fails_with_its_reason(
    hands, phantom_records, tmp_path, monkeypatch
):
    def estimate(runs, outside):
        if "slow" in runs[0].row:
            raise RuntimeError("no weights")
        return Hands.estimate(hands, runs, outside)

    monkeypatch.setattr(hands, "estimate", estimate)
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0,)) == 1
    assert states(tmp_path)["slow-clean-s0"] == ("failed", "no weights")
    assert states(tmp_path)["quick-clean-s0"] == ("done", "")


def test_what_is_not_chosen_is_there_with_the_reason(hands, phantom_records, tmp_path):
    reproduced(phantom_records[:1], tmp_path, rows=("quick", "paper/slow"), seeds=(0,))
    found = states(tmp_path)
    assert hands.done == ["quick-clean-s0", "slow-clean-s0"]
    assert found["histogram-clean-s0"] == ("not run", "left out by --rows")
    assert found["quick-as-published-s0"][1].startswith("no such records among --records: ")
    assert "loss-clean-s0" not in found


def test_a_table_that_is_in_no_paper_is_run_when_it_is_named(hands, phantom_records, tmp_path):
    assert reproduced(phantom_records[:1], tmp_path, tables=("own",), seeds=(0,)) == 0
    assert hands.done == ["loss-clean-s0"]
    assert states(tmp_path)["quick-clean-s0"] == ("not run", "left out by --tables")
    assert kept(tmp_path)["samples"]["state"] == "not run"


def test_rows_can_be_made_smaller_and_the_record_says_so(hands, phantom_records, tmp_path):
    options = {"small_size": 96, "small_epochs": 5, "seeds": (0,)}
    reproduced(phantom_records[:1], tmp_path, **options)
    config = json.loads((tmp_path / "paper/slow-clean-s0/config.json").read_text())
    assert (config["image_size"], config["fit"]["epochs"]) == (96, 5)
    assert kept(tmp_path)["scaled"] == [
        "slices of at most 96 pixels (--small-size)",
        "at most 5 epochs (--small-epochs)",
    ]


@pytest.mark.parametrize("changed", [{"small_size": 64}, {"deterministic": True}])
def test_a_folder_goes_on_with_its_own_settings_alone(changed, hands, phantom_records, tmp_path):
    reproduced(phantom_records[:1], tmp_path, seeds=(0,))
    with pytest.raises(ValueError, match=f"Received others for: {next(iter(changed))}"):
        reproduced(phantom_records[:1], tmp_path, seeds=(0,), **changed)


def test_records_of_another_protocol_may_be_added(hands, phantom_records, tmp_path):
    reproduced(phantom_records[:1], tmp_path, seeds=(0,))
    hands.done.clear()
    assert reproduced(phantom_records, tmp_path, seeds=(0,)) == 0
    assert {name.split("-")[1] for name in hands.done} == {"as"}


def test_a_run_that_is_there_with_other_settings_fails_alone(hands, phantom_records, tmp_path):
    other = replace(ROW, experiment="paper", row="quick-clean", dropout=0.9, out=tmp_path)
    finish(replace(other, records=phantom_records[0]))
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0,)) == 1
    state, reason = states(tmp_path)["quick-clean-s0"]
    assert state == "failed" and reason.endswith("Received others for: dropout")
    assert "slow-clean-s0" in hands.done


def test_finished_runs_are_scored_on_a_folder_that_is_named_later(
    hands, phantom_records, tmp_path, other_records
):
    reproduced(phantom_records[:1], tmp_path, seeds=(0,))
    hands.done.clear()
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0,), outside=(other_records,)) == 0
    assert len(hands.done) == 3
    assert (tmp_path / "paper/quick-clean-s0/outside-other.json").is_file()
    hands.done.clear()
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0,), outside=(other_records,)) == 0
    assert not hands.done
    assert [entry["folder"] for entry in kept(tmp_path)["outside"]] == ["other"]


def test_of_a_finished_run_a_budget_is_charged_the_outside_scores_alone(
    hands, phantom_records, tmp_path, other_records, capsys
):
    reproduced(phantom_records[:1], tmp_path, seeds=(0,))
    hands.timed.clear()
    capsys.readouterr()
    options = {"outside": (other_records,), "rows": ("histogram", "slow"), "seeds": (0, 1)}
    hours = 2.5 * SCORING / 3600  # for both, and for no training
    assert reproduced(phantom_records[:1], tmp_path, budget_hours=hours, **options) == 0
    assert (tmp_path / "paper/slow-clean-s0/outside-other.json").is_file()
    assert "paper/slow-clean-s0: done; 0.6 min, estimated 0.6 min" in capsys.readouterr().out
    assert states(tmp_path)["slow-clean-s1"][0] == "not run"
    of_slow = [planned["seconds"] for planned in kept(tmp_path)["jobs"] if planned["row"] == "slow"]
    assert of_slow[:2] == [1800, 1800]  # what is kept is the time of a training


def test_a_finished_run_without_time_for_its_outside_scores_says_so(
    hands, phantom_records, tmp_path, other_records
):
    reproduced(phantom_records[:1], tmp_path, seeds=(0,))
    options = {"outside": (other_records,), "seeds": (0,), "budget_hours": 0.5 * SCORING / 3600}
    assert reproduced(phantom_records[:1], tmp_path, **options) == 0
    state, reason = states(tmp_path)["quick-clean-s0"]
    assert state == "not run"
    assert reason.startswith("done, but not scored on --outside: outside the budget of 0.005 h")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ("resnet",)}, r"--rows must be of \['histogram', .*Received: \['resnet'\]"),
        ({"tables": ("t9",)}, r"--tables must be of \['own', 'paper', 'samples'\]"),
        ({"seeds": ()}, "--seeds must be different numbers"),
        ({"small_size": 100}, "--small-size must be >= 32, a multiple of 32. Received: 100"),
        ({"small_epochs": 0}, "--small-epochs must be >= 1"),
        ({"records": (Path("nowhere"),)}, "nowhere/manifest.json must exist"),
        ({"outside": "same"}, "--outside must be of slices that nothing is trained on"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_written(
    options, message, hands, phantom_records, tmp_path
):
    if options == {"outside": "same"}:
        options = {"outside": phantom_records[1:]}
    given = {"records": phantom_records[:1], **options}
    records = given.pop("records")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        reproduced(records, tmp_path, **given)
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_in_one_folder_are_refused(hands, phantom_records, tmp_path, monkeypatch):
    def again(records, out, seed, smoke):
        with pytest.raises(RuntimeError, match="must not be open in another process"):
            reproduced(phantom_records[:1], tmp_path)

    monkeypatch.setattr(hands, "draw_samples", again)
    assert reproduced(phantom_records[:1], tmp_path, seeds=(0,)) == 0


def test_a_smoke_run_takes_the_baseline_and_a_network_of_each_table(
    hands, phantom_records, tmp_path
):
    assert reproduced(phantom_records[:1], tmp_path, smoke=True) == 0
    assert set(hands.done) == {"samples", "histogram-clean-s0", "slow-clean-s0"}
    out = tmp_path / "reproduce-smoke"
    assert (out / "paper-smoke" / "slow-clean-s0" / "metrics.json").is_file()
    assert states(out)["quick-clean-s0"] == ("not run", "not part of a smoke run")
    assert list(kept(out)["tables"]) == ["paper-smoke"]


def test_the_work_is_that_of_the_module(hands):
    for name in ("estimate", "train_and_test", "draw_samples", "report"):
        assert callable(getattr(work, name)) and callable(getattr(hands, name))
