"""The Python examples of the guides."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"


def guide_example(name: str, page: str) -> str:
    """Returns the code of an example by its name, which stands before it in a comment.

    The page is named by its path in `docs`.
    """
    block = re.search(
        rf"<!-- {name} -->\n```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL
    )
    assert block, name
    return block.group(1)


def run_example(name: str, page: str, **names: Any) -> dict[str, Any]:
    """Runs an example where it finds the given names; returns all names that it leaves."""
    exec(compile(guide_example(name, page), page, "exec"), names)
    return names
