"""Every table and figure of both papers, with ours beside them, by one command.

    stroke-tf reproduce --records records records-published records-copies records-six

A row of a table is trained under the protocols clean and as-published, with three seeds. First a
few steps of each network are timed: a table shows what each row takes at most in time, memory and
disk. Then the first seed of every row is run before any second one; among these clean before
as-published; among these the quickest first. With --budget-hours a row that does not fit into what
is left of the budget by its estimate is left out, and a quicker one after it may still fit.

OUT/report.html and REPORT.md have all of it: what was not run, and why, too. A row that fails is
named and the others go on. Killed or stopped, the same command goes on: rows that are done are
kept, nothing is timed twice, and a budget begins anew. --smoke tries everything, in minutes.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import PurePath

from data_tools.smoke import smoke_records
from experiments import (
    saucis_ablation,
    saucis_t4_t5_detect,
    saucis_t6_unet,
    usth_t1_detect,
    usth_t2_type,
    usth_t3_segment,
)
from stroke_tf import command
from stroke_tf.reproduce.settings import Reproduction

TABLES = (
    saucis_t4_t5_detect.TABLE,
    saucis_t6_unet.TABLE,
    usth_t1_detect.TABLE,
    usth_t2_type.TABLE,
    usth_t3_segment.TABLE,
    saucis_ablation.TABLE,
)
"""Those of the papers; the ablation, which is in none, is run when it is named."""


def main(config: Reproduction, *, args: tuple[str, ...] = ()) -> int:
    """Runs what is chosen and writes the report; returns the exit code."""
    from stroke_tf.reproduce.run import reproduce

    line = " ".join([command.command_name(), *map(_shown, args)])
    return reproduce(config, TABLES, command=line, smoke_records=smoke_records)


def _shown(argument: str) -> str:
    """Returns an argument, or --flag=argument, with the last part alone of an absolute path."""
    flag, equals, value = argument.rpartition("=") if argument[:2] == "--" else ("", "", argument)
    return flag + equals + (PurePath(value).name if PurePath(value).is_absolute() else value)


if __name__ == "__main__":
    command.run(partial(main, args=tuple(sys.argv[1:])), Reproduction, doc=__doc__)
