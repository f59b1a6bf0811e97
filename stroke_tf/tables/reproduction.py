"""The one report of a reproduction: the tables and figures of both papers, with ours beside them.

Everything comes from what `stroke_tf.tables.reproduced` reads, so it can be written while trainings
are still to come.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stroke_tf.files import read_json, write_text
from stroke_tf.manifest import manifest_sha256
from stroke_tf.page import markdown_table, plain_text, render_page
from stroke_tf.reporting.glossary import glossary_section
from stroke_tf.reporting.report import environment_section
from stroke_tf.tables.beside_paper import PROTOCOLS, paper_table, scores_table
from stroke_tf.tables.differences import differences_table
from stroke_tf.tables.paper_figures import FIGURES, SAMPLES, PaperFigure
from stroke_tf.tables.papers import SAUCIS, TABLES, USTH
from stroke_tf.tables.published import PublishedRow
from stroke_tf.tables.reproduced import Planned, Reproduction, read_reproduction

_GIB = 1 << 30
TITLE = "Both papers, reproduced"
_READING = (
    "**paper**: as printed; † not printed, but given by the counts that its numbers decode to.",
    "**as-published** and **clean**: ours under the two protocols, the mean over the seeds that "
    "are done; in brackets how many these are, and their lowest and highest score. Only clean "
    "says how a network does on patients it has not seen.",
    "**95 % interval**: of a bootstrap over the patients, or groups of near-duplicates, of the "
    "test slices. With several seeds its limits are the means of theirs: the seeds share their "
    "test slices, so it is not too narrow for the choice of patients. How much a training varies "
    "is what the lowest and highest score show. Where many intervals stand in one table, one in "
    "twenty misses by chance.",
    "**outside**: the clean networks on records of another source, which no training, threshold "
    "or choice has seen.",
    "⚠ be careful with this score: why stands under its table. – not given, not printed or not "
    "asked for.",
)
_SEEDS_ALONE = (
    "A seed fixes the initial weights, the order of the slices, the augmentations and the dropout. "
    "It does not fix the order in which parallel operations add their numbers: two trainings of "
    "one seed agree in the first steps, then drift apart by rounding. `--deterministic` fixes that "
    "too, on one machine and with the same versions."
)
_DETERMINISTIC = (
    "Operations were deterministic: the same command gives the same histories, bit by bit, on one "
    "machine with the same versions; on another one they differ by rounding."
)


def write_reproduction(out: Path, *, records: Sequence[Path] = ()) -> Path:
    """Writes REPORT.md and report.html of a reproduction, finished or not, into its folder.

    Args:
        out: Folder of results, with reproduce.json.
        records: Its folders of records: they know the patients, over whom classifiers are compared
            with the first row of their table. Without them no rows are compared.

    Returns:
        The path of report.html.

    Raises:
        FileNotFoundError: If there is no reproduce.json.
        ValueError: If a file is not valid; names it.
    """
    markdown = "\n\n".join(_sections(read_reproduction(out), records)) + "\n"
    write_text(out / "REPORT.md", markdown)
    write_text(out / "report.html", render_page(markdown, out, title=TITLE))
    return out / "report.html"


def _sections(found: Reproduction, records: Sequence[Path]) -> Iterator[str]:
    yield f"# {TITLE}"
    states = [job.state for cell in found.cells.values() for job in cell.planned]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    yield f"Of {len(states)} trainings: {counts}."
    if found.scaled:
        yield (
            f"**Scaled down: {plain_text('; '.join(found.scaled))}.** These are not the papers' "
            "settings: the numbers show that everything runs, not what the networks can do."
        )
    yield "\n".join(f"- {line}" for line in _READING)
    for paper in (SAUCIS, USTH):
        yield f"## {paper}"
        for key, table in TABLES.items():
            if table.source[0] == paper:
                yield f"### {' '.join(table.source)}: {plain_text(table.title)}"
                yield from paper_table(found, key)
        for figure in FIGURES:
            if figure.paper == paper:
                yield from _figure(found, figure)
    for experiment, keys in found.tables.items():
        rows = {name: PublishedRow(name, {}) for name in found.rows(experiment)}
        if rows and not keys:
            yield f"## Not in the papers: {plain_text(experiment)}"
            yield from scores_table(found, rows, dict.fromkeys(rows, experiment))
    for experiment in found.tables:
        yield from _compared(found, experiment, records)
    yield from _not_run(found)
    yield from _made(found)


def _figure(found: Reproduction, figure: PaperFigure) -> Iterator[str]:
    yield f"### {figure.paper} {figure.name}: {figure.about}"
    paths, whose = _pictures(found, figure)
    if not paths:
        yield plain_text(f"Not drawn: {_why_not_drawn(found, figure)}.")
    for path in paths:
        caption = plain_text(f"{path.stem.replace('_', ' ')}{whose}")
        yield f"![{caption}]({quote(str(path.relative_to(found.out)))})\n*{caption}*"


def _pictures(found: Reproduction, figure: PaperFigure) -> tuple[list[Path], str]:
    """Returns the files that stand for a figure, and whose they are."""
    if figure.experiment == SAMPLES:
        return [
            path
            for stem in figure.pictures
            for path in sorted((found.out / SAMPLES / "figures").glob(f"{stem}-s*.png"))[:1]
        ], ""
    experiment = found.named(figure.experiment)
    for protocol in reversed(PROTOCOLS):
        for job in found.cell(experiment, figure.row, protocol).planned:
            paths = [job.folder(found.out).figures / f"{stem}.png" for stem in figure.pictures]
            if there := [path for path in paths if path.is_file()]:
                return there, f": {experiment}, {figure.row}, {protocol}, seed {job.seed}"
    return [], ""


def _compared(found: Reproduction, experiment: str, records: Sequence[Path]) -> Iterator[str]:
    """Yields how the clean classifiers of the first seed differ from the first row."""
    known = found.records_of(experiment, "clean")
    paths = [path for path in records if known and manifest_sha256(path) == known.manifest_sha256]
    cells = {row: found.cell(experiment, row, "clean") for row in found.rows(experiment)}
    runs = {
        row: job.folder(found.out)
        for row, cell in cells.items()
        for job in cell.planned
        for run in cell.runs
        if job.seed == run.seed == found.seeds[0] and run.threshold is not None
        if "roc_auc" in run.metrics
    }
    if paths and len(runs) > 1:
        first = next(iter(runs))
        yield f"## {plain_text(experiment)} against its {plain_text(first)}"
        yield f"Protocol clean, seed {found.seeds[0]}."
        yield differences_table(runs, paths[0])


def _why_not_drawn(found: Reproduction, figure: PaperFigure) -> str:
    if figure.experiment == SAMPLES:
        state, reason = (found.samples.get(name, "") for name in ("state", "reason"))
        if state == "done":
            return "the records hold no such slices"
        return f"samples, {state or 'waiting'}" + f" ({reason})" * bool(reason)
    cells = [
        found.cell(found.named(figure.experiment), figure.row, protocol) for protocol in PROTOCOLS
    ]
    states = dict.fromkeys(job.state for cell in cells for job in cell.planned)
    return f"{figure.experiment}, {figure.row}: {', '.join(states) or 'not asked for'}"


def _not_run(found: Reproduction) -> Iterator[str]:
    """Yields the trainings without a result, equal ones together."""
    together: dict[tuple[str, ...], list[str]] = {}
    for cell in found.cells.values():
        seeds: dict[tuple[str, str], list[str]] = {}
        for job in cell.planned:
            if job.state != "done" or job.reason:
                seeds.setdefault((job.state, job.reason or "–"), []).append(str(job.seed))
        for (state, reason), of in seeds.items():
            key = (job.experiment, job.protocol, ", ".join(of), state, reason)
            together.setdefault(key, []).append(job.row)
    if together:
        yield "## Not run, or failed"
        lines = [[key[0], ", ".join(rows), *key[1:]] for key, rows in together.items()]
        yield _plain_table(("experiment", "rows", "protocol", "seeds", "state", "why"), lines)


def _made(found: Reproduction) -> Iterator[str]:
    yield "## Trainings"
    yield _trainings(found)
    yield "## Records"
    lines = [
        [record_set.folder, record_set.protocol, record_set.manifest_sha256]
        for record_set in found.records
    ]
    lines += [[name, "outside", sha256] for name, sha256 in found.outside.items()]
    yield _plain_table(("folder", "protocol", "SHA-256 of its manifest"), lines)
    yield "## Command and seeds"
    yield f"```\n{' '.join(found.command.split())}\n```"
    yield f"Seeds {', '.join(map(str, found.seeds))}. " + (
        "No budget." if found.budget_hours is None else f"A budget of {found.budget_hours:g} hours."
    )
    if found.order:
        yield plain_text(f"Order: {found.order}.")
    yield _DETERMINISTIC if found.deterministic else _SEEDS_ALONE
    runs = [run for cell in found.cells.values() for run in cell.runs]
    if runs:
        yield "## Environment"
        yield from environment_section(found.out, runs)
        yield from glossary_section(name for run in runs for name in run.metrics)


def _trainings(found: Reproduction) -> str:
    lines = [
        [
            cell.planned[0].experiment,
            cell.planned[0].row,
            cell.planned[0].protocol,
            ", ".join(str(run.seed) for run in cell.runs) or "–",
            ", ".join(f"{run.wall_seconds / 60:.1f}" for run in cell.runs) or "–",
            _estimate(cell.planned[0]),
            _settings(found, cell.planned),
        ]
        for cell in found.cells.values()
        if cell.runs or cell.planned[0].seconds is not None
    ]
    header = ("experiment", "row", "protocol", "seeds done", "minutes")
    return _plain_table((*header, "estimated, at most", "settings"), lines)


def _estimate(job: Planned) -> str:
    parts = [
        f"{number / unit:.{digits}f} {name}"
        for number, unit, digits, name in (
            (job.seconds, 60, 1, "min"),
            (job.memory_bytes, _GIB, 1, "GiB memory"),
            (job.disk_bytes, _GIB, 2, "GiB disk"),
        )
        if number is not None
    ]
    return ", ".join(parts) or "–"


def _settings(found: Reproduction, planned: tuple[Planned, ...]) -> str:
    """Returns the settings that a row is most often made smaller by."""
    for folder in (job.folder(found.out) for job in planned):
        if folder.config.is_file():
            config: dict[str, Any] = read_json(folder.config)
            epochs = config.get("fit", {}).get("epochs")
            return (
                f"{config.get('image_size')} px, batch {config.get('batch_size')}, "
                f"at most {epochs} epochs, weights {config.get('weights')}"
            )
    return "–"


def _plain_table(header: tuple[str, ...], lines: list[list[str]]) -> str:
    return markdown_table(header, [[plain_text(cell) for cell in line] for line in lines])
