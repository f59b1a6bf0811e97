"""One table of a paper with the trainings of a reproduction beside it, in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from stroke_tf.evaluation.intervals import Metric
from stroke_tf.manifest import Protocol
from stroke_tf.page import markdown_table, plain_text
from stroke_tf.reporting.report import HEADLINES
from stroke_tf.tables.papers import TABLES
from stroke_tf.tables.published import PublishedRow
from stroke_tf.tables.reproduced import Cell, Reproduction, over_seeds
from stroke_tf.tables.sizes import slice_sizes

PROTOCOLS: tuple[Protocol, ...] = ("as-published", "clean")
_NBSP = "\N{NO-BREAK SPACE}"  # inside brackets: a narrow column breaks before them only
_ALSO_DECODED = ("sensitivity", "specificity", "recall_macro")
"""Metrics shown of all rows whose counts give them, printed or not."""
_BESIDE_THOSE = ("roc_auc", "lesion_dice")
"""Metrics shown of our runs beside those that the paper prints, which leave these out."""
_SIZES = {
    **dict.fromkeys(("saucis-t1", "saucis-t2"), "saucis-t4-t5-detect"),
    "saucis-t3": "saucis-t6-unet",
    "usth-data": "usth-t1-detect",
}
"""The experiment whose records a table of sizes is about."""
_NAMED_IN_TEXT = {
    ("saucis-text", "vgg16"): "saucis-t5",
    ("saucis-text", "improved-unet"): "saucis-t6",
    ("usth-text", "efficientnetv2b0"): "usth-t1",
    ("usth-text", "cnn-type"): "usth-t2",
    ("usth-text", "resnet50"): "usth-t3",
}
"""The table that has a row named in a paper's text."""


def paper_table(found: Reproduction, key: str) -> Iterator[str]:
    """Yields a table of a paper with ours beside it, then the notes on it.

    Args:
        found: The reproduction.
        key: A key of TABLES.
    """
    table = TABLES[key]
    if key in _SIZES:
        yield _sizes(found, key)
    else:
        filled = {key: experiment for experiment, keys in found.tables.items() for key in keys}
        rows = {row.name: row for row in table.rows}
        whose = {name: filled.get(_NAMED_IN_TEXT.get((key, name), key), "") for name in rows}
        ours = found.rows(filled[key]) if key in filled else []
        yield from scores_table(
            found,
            rows | {name: PublishedRow(name, {}) for name in ours if name not in rows},
            whose | dict.fromkeys(ours, filled.get(key, "")),
        )
    notes = [*table.notes, *(f"{row.name}: {row.note}" for row in table.rows if row.note)]
    yield "On the paper:\n\n" + "\n".join(f"- {plain_text(note)}" for note in notes)


def scores_table(
    found: Reproduction, rows: Mapping[str, PublishedRow], whose: Mapping[str, str]
) -> Iterator[str]:
    """Yields a table of scores, a line for each row and metric, and what to know of them.

    Args:
        found: The reproduction.
        rows: The rows by name; one that the paper does not have holds no value.
        whose: The experiment of each row.
    """
    first, lines, cells, shown = next(iter(rows.values())), [], [], set()
    for name, row in rows.items():
        beside = [found.cell(whose[name], name, protocol) for protocol in PROTOCOLS]
        cells += beside
        metrics = _metrics(row, first, beside)
        shown.update(metrics)
        for metric in metrics:
            title = [plain_text(name), plain_text(metric.replace("_", " "))]
            lines.append(title + _line(row, metric, beside, list(found.outside)))
    header = (
        *("row", "metric", "paper", "as-published", "95 % interval", "clean", "95 % interval"),
        *("clean - paper", *(f"outside: {plain_text(name)}" for name in found.outside)),
    )
    yield markdown_table(header, lines)
    if (tested := _tested(cells)) and not all(map(_is_of_training, shown)):
        yield f"{plain_text(tested)}."
    if doubts := [doubt for cell in cells for doubt in cell.doubts]:
        yield "\n".join(f"- ⚠ {plain_text(doubt)}" for doubt in doubts)


def _metrics(row: PublishedRow, first: PublishedRow, cells: Sequence[Cell]) -> list[str]:
    """Returns the metrics of a row: those the paper prints, those it hides, or our headlines."""
    if not first.values:
        return [name for name in HEADLINES if any(cell.scores(name) for cell in cells)]
    like = row if row.values else first
    decoded = like.counts.metrics() if like.counts else {}
    names = [*like.values, *(name for name in _ALSO_DECODED if name in decoded)]
    if not all(map(_is_of_training, names)):
        names += [name for name in _BESIDE_THOSE if any(cell.scores(name) for cell in cells)]
    if not row.values:
        names = [name for name in names if any(cell.scores(name) for cell in cells)] or names[:1]
    return list(dict.fromkeys(names))


def _line(row: PublishedRow, metric: str, cells: Sequence[Cell], outside: list[str]) -> list[str]:
    decoded = row.counts.metrics() if row.counts else {}
    value = row.values.get(metric, decoded.get(metric))
    paper = "–" if value is None else f"{round(value, 4):g}{'†' * (metric not in row.values)}"
    clean = cells[-1]
    ours = over_seeds(clean.scores(metric)).value
    gain = "–" if value is None or math.isnan(ours) else f"{ours - value:+.3f}"
    elsewhere = [over_seeds(clean.scores(metric, outside=name)) for name in outside]
    return [
        paper,
        *(text for cell in cells for text in _ours(cell, metric)),
        gain,
        *(
            f"{score.value:.3f} {_limits(score)}" if score.value == score.value else "–"
            for score in elsewhere
        ),
    ]


def _ours(cell: Cell, metric: str) -> tuple[str, str]:
    """Returns the mean over seeds, with its doubt and its range, and the limits of its interval."""
    scores = cell.scores(metric)
    if not scores:
        return "–" if cell.runs else cell.state(), "–"
    mean, values = over_seeds(scores), [score.value for score in scores]
    text = f"{mean.value:.3f}" + " ⚠" * bool(cell.doubts and not _is_of_training(metric))
    if len(cell.planned) > 1:
        text += f" ({len(scores)}:{_NBSP}{min(values):.3f}–{max(values):.3f})"
    return text, _limits(mean)


def _limits(score: Metric) -> str:
    return "–" if math.isnan(score.low) else f"[{score.low:.3f},{_NBSP}{score.high:.3f}]"


def _is_of_training(metric: str) -> bool:
    return metric.startswith(("train_", "val_"))


def _tested(cells: Sequence[Cell]) -> str:
    """Returns how many slices the scores are of, under each protocol and outside."""
    runs = [run for cell in cells for run in cell.runs]
    parts = [
        f"{run.protocol}: {run.n} test slices of folds {', '.join(map(str, run.split['test']))}"
        for run in runs
    ]
    for name, scores in ((name, of) for cell in cells for name, of in cell.outside.items()):
        patients = "" if scores[0].patients is None else f" of {scores[0].patients} patients"
        parts.append(f"outside {name}: {scores[0].n} slices{patients}")
    return "; ".join(dict.fromkeys(parts))


def _sizes(found: Reproduction, key: str) -> str:
    experiment = found.named(_SIZES[key])
    records = [found.records_of(experiment, protocol) for protocol in PROTOCOLS]
    ours = [
        # SAUCIS Table 2: 70/20/10
        slice_sizes(record_set.folds, val=(7,), test=(8, 9))
        if record_set and record_set.folds
        else {}
        for record_set in records
    ]
    lines = [
        [
            row.name,
            f"{row.values['slices']:.0f}",
            *(str(sizes.get(row.name, "–")) for sizes in ours),
        ]
        for row in TABLES[key].rows
    ]
    return markdown_table(("slices", "paper", *PROTOCOLS), lines)
