from dataclasses import replace
from pathlib import Path

import pytest

from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import ClassifierRun, UnetRun
from stroke_tf.tables.jobs import (
    Estimate,
    Job,
    Key,
    NotRun,
    Records,
    in_order,
    jobs_of,
    network_of,
    over_budget,
    read_records,
    scaled,
)
from stroke_tf.tables.table import Table

ROW = ClassifierRun(experiment="t", weights=None, fit=FitConfig(epochs=72))


def records(name, protocol, copies="none"):
    return Records(Path(name), protocol, copies, f"source of {name}", f"manifest of {name}", ())


CLEAN, PLAIN = records("records", "clean"), records("records-published", "as-published")
COPIES = records("records-copies", "as-published", "detect")


def jobs(table, given, seeds=(0,), why_not=lambda table, row: None):
    return list(jobs_of(table, given, seeds, settled=lambda row: row, why_not=why_not))


def test_a_row_is_run_under_each_protocol_with_each_seed():
    found = jobs(Table("t", {"a": ROW, "b": ROW}), [PLAIN, CLEAN], seeds=(0, 3))
    assert [str(job.key) for job in found] == [
        *("t/a-clean-s0", "t/a-clean-s3", "t/b-clean-s0", "t/b-clean-s3"),
        *("t/a-as-published-s0", "t/a-as-published-s3"),
        *("t/b-as-published-s0", "t/b-as-published-s3"),
    ]
    last = found[-1].run
    assert (last.row, last.records, last.fit.seed) == ("b-as-published", PLAIN.path, 3)


@pytest.mark.parametrize(("copies", "path"), [("none", PLAIN.path), ("detect", COPIES.path)])
def test_a_table_takes_the_records_whose_copies_are_for_it(copies, path):
    table = Table("t", {"a": ROW}, copies=copies)
    clean, published = jobs(table, [CLEAN, COPIES, PLAIN])
    assert (clean.run.records, published.run.records) == (CLEAN.path, path)


def test_a_protocol_without_its_records_is_not_run_and_says_how_to_make_them():
    clean, published = jobs(Table("t", {"a": ROW}, copies="segment"), [CLEAN, PLAIN])
    assert isinstance(clean, Job)
    assert published == NotRun(
        Key("t", "a", "as-published", 0),
        "no such records among --records: stroke-tf convert --protocol as-published "
        "--augment-before-folding --copies-for segment",
    )


def test_rows_of_one_protocol_alone_are_left_to_it():
    found = jobs(Table("t", {"a": ROW, "b": ROW}, clean_only=("b",)), [CLEAN, PLAIN])
    assert [(job.key.row, job.key.protocol) for job in found] == [
        *(("a", "clean"), ("b", "clean"), ("a", "as-published")),
    ]


def test_a_row_that_is_left_out_has_the_reason():
    def why_not(table, row):
        return "left out by --rows" if row == "a" else None

    first, second = jobs(Table("t", {"a": ROW, "b": ROW}), [CLEAN], why_not=why_not)[:2]
    assert first == NotRun(Key("t", "a", "clean", 0), "left out by --rows")
    assert isinstance(second, Job)


def test_the_first_seed_comes_first_then_clean_then_the_quickest():
    hours = {"slow": 3.0, "quick": 1.0}
    rows = dict.fromkeys(hours, ROW)
    found = jobs(Table("t", rows), [CLEAN, PLAIN], seeds=(4, 1))
    estimates = {job.key: Estimate(3600 * hours[job.key.row], 0, 0) for job in found}
    ordered = [
        str(job.key).removeprefix("t/") for job in in_order(found[::-1], estimates, seeds=(4, 1))
    ]
    assert ordered == [
        *("quick-clean-s4", "slow-clean-s4", "quick-as-published-s4", "slow-as-published-s4"),
        *("quick-clean-s1", "slow-clean-s1", "quick-as-published-s1", "slow-as-published-s1"),
    ]


def test_what_does_not_fit_into_a_budget_says_so():
    estimate = Estimate(3.2 * 3600, 0, 0)
    assert over_budget(estimate, 3.3 * 3600, 10) is None
    assert over_budget(estimate, float("inf"), None) is None
    assert over_budget(estimate, 40 * 60, 10) == (
        "outside the budget of 10 h: estimated 3.2 h, 40.0 min left"
    )


def test_rows_are_made_smaller_never_larger():
    row = scaled(replace(ROW, training="frozen"), size=96, epochs=5)
    assert (row.image_size, row.fit.epochs, row.head_fit.epochs) == (96, 5, 5)
    row = scaled(UnetRun(image_size=64, fit=FitConfig(epochs=3)), size=96, epochs=5)
    assert (row.image_size, row.fit.epochs) == (64, 3)
    assert scaled(ROW, size=None, epochs=5).head_fit == ROW.head_fit  # of no effect there
    assert scaled(ROW, size=None, epochs=None) == ROW


def test_networks_that_train_equally_fast_are_timed_once():
    again = replace(
        ROW,
        row="again",
        records=Path("elsewhere"),
        val_folds=(3,),
        threshold_rule="fixed",
        fit=FitConfig(epochs=9, seed=2, learning_rate=0.1),
    )
    assert network_of(again) == network_of(ROW)
    assert len({network_of(again), network_of(ROW)}) == 1
    others = (
        replace(ROW, image_size=128),
        replace(ROW, weights="imagenet"),
        replace(ROW, training="frozen"),
        replace(ROW, fit=FitConfig(precision="bfloat16")),
        replace(ROW, fit=FitConfig(deterministic=True)),
        UnetRun(weights=None),
    )
    assert all(network_of(other) != network_of(ROW) for other in others)


def test_folders_of_records_must_differ(phantom_records, tmp_path):
    clean, published = read_records(phantom_records)
    assert (clean.protocol, published.protocol) == ("clean", "as-published")
    assert clean.source_sha256 == published.source_sha256
    assert clean.manifest_sha256 != published.manifest_sha256
    with pytest.raises(ValueError, match="must differ in their names, and in protocol or copies"):
        read_records([phantom_records[0], phantom_records[0]])
    with pytest.raises(FileNotFoundError, match="nowhere/manifest.json must exist"):
        read_records([tmp_path / "nowhere"])
