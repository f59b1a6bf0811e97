"""Differences of classifiers from the first one, on the same test slices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stroke_tf.evaluation.comparisons import holm, mcnemar, paired_bootstrap
from stroke_tf.evaluation.intervals import p_text
from stroke_tf.manifest import read_folds
from stroke_tf.page import markdown_table, plain_text
from stroke_tf.run_folder import RunFolder, read_metrics, read_predictions
from stroke_tf.runs.cross_validation import slices_of

_NOTE = (
    "Differences on the same test slices, with 95 % intervals of a paired bootstrap over groups, "
    "and p values: each column of them is corrected by Holm for the comparisons of this table "
    "({}). McNemar's test takes slices to be independent, so its p is too small where patients "
    "have many."
)


def differences_table(runs: Mapping[str, RunFolder], records: Path) -> str:
    """Returns a line for each classifier after the first, in Markdown.

    One that was tested on other slices than the first has a line without numbers.

    Args:
        runs: Finished runs of classifiers by the name of their row.
        records: The folder of records, which knows the group of each slice.
    """
    tables = {name: read_predictions(run.predictions) for name, run in runs.items()}
    calls = {
        name: table["score"] >= read_metrics(runs[name].metrics).threshold
        for name, table in tables.items()
    }
    (first, one), *others = tables.items()
    groups = one["id"].map({row.source_id: row.group_id for row in read_folds(records)})
    slices = slices_of(one)
    same = {name: table for name, table in others if set(slices_of(table)) == set(slices)}
    gains, tests = [], []
    for name, table in same.items():
        place = slices_of(table).get_indexer(slices)
        scores, called = table["score"].iloc[place], calls[name].iloc[place]
        gains.append(paired_bootstrap(one["truth"], scores, one["score"], groups=groups))
        tests.append(mcnemar(one["truth"], called, calls[first]))
    p_values = [
        map(p_text, holm([comparison.p_value for comparison in column]))
        for column in (gains, tests)
    ]
    lines = [
        [
            plain_text(name),
            gain.difference.text(sign=True),
            p,
            f"{test.only_a} / {test.only_b}",
            mcnemar_p,
        ]
        for name, gain, test, p, mcnemar_p in zip(same, gains, tests, *p_values, strict=True)
    ]
    right = f"right where the other is wrong: row / {first}"
    header = ("row", f"AUC - {first}", "p (Holm)", right, "McNemar p (Holm)")
    lines += [[plain_text(name), *["–"] * 4] for name, _ in others if name not in same]
    return f"{markdown_table(header, lines)}\n\n{_NOTE.format(len(same))}"
