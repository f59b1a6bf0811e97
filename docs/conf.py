"""Settings of the documentation site, which `make docs` builds."""

from sphinx.application import Sphinx

from stroke_tf.quiet_import import import_quietly

import_quietly("tensorflow")  # its notes are no warnings of the site

project = html_title = "stroke_tf"
html_theme = "furo"
html_copy_source = False
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
highlight_language = "bash"
default_role = "code"
myst_heading_anchors = 3
autodoc_typehints = "none"  # docstrings say shapes, types and ranges
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False


LINKS = {
    "docs/": "",
    "notebooks/": "../notebooks/",
    "CONTRIBUTING.md": "contributing.md",
    "CITATION.cff": "../CITATION.cff",
}
"""Where the links of README lead in this folder, by how they begin."""


def relink(_app: Sphinx, _path: object, _page: str, content: list[str]) -> None:
    """Turns the links of an included file, relative to its own folder, into links of this one."""
    for link, there in LINKS.items():
        content[0] = content[0].replace(f"]({link}", f"]({there}")


def setup(app: Sphinx) -> None:
    """Connects `relink` to each file that a page includes."""
    app.connect("include-read", relink)
