"""Says what a folder of slices holds before anyone converts it.

    stroke-tf inspect --data DATA [--out inspect.html]

Layout, counts, sizes, windows, near-duplicate groups and every fault, on the terminal and as a page
with a contact sheet. The exit code is 1 when there are faults.
"""

from __future__ import annotations

from data_tools.options import Inspection
from stroke_tf import command


def main(config: Inspection) -> int:
    """Inspects, prints the tables and writes the page; returns the exit code."""
    from data_tools.inspection import inspect_folder, print_tables, write_page
    from data_tools.progress import progress_bar

    with progress_bar() as progress:
        findings = inspect_folder(config, progress=progress)
    title = f"{config.name}, layout {findings.source.layout}"
    print(title)
    print_tables(findings)
    write_page(findings, config.out, title=title)
    print(f"{len(findings.faults)} faults. Page: {config.out}")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    command.run(main, Inspection, doc=__doc__)
