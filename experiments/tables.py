"""Runs the rows of a table in every protocol, one after another, and writes it down.

A row that fails is named at the end and the others go on. Rows that are done are kept, so the same
command continues a table.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.settings import ClassifierRun

if TYPE_CHECKING:
    from experiments.cross_validation import CrossValidated
    from stroke_tf.manifest import Protocol
    from stroke_tf.reporting.runs import RunMetrics

Folds = Literal["one", "five"]
"""How a row is tested: on its own test folds, or on all slices by five-fold cross-validation."""

TABLE_NAME = "TABLE.md"
_SMOKE_SIZE = 96
_SMOKE_EXPERIMENT = "{}-smoke"  # a folder of its own: real runs have other settings
_TESTED_ONCE = (
    "roc_auc",
    "average_precision",
    "accuracy",
    *("sensitivity", "precision", "f1"),
    *("specificity", "npv", "f1_negative"),
)
_SCORES = ("roc_auc", "sensitivity_at_90_specificity", "accuracy", "sensitivity", "specificity")


@dataclass(frozen=True)
class TableRun:
    """What to run of a table, and on what.

    Attributes:
        records: Folders of records, one for each protocol.
        out: Folder of results.
        rows: Rows to run; all when none is given.
        seeds: Seeds of each row.
        weights: Weights of the pretrained rows: imagenet, a file (looked up in $STROKE_TF_WEIGHTS
            too), or None for random.
        smoke: Only see that everything runs: tiny pictures, one epoch, random weights, results
            under EXPERIMENT-smoke.
    """

    records: tuple[Path, ...] = (Path("records"),)
    out: Path = Path("results")
    rows: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    weights: str | None = "imagenet"
    smoke: bool = False


def run_table(
    config: TableRun,
    experiment: str,
    rows: Mapping[str, ClassifierRun],
    *,
    published: Sequence[str] = (),
    preface: Callable[[Path], str] | None = None,
    folds: Folds = "one",
    clean_only: Collection[str] = (),
    smoothed: Mapping[str, float] | None = None,
) -> int:
    """Runs rows and writes OUT/EXPERIMENT/TABLE.md and the report.

    Args:
        config: What to run.
        experiment: Name of the experiment, which its runs are kept under.
        rows: The rows by name.
        published: Keys of the paper's tables that ours stand beside, when rows are tested once.
        preface: Gives what is to be said of a folder of records before its rows.
        folds: How a row is tested.
        clean_only: Rows that the protocol `as-published` cannot have.
        smoothed: Standard deviation, in slices, for rows that are shown smoothed too.

    Returns:
        The exit code: 1 if a row failed.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if config.smoke:
        experiment = _SMOKE_EXPERIMENT.format(experiment)
    failed: list[str] = []
    parts = [f"# {experiment}"]
    try:
        chosen = _chosen(config, rows)
        for records, protocol in _protocols(config).items():
            here = {
                name: _settled(row, config, experiment, f"{name}-{protocol}", records)
                for name, row in chosen.items()
                if protocol == "clean" or name not in clean_only
            }
            parts.append(f"## Protocol {protocol}")
            if preface:
                parts.append(preface(records))
            if folds == "five":
                parts.append(_cross_validated(here, config.seeds, failed, smoothed or {}))
            else:
                parts += _tested_once(here, config.seeds, failed, published)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    _write_down(config.out, experiment, parts, failed)
    return int(bool(failed))


def _write_down(out: Path, experiment: str, parts: Sequence[str], failed: Sequence[str]) -> None:
    from stroke_tf.reporting.report import write_report
    from stroke_tf.reporting.runs import write_text

    path = out / experiment / TABLE_NAME
    text = "\n\n".join([*parts, *(f"Failed: {line}" for line in failed)]) + "\n"
    write_text(path, text)
    print(text)
    if any(path.parent.glob("*/config.json")):
        print(f"Report: {write_report(out, experiment, title=experiment)}")
    print(f"Table: {path}")
    for line in failed:
        print(f"Failed: {line}", file=sys.stderr)


def _chosen(config: TableRun, rows: Mapping[str, ClassifierRun]) -> dict[str, ClassifierRun]:
    unknown = [name for name in config.rows if name not in rows]
    if unknown:
        raise ValueError(f"--rows must be of {list(rows)}. Received: {unknown}")
    return {name: row for name, row in rows.items() if not config.rows or name in config.rows}


def _protocols(config: TableRun) -> dict[Path, Protocol]:
    """Returns the protocol of each folder of records, before any of them is trained on."""
    from stroke_tf.manifest import read_manifest

    found = [read_manifest(records).protocol for records in config.records]
    if len(set(found)) < len(found):
        raise ValueError(f"--records must be of different protocols. Received: {found}")
    return dict(zip(config.records, found, strict=True))


def _settled(
    row: ClassifierRun, config: TableRun, experiment: str, name: str, records: Path
) -> ClassifierRun:
    """Returns a row as it is run: where, with which weights, and small for a smoke test."""
    weights = None if config.smoke or row.weights is None else config.weights
    row = replace(
        row, experiment=experiment, row=name, records=records, out=config.out, weights=weights
    )
    if not config.smoke:
        return row
    short = replace(row.fit, epochs=1)
    return replace(row, image_size=_SMOKE_SIZE, batch_size=8, fit=short, head_fit=short, copies=0)


def _attempt(what: str, run: Callable[[], Any], failed: list[str]) -> Any:
    """Returns what `run` does; None if it failed, which is noted."""
    import tensorflow as tf

    try:
        return run()
    except (
        ValueError,
        OSError,
        RuntimeError,
        FloatingPointError,
        MemoryError,
        tf.errors.OpError,
    ) as error:
        logging.error("%s: %s", what, error)
        failed.append(f"{what}: {str(error).splitlines()[0] if str(error) else type(error)}")
        return None


def _run(config: ClassifierRun) -> RunMetrics:
    from experiments.classifier import run_classifier
    from experiments.histogram import HISTOGRAM, run_histogram

    return run_histogram(config) if config.backbone == HISTOGRAM else run_classifier(config)


def _seeded(row: ClassifierRun, seed: int) -> ClassifierRun:
    return replace(row, fit=replace(row.fit, seed=seed))


def _tested_once(
    rows: Mapping[str, ClassifierRun],
    seeds: Sequence[int],
    failed: list[str],
    published: Sequence[str],
) -> Iterator[str]:
    from experiments.best_epoch import best_epoch
    from experiments.paper import comparison_table

    for seed in seeds:
        results = {}
        for name, row in rows.items():
            config = _seeded(row, seed)
            result = _attempt(f"{row.row}-s{seed}", partial(_run, config), failed)
            if result is not None:
                learned = best_epoch(config)
                results[name] = replace(result, metrics=result.metrics | learned)
        if results:
            for key in published:
                yield f"### {key}, seed {seed}"
                yield comparison_table(key, results)
            yield f"### Ours, seed {seed}"
            yield _own_table(results)


def _own_table(results: Mapping[str, RunMetrics]) -> str:
    from stroke_tf.reporting.page import markdown_table

    lines = [
        [name, str(run.n), *(_cell(run.metrics[column]) for column in _TESTED_ONCE)]
        for name, run in results.items()
    ]
    note = (
        "Test slices, with 95 % intervals of a bootstrap over groups; thresholds are from the "
        "validation folds. sensitivity, precision and f1 are of class 1, specificity (recall), "
        "npv (precision) and f1_negative of class 0."
    )
    return f"{markdown_table(('row', 'n', *_TESTED_ONCE), lines)}\n\n{note}"


def _cross_validated(
    rows: Mapping[str, ClassifierRun],
    seeds: Sequence[int],
    failed: list[str],
    smoothed: Mapping[str, float],
) -> str:
    from experiments.cross_validation import cross_validate, mean_of
    from stroke_tf.reporting.page import markdown_table

    lines, baseline = [], None
    for name, row in rows.items():
        found = []
        for seed in seeds:
            config = _seeded(row, seed)
            result = _attempt(f"{row.row}-s{seed}", partial(cross_validate, config, _run), failed)
            if result is not None:
                found.append(result)
                lines.append(_line(name, str(seed), result, baseline))
        if not found:
            continue
        baseline = baseline or found[0]
        several = found[0]
        if len(found) > 1:
            several = mean_of(found)
            lines.append(_line(name, f"mean of {len(found)}", several, baseline))
        if name in smoothed:
            title = f"{name}, smoothed {smoothed[name]:g}"
            again = several.smoothed(smoothed[name])
            lines.append(_line(title, "mean" if len(found) > 1 else str(seeds[0]), again, baseline))
    header = ("row", "seed", "n", *_SCORES, "AUC of the parts", "AUC - first row", "minutes")
    note = (
        "Mean of five parts, with 95 % intervals of a bootstrap over patients (1000 resamples); "
        "thresholds of accuracy, sensitivity and specificity are from each part's validation fold."
    )
    return f"{markdown_table(header, lines)}\n\n{note}"


def _line(
    name: str, seed: str, result: CrossValidated, baseline: CrossValidated | None
) -> list[str]:
    metrics = result.metrics()
    gain = "–" if baseline is None else _cell(result.gain_over(baseline), sign=True)
    return [
        name,
        seed,
        str(len(result.frame)),
        *(_cell(metrics[score]) for score in _SCORES),
        " ".join(f"{auc:.3f}" for auc in result.part_aucs()),
        gain,
        f"{result.seconds / 60:.1f}",
    ]


def _cell(metric: Any, *, sign: bool = False) -> str:
    value, low, high = metric
    if value != value:
        return "n/a"
    form = "+.3f" if sign else ".3f"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"
