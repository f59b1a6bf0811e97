"""The results of audits on disk: a JSON file and figures for each, and one page of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stroke_tf.audits.audit import Audited, cell_text, plain_cell
from stroke_tf.audits.corrected import note_of
from stroke_tf.audits.entries import AUDITS
from stroke_tf.files import read_json, to_json, write_json, write_text
from stroke_tf.page import markdown_table, plain_text, render_page
from stroke_tf.run_folder import save_figure

PAGE, TEXT = "audit.html", "AUDIT.md"
_MARKS = {"warning": "**warning:**", "note": "note:", "fine": "fine:"}


def keep(
    out: Path, name: str, audited: Audited, *, settings: Mapping[str, Any], seconds: float
) -> None:
    """Writes the result of an audit: its figures, then `<name>.json`, which marks it done."""
    figures = {stem: f"figures/{name}-{stem}.png" for stem in audited.figures}
    for stem, figure in audited.figures.items():
        save_figure(figure, out / figures[stem])
    for file, text in audited.files.items():
        write_text(out / file, text)
    tables = {
        title: {
            "columns": list(map(str, frame.columns)),
            "rows": [[plain_cell(cell) for cell in row] for row in frame.itertuples(index=False)],
        }
        for title, frame in audited.tables.items()
    }
    values = {
        "settings": settings,
        "title": audited.title,
        "about": audited.about,
        "findings": [vars(finding) for finding in audited.findings],
        "tables": tables,
        "figures": figures,
        "files": list(audited.files),
        "seconds": round(seconds, 1),
    }
    write_json(out / f"{name}.json", values)


def read_kept(
    out: Path, name: str, settings: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Returns the result of an audit if it is done with these settings; None takes any.

    Raises:
        ValueError: If its file is not JSON; names the file.
    """
    path = out / f"{name}.json"
    kept = read_json(path) if path.is_file() else None
    return kept if kept and settings in (None, kept["settings"]) else None


def write_page(out: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """Writes AUDIT.md and audit.html of the audits done with these settings.

    Returns:
        The path of audit.html.
    """
    found = {name: kept for name in AUDITS if (kept := read_kept(out, name, settings))}
    title = f"Audit of {name}"
    last = [f"```json Settings\n{to_json(settings)}```"]
    text = (
        "\n\n".join([f"# {plain_text(title)}", *_summary(found), *_sections(found), *last]) + "\n"
    )
    write_text(out / TEXT, text)
    write_text(out / PAGE, render_page(text, out, title=title))
    return out / PAGE


def _summary(found: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    rows = []
    for name, kept in found.items():
        levels = Counter(finding["level"] for finding in kept["findings"])
        counts = [str(levels[level]) for level in _MARKS]
        rows.append([kept["title"], AUDITS[name].about, *counts])
    yield markdown_table(("audit", "what it asks", "warnings", "notes", "fine"), rows)
    yield (
        "Numbers in brackets are 95 % intervals of a bootstrap that draws whole groups, which are "
        "patients where these are known. Of many, some lie apart by chance: where a table compares "
        "several, warnings go by p values that are corrected for their number. A warning is a "
        "reason to look, not a proof."
    )


def _sections(found: Mapping[str, dict[str, Any]]) -> Iterator[str]:
    for kept in found.values():
        yield f"## {plain_text(kept['title'])}"
        yield f"{plain_text(kept['about'])} It took {kept['seconds']:.0f} s."
        if files := kept.get("files"):
            yield f"Files beside this page: {', '.join(map(plain_text, files))}."
        yield "\n".join(
            f"- {_MARKS[finding['level']]} {plain_text(finding['text'])}"
            for level in _MARKS
            for finding in kept["findings"]
            if finding["level"] == level
        )
        for title, table in kept["tables"].items():
            yield f"### {plain_text(title)}"
            rows = [[plain_text(cell_text(cell)) for cell in row] for row in table["rows"]]
            yield markdown_table([plain_text(column) for column in table["columns"]], rows)
            resamples = kept["settings"]["resamples"]
            if note := note_of(table["columns"], table["rows"], resamples=resamples):
                yield plain_text(note)
        for stem, path in kept["figures"].items():
            caption = plain_text(stem.replace("_", " ").replace("-", " "))
            yield f"![{caption}]({quote(path)})\n*{caption}*"
