"""Runs the rows of a table in every protocol, one after another, and writes it down.

A row that fails is named at the end and the others go on. Rows that are done are kept, so the same
command continues a table.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stroke_tf.evaluation.intervals import INTERVALS
from stroke_tf.runs.settings import ClassifierRun, UnetRun, small
from stroke_tf.tables.settings import ByColumns, TableRun, seeded
from stroke_tf.tables.table import Row, Table

if TYPE_CHECKING:
    from stroke_tf.manifest import Protocol
    from stroke_tf.run_folder import RunMetrics

TABLE_NAME = "TABLE.md"
ENSEMBLE_NAME = "ensemble"
_SMOKE_ROWS, _SMOKE_PARTS = 2, 2
_INTERVALS = f"Test slices, with 95 % intervals of a bootstrap over groups ({INTERVALS})"
_TESTED_ONCE: dict[type, tuple[tuple[str, ...], str]] = {
    ClassifierRun: (
        (
            "roc_auc",
            "average_precision",
            "accuracy",
            *("sensitivity", "precision", "f1"),
            *("specificity", "npv", "f1_negative"),
        ),
        "; thresholds are from the validation folds. sensitivity, precision and f1 are of class 1, "
        "specificity (recall), npv (precision) and f1_negative of class 0.",
    ),
    UnetRun: (
        (
            *("lesion_dice", "lesion_iou"),
            *("ischemia_dice", "ischemia_iou", "hemorrhage_dice", "hemorrhage_iou"),
            *("lesion_slice_dice", "any_lesion_lesionwise_recall"),
            *("any_lesion_false_lesions_per_slice", "normal_slice_false_rate"),
            *("sm_f1", "sm_iou"),
        ),
        ". Lesion scores are from the pixels of all slices together, background never counted; "
        "lesion_slice_dice is the mean of the slices that show a lesion; "
        "sm_f1 and sm_iou are those of segmentation_models, background included.",
    ),
}
"""The columns shown of rows that are tested once, and the note on them."""


def run_table(
    config: TableRun,
    table: Table,
    *,
    smoke_records: Callable[..., tuple[Path, ...]] | None = None,
    save_ensemble: Callable[[Sequence[Path], Path], Any] | None = None,
) -> int:
    """Runs rows and writes OUT/EXPERIMENT/TABLE.md and the report.

    Args:
        config: What to run.
        table: The rows.
        smoke_records: Gives the records of a smoke run, given those of `config` and, as `out`, the
            folder of results.
        save_ensemble: Saves the models of all cross-validated runs, given their folders, as one in
            a folder of that name, which may be there already.

    Returns:
        The exit code: 1 if a row failed.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    failed: list[str] = []
    parts = [f"# {table.experiment}"]
    answers: list[tuple[str, int, Any]] = []
    folder = config.out / (table.experiment + "-smoke" * config.smoke)
    is_told = False
    try:
        chosen = _chosen(config, table.rows)
        given = config.records
        if config.smoke and smoke_records:
            config = replace(config, records=smoke_records(given, out=config.out))
        protocols = _protocols(config)
        # No table names the phantoms that take the place of records
        columns = _columns(config) if config.records == given else {}
        for records, protocol in protocols.items():
            here = {
                name: _settled(row, config, table.experiment, f"{name}-{protocol}", records)
                for name, row in chosen.items()
                if protocol == "clean" or name not in table.clean_only
            }
            parts.append(f"## Protocol {protocol}")
            if table.preface:
                parts.append(table.preface(records))
            if table.folds == "five":
                from stroke_tf.tables.cross_tables import cross_tables, cross_validated

                tried = partial(attempt, failed=failed)
                parts_each = min(table.parts, _SMOKE_PARTS) if config.smoke else table.parts
                found = cross_validated(
                    here, config.seeds, parts=parts_each, run=run_row, attempt=tried
                )
                told = [*cross_tables(found, table, columns, attempt=tried)]
                answers += [
                    (name, seed, result)
                    for name, results in found.items()
                    for seed, result in results.items()
                ]
            else:
                told = [*_tested_once(here, config.seeds, failed, table.published)]
            parts += told
            is_told = is_told or bool(told)
        if answers:
            _keep_answers(folder, answers, columns, save_ensemble=save_ensemble, failed=failed)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    if not is_told and (folder / TABLE_NAME).is_file():
        lines = [*(f"Failed: {line}" for line in failed), f"{folder / TABLE_NAME} stays as it was"]
        print("\n".join(lines), file=sys.stderr)
        return 1
    _write_down(folder, parts, failed)
    return int(bool(failed))


def _keep_answers(
    folder: Path,
    answers: Sequence[tuple[str, int, Any]],
    columns: Mapping[str, Mapping[str, str]],
    *,
    save_ensemble: Callable[[Sequence[Path], Path], Any] | None,
    failed: list[str],
) -> None:
    """Writes predictions.csv, and the ensemble if no run failed."""
    from stroke_tf.runs.cross_validation import write_out_of_fold
    from stroke_tf.runs.keep_or_run import folder_of

    write_out_of_fold(folder, answers, columns)
    if save_ensemble and not failed:
        runs = [folder_of(run).path for *_, result in answers for run in result.runs]
        attempt(ENSEMBLE_NAME, partial(save_ensemble, runs, folder / ENSEMBLE_NAME), failed)


def _write_down(folder: Path, parts: Sequence[str], failed: Sequence[str]) -> None:
    from stroke_tf.files import without_folders, write_text
    from stroke_tf.reporting.report import write_report
    from stroke_tf.runs.cross_validation import PREDICTIONS_NAME

    path = folder / TABLE_NAME
    text = "\n\n".join([*parts, *(f"Failed: {without_folders(line)}" for line in failed)]) + "\n"
    write_text(path, text)
    print(text)
    if any(folder.glob("*/config.json")):
        print(f"Report: {write_report(folder.parent, folder.name, title=folder.name)}")
    print(f"Table: {path}")
    for name in (PREDICTIONS_NAME, ENSEMBLE_NAME) if not failed else ():
        if (folder / name).exists():
            print(f"{name.removesuffix('.csv').capitalize()}: {folder / name}")
    for line in failed:
        print(f"Failed: {line}", file=sys.stderr)


def _chosen(config: TableRun, rows: Mapping[str, Row]) -> dict[str, Row]:
    unknown = [name for name in config.rows if name not in rows]
    if unknown:
        raise ValueError(f"--rows must be of {list(rows)}. Received: {unknown}")
    named = config.rows or [*rows][: _SMOKE_ROWS if config.smoke else None]
    return {name: row for name, row in rows.items() if name in named}


def _protocols(config: TableRun) -> dict[Path, Protocol]:
    """Returns the protocol of each folder of records, before any of them is trained on."""
    from stroke_tf.manifest import read_manifest

    found = [read_manifest(records).protocol for records in config.records]
    if len(set(found)) < len(found):
        raise ValueError(f"--records must be of different protocols. Received: {found}")
    return dict(zip(config.records, found, strict=True))


def _columns(config: TableRun) -> dict[str, dict[str, str]]:
    """Returns the columns that slices are shown by, before any slice is trained on."""
    columns: dict[str, dict[str, str]] = {}
    if isinstance(config, ByColumns) and config.columns:
        from stroke_tf.tables.columns import read_columns

        for records in config.records:
            for name, values in read_columns(config.columns, records, config.by).items():
                columns.setdefault(name, {}).update(values)
    return columns


def _settled(row: Row, config: TableRun, experiment: str, name: str, records: Path) -> Row:
    """Returns a row as it is run: where, with which weights, and small for a smoke test."""
    weights = None if row.weights is None else config.weights
    row = replace(
        row, experiment=experiment, row=name, records=records, out=config.out, weights=weights
    )
    return small(row) if config.smoke else row


def attempt(what: str, run: Callable[[], Any], failed: list[str]) -> Any:
    """Returns the result of `run`; None if it failed, which is noted in `failed`."""
    expected: tuple[type[Exception], ...] = (
        *(ValueError, OSError, RuntimeError, FloatingPointError, MemoryError, ImportError),
        *_errors_of_tensorflow(),
    )
    try:
        return run()
    except expected as error:
        logging.error("%s: %s", what, error)
        failed.append(f"{what}: {str(error).splitlines()[0] if str(error) else type(error)}")
        return None


def _errors_of_tensorflow() -> tuple[type[Exception], ...]:
    tensorflow = sys.modules.get("tensorflow")
    return (tensorflow.errors.OpError,) if tensorflow else ()


def run_row(config: Row, **options: Any) -> RunMetrics:
    """Trains and tests one row, or returns its result if it is done already.

    `options` are those of `run_unet`, for a U-Net.
    """
    if isinstance(config, UnetRun):
        from stroke_tf.runs.unet import run_unet

        return run_unet(config, **options)
    from stroke_tf.runs.classifier import run_classifier
    from stroke_tf.runs.histogram import is_histogram, run_histogram

    return run_histogram(config) if is_histogram(config) else run_classifier(config)


def _tested_once(
    rows: Mapping[str, Row], seeds: Sequence[int], failed: list[str], published: Sequence[str]
) -> Iterator[str]:
    from stroke_tf.runs.best_epoch import best_epoch
    from stroke_tf.runs.keep_or_run import folder_of
    from stroke_tf.tables.differences import differences_table
    from stroke_tf.tables.papers import comparison_table

    for seed in seeds:
        results = {}
        for name, row in rows.items():
            config = seeded(row, seed)
            result = attempt(f"{row.row}-s{seed}", partial(run_row, config), failed)
            if result is not None:
                learned = best_epoch(config)
                results[name] = replace(result, metrics=result.metrics | learned)
        if results:
            for key in published:
                yield f"### {key}, seed {seed}"
                yield comparison_table(key, results)
            yield f"### Ours, seed {seed}"
        for kind, (columns, note) in _TESTED_ONCE.items():
            of_kind = {
                name: tested for name, tested in results.items() if isinstance(rows[name], kind)
            }
            if of_kind:
                yield _own_table(of_kind, columns, note)
            if kind is UnetRun and (detect := _detecting(of_kind)):
                yield _own_table(detect, *_TESTED_ONCE[ClassifierRun])
            if kind is ClassifierRun and len(of_kind) > 1:
                runs = {name: folder_of(seeded(rows[name], seed)) for name in of_kind}
                yield differences_table(runs, next(iter(rows.values())).records)


def _detecting(results: Mapping[str, RunMetrics]) -> dict[str, RunMetrics]:
    """Returns the networks whose masks detect."""
    return {name: result for name, result in results.items() if "roc_auc" in result.metrics}


def _own_table(results: Mapping[str, RunMetrics], columns: Sequence[str], note: str) -> str:
    from stroke_tf.page import markdown_table

    lines = [
        [name, str(run.n), *(run.metrics[column].text() for column in columns)]
        for name, run in results.items()
    ]
    return f"{markdown_table(('row', 'n', *columns), lines)}\n\n{_INTERVALS}{note}"
