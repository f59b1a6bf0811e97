"""Says what slices hold before anyone converts them, and what a conversion would say.

    stroke-tf inspect --data DATA [--out inspect.html]

Layout, counts, sizes, windows, near-duplicate groups and faults, on the terminal and as a page with
a contact sheet. Where a conversion would be refused the exit code is 1, and every fault stands in a
CSV file beside the page.
"""

from __future__ import annotations

from data_tools.options import Inspection
from stroke_tf import command


def main(config: Inspection) -> int:
    """Inspects, prints the tables and writes the page; returns the exit code."""
    from data_tools.faults import write_faults
    from data_tools.inspection import inspect_folder, print_tables, write_page
    from stroke_tf.progress import progress_bar

    with progress_bar() as progress:
        findings = inspect_folder(config, progress=progress)
    title = f"{config.name}, layout {findings.source.layout}"
    print(title)
    print_tables(findings)
    write_page(findings, config.out, title=title)
    listed = config.out.with_suffix(".faults.csv")
    listed.unlink(missing_ok=True)
    faults = [fault for fault in findings.faults if fault.is_fault]
    if faults:
        write_faults(listed, faults)
    number = f"{len(faults)} faults" + (f" in {listed}" if faults else "")
    print(f"{number}. Page: {config.out}")
    return 1 if faults or findings.refusals else 0


if __name__ == "__main__":
    command.run(main, Inspection, doc=__doc__)
