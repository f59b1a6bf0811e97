"""The Python examples of docs/use.md."""

import re
from pathlib import Path

GUIDE = Path(__file__).parents[1] / "docs" / "use.md"


def guide_example(name: str) -> str:
    """Returns the code of an example by its name, which stands before it in a comment."""
    block = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    assert block, name
    return block.group(1)
