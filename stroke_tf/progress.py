"""Shows on the terminal how far a command is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich import progress
from rich.console import Console

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how many are done and how many there are."""


@contextlib.contextmanager
def progress_bar() -> Iterator[Progress]:
    """Yields a `Progress` that draws one bar for each thing being done, on standard error."""
    text = progress.TextColumn("{task.description}")
    columns = (progress.BarColumn(), progress.MofNCompleteColumn(), progress.TimeRemainingColumn())
    with progress.Progress(text, *columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, progress.TaskID] = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show
