import dataclasses
import json
import re

import pandas as pd
import pytest

from stroke_tf.audits import data, entries
from stroke_tf.audits.audit import Audited, Finding, cell_text, plain_cell
from stroke_tf.audits.entries import Audit
from stroke_tf.audits.run_audits import main, run_audits
from stroke_tf.audits.settings import AuditConfig
from stroke_tf.evaluation.intervals import UNDEFINED, Metric


def config(records, out, **settings):
    return AuditConfig(records, out=out, only=("data",), weights=None, **settings)


def test_the_page_holds_counts_of_the_folds_and_loads_nothing(phantom_records, tmp_path):
    page = run_audits(config(phantom_records[0], tmp_path)).read_text()
    assert "Audit of clean" in page
    assert "Protocol clean" in page
    assert "&quot;records_sha256&quot;" in page
    assert not re.search(r'(src|href)="(?!data:)', page)
    kept = json.loads((tmp_path / "data.json").read_text())
    (table,) = kept["tables"].values()
    slices = table["columns"].index("slices")
    assert sum(row[slices] for row in table["rows"]) == int(kept["findings"][0]["text"].split()[0])


def test_a_done_audit_is_kept_until_the_settings_change(phantom_records, tmp_path, monkeypatch):
    run_audits(config(phantom_records[0], tmp_path))
    calls = []

    def counted(subject):
        calls.append(subject.seed)
        return Audited("Data", "", (Finding("warning", "two < three"),), {})

    monkeypatch.setattr(data, "audit", counted)
    run_audits(config(phantom_records[0], tmp_path))
    assert calls == []
    page = run_audits(config(phantom_records[0], tmp_path, seed=1)).read_text()
    assert calls == [1]
    assert "two &lt; three" in page


def test_an_audit_by_other_weights_of_the_same_name_is_done_again(
    phantom_records, tmp_path, monkeypatch
):
    calls, weights = [], tmp_path / "network.weights.h5"

    def counted(subject):
        calls.append(subject.weights)
        return Audited("Data", "", (), {})

    monkeypatch.setattr(data, "audit", counted)
    asked = dataclasses.replace(
        config(phantom_records[0], tmp_path / "out"), weights=str(weights), seed=9
    )
    for text in ("first", "first", "second"):
        weights.write_text(text)
        run_audits(asked)
    assert len(calls) == 2


def test_weights_are_loaded_before_anything_is_looked_at(phantom_records, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "audit", lambda subject: pytest.fail("the weights come first"))
    asked = dataclasses.replace(config(phantom_records[0], tmp_path), weights="none.h5")
    with pytest.raises(FileNotFoundError, match="Received: 'none.h5'"):
        run_audits(dataclasses.replace(asked, only=("data", "shortcuts")))


def test_a_warning_is_printed_and_is_no_error(phantom_records, tmp_path, monkeypatch, capsys):
    found = Audited("Data", "", (Finding("warning", "a leak"), Finding("fine", "no leak")), {})
    monkeypatch.setattr(data, "audit", lambda subject: found)
    assert main(config(phantom_records[0], tmp_path)) == 0
    assert capsys.readouterr().out.splitlines() == [
        *("warning: a leak", f"1 warning: {tmp_path / 'audit.html'}"),
    ]


def test_the_page_says_how_many_comparisons_are_corrected(phantom_records, tmp_path, monkeypatch):
    table = pd.DataFrame({"view": ["a", "b"], "p (Holm)": [0.02, float("nan")]})
    found = Audited("Data", "", (), {"Views": table, "Others": table[["view"]]})
    monkeypatch.setattr(data, "audit", lambda subject: found)
    page = run_audits(config(phantom_records[0], tmp_path)).read_text()
    assert page.count("corrected by Holm for the 1 comparison of this table") == 1


def test_a_folder_of_neither_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"{tmp_path} must be a folder of records"):
        run_audits(AuditConfig(tmp_path, out=tmp_path / "out"))


def test_records_have_no_row_to_choose(phantom_records, tmp_path):
    with pytest.raises(ValueError, match="`row` must be that of a cross-validation. Received: cnn"):
        run_audits(config(phantom_records[0], tmp_path, row="cnn"))


def test_an_unknown_audit_lists_the_known_ones(phantom_records, tmp_path):
    wrong = AuditConfig(phantom_records[0], out=tmp_path, only=("leaks",))
    with pytest.raises(ValueError, match="must be of data.*Received: leaks"):
        run_audits(wrong)


def test_an_audit_that_lacks_what_it_looks_at_says_so(phantom_records, tmp_path, monkeypatch):
    monkeypatch.setitem(entries.AUDITS, "of-runs", Audit("nowhere", "run", ""))
    with pytest.raises(ValueError, match="of-runs needs a trained run"):
        run_audits(AuditConfig(phantom_records[0], out=tmp_path, only=("of-runs",)))


def test_what_is_skipped_for_want_of_a_run_is_said(phantom_records, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(data, "audit", lambda subject: Audited("Data", "", (), {}))
    for name in [name for name, entry in entries.AUDITS.items() if entry.needs == "records"]:
        if name != "data":
            monkeypatch.delitem(entries.AUDITS, name)
    caplog.set_level("INFO")
    run_audits(AuditConfig(phantom_records[0], out=tmp_path, weights=None))
    assert "skipped `failures`: it needs a trained run" in caplog.messages


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (Metric(0.5, 0.25, 0.75), "0.500 [0.250, 0.750]"),
        (UNDEFINED, "n/a"),
        *((0.25, "0.250"), (float("nan"), "–"), (3, "3"), ("a", "a")),
    ],
)
def test_a_cell_shows_the_same_after_json(cell, text):
    frame = pd.DataFrame({"column": [cell]})
    (value,) = frame["column"]
    assert cell_text(json.loads(json.dumps(plain_cell(value)))) == text


def test_warnings_of_other_settings_are_not_printed(phantom_records, tmp_path, monkeypatch, capsys):
    warned = Audited("Data", "", (Finding("warning", "of another seed"),))
    monkeypatch.setattr(data, "audit", lambda subject: warned)
    run_audits(config(phantom_records[0], tmp_path, seed=1))
    monkeypatch.setitem(entries.AUDITS, "again", entries.AUDITS["data"])
    other = AuditConfig(phantom_records[0], out=tmp_path, only=("again",), weights=None)
    monkeypatch.setattr(data, "audit", lambda subject: Audited("Data", "", ()))
    main(other)
    assert "of another seed" not in capsys.readouterr().out
