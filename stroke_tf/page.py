"""One HTML page that loads nothing from elsewhere: of Markdown, or of HTML and one script."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from markdown_it import MarkdownIt

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
{css}</style>
</head>
<body>
{body}{script}</body>
</html>
"""


def render_page(markdown: str, folder: Path, *, title: str) -> str:
    """Returns a page of its own: figures become data URIs, links plain text.

    Args:
        markdown: The text; raw HTML in it shows as text. A fenced block whose info string has a
            second word, such as "json Settings", is folded under that word.
        folder: Folder that the paths of figures are relative to; others are left out.
        title: Title of the page, plain text.
    """
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    rules = renderer.renderer.rules  # type: ignore[attr-defined]

    def image(tokens: Any, index: int, *_: Any) -> str:
        path = folder / unquote(str(tokens[index].attrs["src"]))
        alternative = html.escape("".join(child.content for child in tokens[index].children))
        if not (path.is_file() and path.resolve().is_relative_to(folder.resolve())):
            return alternative
        data = base64.b64encode(path.read_bytes()).decode()
        return f'<img alt="{alternative}" src="data:image/png;base64,{data}">'

    fence = rules["fence"]

    def folded(tokens: Any, index: int, *rest: Any) -> str:
        block = str(fence(tokens, index, *rest))
        _, _, name = tokens[index].info.strip().partition(" ")
        if not name:
            return block
        return f"<details><summary>{html.escape(name)}</summary>{block}</details>\n"

    rules["fence"] = folded
    rules["image"] = image
    rules["table_open"] = lambda *_: '<div class="scroll" tabindex="0"><table>'
    rules["table_close"] = lambda *_: "</table></div>"
    rules["link_open"] = rules["link_close"] = lambda *_: ""
    return whole_page(renderer.render(markdown), title=title)


def whole_page(
    body: str, *, title: str, css: str = "", script: str = "", images: str = "data:"
) -> str:
    """Returns a whole page, for which browsers load nothing beyond what is named here.

    Args:
        body: HTML.
        title: Title of the page, plain text.
        css: Rules after those of all pages.
        script: JavaScript, the only one that is run.
        images: Where pictures may come from, as a Content-Security-Policy has it.
    """
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    run = f"; script-src 'sha256-{digest}'" if script else ""
    return _PAGE.format(
        title=html.escape(title),
        policy=f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'{run}",
        css=resources.files("stroke_tf").joinpath("page.css").read_text("utf-8") + css,
        body=body,
        script=f"<script>{script}</script>\n" if script else "",
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of cells that are Markdown already."""
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header), *rows))


def plain_text(data: str) -> str:
    """Returns text that shows as it is in Markdown, also in a table cell or caption."""
    return re.sub(r"([\\`*_\[\]<>|&#~!])", r"\\\1", " ".join(data.split()))
