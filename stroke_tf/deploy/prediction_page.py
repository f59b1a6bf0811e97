"""The page of a prediction: a viewer for each series, with tables of its lesions and volumes.

Up to `EMBEDDED` slices the page holds its pictures; with more it shows the files beside it. It
loads nothing from elsewhere, and runs no script but its own.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stroke_tf.deploy.outputs import LESIONS, SliceRow
from stroke_tf.files import write_text
from stroke_tf.page import whole_page

if TYPE_CHECKING:
    from stroke_tf.deploy.studies import Study
    from stroke_tf.deploy.volumes import StudyVolumes

EMBEDDED = 300
"""Most slices whose pictures a page holds itself: some 15 MB."""

WARNING = (
    "Research software, no medical device: not to be used for diagnosis or treatment. Masks, "
    "volumes and scores may be wrong, in either direction."
)

_LISTED = 100  # rows of a table of slices
_KEYS = (
    "<kbd>←</kbd> <kbd>→</kbd> one slice, <kbd>PgUp</kbd> <kbd>PgDn</kbd> ten, "
    "<kbd>p</kbd> <kbd>n</kbd> the last and next finding"
)
_VIEWER = f"""<div class="viewer">
<figure class="stage" data-stage tabindex="0" aria-label="slice">
<img data-picture alt="slice"><img data-mask alt="lesions found"></figure>
<div class="side">
<strong data-where></strong><span data-file></span>
<label class="several">Slice <input type="range" data-slice min="1" value="1"></label>
<label class="masks">Opacity of the lesions
<input type="range" data-opacity min="0" max="100" value="60"></label>
<div class="buttons several"><button type="button" data-previous>◀ finding</button>
<button type="button" data-next>finding ▶</button></div>
<dl class="facts" data-facts aria-live="polite"></dl>
<p class="several">{_KEYS}</p>
</div>
<div class="along several"><svg data-plot preserveAspectRatio="none" role="img"
 aria-label="scores and areas along the series"></svg>
<p>{{legend}}</p></div>
</div>
<p class="unscripted">The viewer needs JavaScript; pictures and masks lie beside this page.</p>
"""


def write_page(out: Path, studies: Sequence[Study], *, about: Mapping[str, str]) -> Path:
    """Writes report.html of a prediction.

    Args:
        out: Folder of the prediction, which holds the pictures.
        studies: The series.
        about: What is told of the model and the settings: names and values.
    """
    embedded = sum(len(study.rows) for study in studies) <= EMBEDDED
    shown = [_viewer_data(out, study.rows, embedded=embedded) for study in studies]
    body = [
        f'<h1>Prediction</h1>\n<p class="warning" role="note">{html.escape(WARNING)}</p>\n',
        _facts(about),
        _overview(studies),
        *(part for study in studies for part in _section(study)),
        '<script type="application/json" id="data">',
        json.dumps(shown, ensure_ascii=False).replace("<", "\\u003c"),
        "</script>\n",
    ]
    page = out / "report.html"
    text = whole_page(
        "".join(body),
        title="Prediction",
        css=_resource("prediction_page.css"),
        script=_resource("prediction_page.js"),
        images="data:" if embedded else "data: file: 'self'",
    )
    write_text(page, text)
    return page


def _overview(studies: Sequence[Study]) -> str:
    """Returns a table of all series; empty text where there is only one."""
    if len(studies) == 1:
        return ""
    rows = []
    for study in studies:
        name = html.escape(study.series)
        first = html.escape(study.rows[0].file)
        ml = [f"{study.volumes.ml[kind]:.1f}" if study.volumes else "–" for kind in LESIONS]
        counts = (str(len(study.rows)), str(len(study.matter)))
        rows.append((f'<a href="#{name}">{name}</a>', first, *counts, *ml))
    volumes = (f"{kind}, ml" for kind in LESIONS)
    return html_table(("series", "first file", "slices", "that matter", *volumes), rows)


def _section(study: Study) -> Iterator[str]:
    own = study.rows
    kinds = ["series", *["alone"] * (len(own) == 1)]
    kinds += ["maskless"] * (not any(row.lesion_px for row in own))
    yield f'<section class="{" ".join(kinds)}" id="{html.escape(study.series)}">\n'
    kind = f"{'slice' if study.is_series else 'loose picture'}{'s' * (len(own) != 1)}"
    yield f"<h2>{html.escape(study.series)}: {len(own)} {kind}</h2>\n"
    if study.notes:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in study.notes)
        yield f"<ul>{notes}</ul>\n"
    yield _VIEWER.format(legend=_legend(own))
    if study.volumes is not None:
        yield from volumes_html(study.volumes, most=_LISTED, key=_key, go=_go)
    yield from _slices(own)
    faults = [(html.escape(row.file), html.escape(row.fault)) for row in own if row.fault]
    if faults:
        yield "<h3>Could not be read</h3>\n" + html_table(("file", "why"), faults[:_LISTED])
    yield "</section>\n"


def volumes_html(
    volumes: StudyVolumes,
    *,
    most: int,
    key: Callable[[str], str] = html.escape,
    go: Callable[[int], str] = lambda place: str(place + 1),
) -> Iterator[str]:
    """Yields the volumes and lesions of a series as HTML.

    Args:
        volumes: Those of the series.
        most: Most lesions in the table.
        key: What stands for a class.
        go: What stands for the place of a slice.
    """
    ml = [(key(name), f"{value:.2f}") for name, value in volumes.ml.items()]
    yield "<h3>Volumes</h3>\n" + html_table(("class", "ml"), ml)
    yield f"<p>{html.escape(volumes.rule)}</p>\n"
    rows = [
        (
            key(lesion.kind),
            f"{lesion.first + 1} to {lesion.last + 1}",
            f"{lesion.ml:.2f}",
            go(lesion.largest),
            f"{lesion.diameter_mm:.0f}",
        )
        for lesion in volumes.lesions[:most]
    ]
    if rows:
        header = ("lesion", "slices", "ml", "largest on", "diameter, mm")
        yield "<h3>Lesions</h3>\n" + html_table(header, rows)
    if (more := len(volumes.lesions) - most) > 0:
        yield f"<p>and {more} smaller ones: studies.json lists all</p>\n"


def _slices(own: Sequence[SliceRow]) -> Iterator[str]:
    """Yields the table of slices that matter: those of the largest lesions and highest scores."""
    found = [(place, row) for place, row in enumerate(own) if row.matters]
    yield "<h3>Slices that matter</h3>\n"
    if not found:
        yield "<p>None: no lesion was drawn, and no score reaches the threshold.</p>\n"
        return
    listed = sorted(sorted(found, key=lambda pair: weight_of(pair[1]), reverse=True)[:_LISTED])
    names = [*_columns(own)]
    header = (
        "slice",
        "file",
        *map(shown_score, names),
        *(f"{name}, {_unit(own)}" for name in LESIONS),
    )
    yield html_table(
        header,
        [
            (
                _go(place),
                html.escape(row.file),
                *(_number(row.scores.get(name)) for name in names),
                *(_area(row, name) for name in LESIONS),
            )
            for place, row in listed
        ],
    )
    if len(found) > _LISTED:
        yield f"<p>{_LISTED} of {len(found)}; predictions.csv lists all.</p>\n"


def _viewer_data(out: Path, own: Sequence[SliceRow], *, embedded: bool) -> dict[str, Any]:
    source = _data_uri if embedded else _relative
    columns = list(_columns(own))
    return {
        "columns": columns,
        "first": max(range(len(own)), key=lambda place: weight_of(own[place])),
        "slices": [
            {
                "file": row.file,
                "picture": None if row.fault else source(out, row.path("pictures")),
                "mask": source(out, row.path("masks")) if any(row.lesion_px.values()) else None,
                "matters": row.matters,
                "scores": [row.scores.get(name) for name in columns],
                "area": [row.lesion_px.get(name, 0) for name in LESIONS],
                "facts": list(facts_of(row)),
            }
            for row in own
        ],
    }


def facts_of(row: SliceRow) -> Iterator[tuple[str, str]]:
    """Yields what is known of a slice, as plain text: names and values."""
    if row.position_mm is not None:
        yield "position", f"{row.position_mm:.1f} mm"
    for name, score in row.scores.items():
        spread = f" ± {row.spread[name]:.3f} over networks" if name in row.spread else ""
        yield f"score of {shown_score(name)}", f"{score:.3f}{spread}"
    if "mask" in row.spread:
        yield "spread in lesions", f"{row.spread['mask']:.3f} over networks"
    if row.positive is not None:
        yield "positive", "yes" if row.positive else "no"
    for name in row.lesion_px:
        square = f", {row.lesion_mm2[name]:.0f} mm²" if row.lesion_mm2 else ""
        yield f"area of {name}", f"{row.lesion_px[name]} pixels{square}"
    if row.note:
        yield "read as", row.note
    if row.fault:
        yield "could not be read", row.fault


def shown_score(name: str) -> str:
    """Returns the name of a score as a page shows it."""
    return name.replace("_calibrated", ", calibrated")


def weight_of(row: SliceRow) -> tuple[int, float]:
    """Returns how much a slice matters: its lesion pixels, then the score of any stroke."""
    return sum(row.lesion_px.values()), next(iter(_stroke_scores(row)), 0.0)


def _stroke_scores(row: SliceRow) -> Iterator[float]:
    for name, score in row.scores.items():
        yield 1 - score if name == "no stroke" else score


def _columns(rows: Iterable[SliceRow]) -> dict[str, None]:
    return dict.fromkeys(name for row in rows for name in row.scores)


def _legend(own: Sequence[SliceRow]) -> str:
    told = [f'<span class="line score-{place}"></span> {html.escape(shown_score(name))}'
            for place, name in enumerate(_columns(own))]  # fmt: skip
    areas = [f"{_key(name)} area" for name in LESIONS if any(row.lesion_px for row in own)]
    scale = "Scores from 0 (below) to 1 (above)" if told else "Areas"
    return f"{scale} along the slices: {', '.join([*told, *areas])}"


def _unit(rows: Sequence[SliceRow]) -> str:
    return "mm²" if any(row.lesion_mm2 for row in rows) else "pixels"


def _area(row: SliceRow, name: str) -> str:
    if row.lesion_mm2:
        return f"{row.lesion_mm2[name]:.0f}"
    return str(row.lesion_px[name]) if row.lesion_px else "–"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _key(name: str) -> str:
    return f'<span class="key kind-{LESIONS.index(name)}"></span> {html.escape(name)}'


def _go(place: int) -> str:
    return f'<button type="button" data-go="{place}">{place + 1}</button>'


def _facts(about: Mapping[str, str]) -> str:
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>"
        for name, value in about.items()
    )
    return f'<dl class="facts">{rows}</dl>\n'


def html_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of cells that are HTML already."""
    head = "".join(f"<th>{name}</th>" for name in header)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{lines}</tbody></table></div>\n"
    )


def _data_uri(out: Path, name: str) -> str:
    kind = "jpeg" if name.endswith(".jpg") else "png"
    return f"data:image/{kind};base64,{base64.b64encode((out / name).read_bytes()).decode()}"


def _relative(out: Path, name: str) -> str:
    from urllib.parse import quote

    return quote(name)


def _resource(name: str) -> str:
    return resources.files("stroke_tf.deploy").joinpath(name).read_text("utf-8")
