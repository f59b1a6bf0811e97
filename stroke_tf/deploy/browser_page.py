"""The page in a browser, made of Gradio's parts: what is shown and what each part does.

Knows `visit` and nothing of files or networks.
"""

from __future__ import annotations

import base64
import html
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from stroke_tf.deploy.model import StrokeModel
from stroke_tf.deploy.prediction_page import WARNING, facts_of, html_table
from stroke_tf.deploy.visit import (
    GREY_WINDOW,
    WINDOWS,
    Limits,
    ShownSeries,
    Visit,
    answer_visit,
    can_explain,
    describe_series,
    explain,
    paint_slice,
)
from stroke_tf.zoo.shipped import listed

_FREE = "free"
_SHOWN_AT_ONCE = 4  # pictures drawn side by side; networks answer one visitor at a time
_WAITING = 32  # visitors in the queue
_STYLE = """
.gradio-container { max-width: 84rem !important; margin: 0 auto; }
#slice { background: #000; border-radius: .5rem; overflow: hidden; }
#slice img { display: block; width: 100%; max-height: 78vh; object-fit: contain; }
#warning { border-left: .3rem solid #b54708; padding: .1rem .8rem; }
#scores table, #summary table { border-collapse: collapse; font-size: .9rem; }
#scores td, #summary td, #summary th {
  padding: .25rem .6rem; border: 0; border-bottom: 1px solid var(--border-color-primary);
  text-align: left; overflow-wrap: anywhere;
}
#scores table { width: 100%; }
footer { display: none !important; }
"""

_PRESETS = [*WINDOWS, _FREE]


def build_page(model: StrokeModel, folder: Path, *, limits: Limits, keep_minutes: int) -> gr.Blocks:
    """Returns the page, not yet answering.

    Args:
        model: What answers.
        folder: Folder of all that is handed in and made of it.
        limits: How much may be handed in at a time.
        keep_minutes: How long results stay after their last use.
    """
    seconds = 60 * keep_minutes
    with gr.Blocks(title="stroke_tf", analytics_enabled=False, delete_cache=(60, seconds)) as page:
        visits = _Visits()
        page.unload(visits.leave)
        visit = gr.State(time_to_live=seconds, delete_callback=_close)
        gr.Markdown("# Strokes in brain CT")
        not_for = listed(model.description.limits)
        gr.Markdown(WARNING + (f" Not for {not_for}." if not_for else ""), elem_id="warning")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                files = gr.File(file_count="multiple", label="PNG, JPG, DICOM or zip", height=150)
                start = gr.Button("Find strokes", variant="primary", elem_id="start")
                series = gr.Dropdown([], label="Series", visible=False, elem_id="series")
                place = gr.Slider(1, 2, step=1, label="Slice", visible=False, elem_id="place")
                opacity = gr.Slider(0, 1, 0.6, label="Opacity: ischaemia blue, haemorrhage green")
                preset = gr.Radio(_PRESETS, value=_PRESETS[0], label="Window, centre / width in HU")
                with gr.Row():
                    centre = gr.Number(40, label="Centre", min_width=80)
                    width = gr.Number(80, minimum=1, label="Width", min_width=80)
                heat = gr.Checkbox(
                    False,
                    label="Show what the answer rests on (Grad-CAM)",
                    visible=can_explain(model),
                    elem_id="heat",
                )
            with gr.Column(scale=2, min_width=320):
                picture = gr.HTML(elem_id="slice")
                scores = gr.HTML(elem_id="scores")
        summary = gr.HTML(elem_id="summary")
        download = gr.DownloadButton("Download all results", visible=False, elem_id="download")

        shown = [picture, scores]
        controls = [visit, series, place, centre, width, opacity, heat]
        show = partial(_show, model)
        answered = start.click(
            _answerer(model, folder, limits, visits),
            [files],
            [visit, files, series, place, summary, download],
            concurrency_limit=1,
            api_visibility="private",
        )
        quick: dict[str, Any] = {
            "concurrency_limit": _SHOWN_AT_ONCE,
            "show_progress": "hidden",
            "api_visibility": "private",
        }
        answered.success(show, controls, shown, **quick)
        series.input(_choose_series, [visit, series], [place, summary], **quick).then(
            show, controls, shown, **quick
        )
        preset.input(
            lambda name: WINDOWS.get(name, (gr.skip(), gr.skip())),
            [preset],
            [centre, width],
            **quick,
        ).then(show, controls, shown, **quick)
        for number in (centre, width):
            number.input(lambda: _FREE, None, [preset], **quick).then(
                show, controls, shown, **quick
            )
        for control in (place, opacity, heat):
            control.change(show, controls, shown, trigger_mode="always_last", **quick)
    return page


def launch(page: gr.Blocks, *, host: str, port: int, limits: Limits) -> gr.Blocks:
    """Starts to answer, in threads of its own, and returns the page.

    Raises:
        OSError: If the port is in use.
    """
    page.queue(max_size=_WAITING)
    page.launch(
        server_name=host,
        server_port=port,
        max_file_size=limits.bytes,
        theme=gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["monospace"]),
        css=_STYLE,
        prevent_thread_lock=True,
        quiet=True,
        share=False,
        inbrowser=False,
        ssr_mode=False,
        mcp_server=False,
        footer_links=[],
    )
    return page


class _Visits:
    """The open visit of each visitor: it ends with the next one, or when the visitor leaves."""

    def __init__(self) -> None:
        self._open: dict[str | None, Visit] = {}

    def begin(self, visit: Visit, request: gr.Request) -> None:
        self.leave(request)
        self._open[request.session_hash] = visit

    def leave(self, request: gr.Request) -> None:
        _close(self._open.pop(request.session_hash, None))


def _answerer(
    model: StrokeModel, folder: Path, limits: Limits, visits: _Visits
) -> Callable[..., list[Any]]:
    def answer(
        files: list[str] | None,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  Gradio finds it by its default
    ) -> list[Any]:
        try:
            visit = answer_visit(
                [Path(name) for name in files or ()],
                model,
                folder / "uploads" / secrets.token_hex(8),
                limits=limits,
                progress=lambda what, done, total: progress((done, total), desc=what),
            )
        except (ValueError, OSError, RuntimeError) as error:
            raise gr.Error(html.escape(str(error)), duration=None, print_exception=False) from error
        visits.begin(visit, request)
        names = [one.study.series for one in visit.series]
        series = gr.update(choices=names, value=names[0], visible=len(names) > 1)
        ready = gr.update(value=str(visit.results), visible=True)
        return [visit, None, series, *_choose_series(visit, names[0]), ready]

    return answer


def _choose_series(visit: Visit, name: str) -> list[Any]:
    """Returns the slider at the slice that matters most, and the description of the series."""
    one = _series_of(visit, name)
    count, value = len(one.study.rows), 1 + one.most_telling()
    slider = gr.update(
        maximum=max(count, 2), value=value, visible=count > 1, label=f"Slice of {count}"
    )
    return [slider, describe_series(one, visit)]


def _show(
    model: StrokeModel,
    visit: Visit | None,
    name: str,
    place: float,
    centre: float | None,
    width: float | None,
    opacity: float,
    heat: bool,
) -> list[Any]:
    if visit is None or centre is None or not width or width <= 0:
        return [gr.skip(), gr.skip()]
    one = _series_of(visit, name)
    number = min(max(int(place), 1), len(one.study.rows)) - 1
    facts = html_table(
        (), [tuple(map(html.escape, fact)) for fact in facts_of(one.study.rows[number])]
    )
    pixels = one.read(number)
    if pixels is None:
        return [f"<p>slice {number + 1}: could not be read</p>", facts]
    window = (centre, width) if pixels.dtype == np.int16 else GREY_WINDOW
    heatmap = explain(model, pixels) if heat else None
    painted = paint_slice(pixels, one.mask(number), window=window, opacity=opacity, heatmap=heatmap)
    return [_picture(painted, number, len(one.study.rows)), facts]


def _series_of(visit: Visit, name: str) -> ShownSeries:
    return next((one for one in visit.series if one.study.series == name), visit.series[0])


def _picture(painted: np.ndarray, number: int, count: int) -> str:
    data = cv2.imencode(".webp", painted[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, 90])[1]
    source = base64.b64encode(data.tobytes()).decode()
    said = f"slice {number + 1} of {count}"
    return f'<img alt="{said}" src="data:image/webp;base64,{source}">'


def _close(visit: Visit | None) -> None:
    if visit is not None:
        visit.close()
