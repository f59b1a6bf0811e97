"""What a folder of slices holds: facts of every slice, tables of them, and a page."""

from __future__ import annotations

import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import cv2
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_tools.contact_sheet import contact_sheet
from data_tools.folds import group_slices
from data_tools.options import Inspection
from data_tools.progress import Progress
from data_tools.scan import SliceFiles
from data_tools.slices import Reading, Slice, read_slices
from data_tools.sources import Source, find_slices, read_groups, with_patients
from data_tools.workers import run_tasks
from stroke_tf.config import Window
from stroke_tf.files import write_text
from stroke_tf.manifest import Rejected
from stroke_tf.page import markdown_table, plain_text, render_page

_CHUNK = 32
_Task: TypeAlias = tuple[Path, tuple[SliceFiles, ...], Reading]
_FAULTS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class SliceFacts:
    """What is counted of one good slice."""

    source_id: str
    stage: str
    label: str
    files: tuple[str, ...]
    has_mask: bool
    shape: tuple[int, int]
    windows: tuple[Window, ...]
    patient: str | None
    patient_given: bool
    dhash: bytes
    repair: str


@dataclass(frozen=True)
class Findings:
    """What a folder holds: its source, the facts of its good slices, and every fault."""

    source: Source
    facts: tuple[SliceFacts, ...]
    faults: tuple[Rejected, ...]


def inspect_folder(config: Inspection, *, progress: Progress | None = None) -> Findings:
    """Reads and checks every slice of a folder.

    Raises:
        ValueError: If the layout is not recognised.
    """
    source = find_slices(config.data, layout=config.layout)
    if config.groups:
        source = with_patients(source, read_groups(config.groups))
    facts: list[SliceFacts] = []
    faults = list(source.faults)
    done = 0
    reading = Reading(config.prefer, patient_key=secrets.token_bytes(32))
    for good, bad in run_tasks(_gather, _tasks(source, reading), jobs=config.jobs):
        facts.extend(good)
        faults.extend(bad)
        done = min(done + _CHUNK, len(source.slices))
        if progress:
            progress("read and check slices", done, len(source.slices))
    return Findings(
        source=source,
        facts=tuple(sorted(facts, key=lambda it: (it.stage, it.source_id))),
        faults=tuple(sorted(faults, key=lambda it: (it.file, it.reason))),
    )


def tables(findings: Findings) -> dict[str, list[tuple[str, ...]]]:
    """Returns the findings as tables: title to rows, the first row the heading."""
    facts = findings.facts
    return {
        "Slices": _slice_rows(facts),
        "Files": [("kind", "files"), *_counted(kind for it in facts for kind in it.files)],
        "Sizes": [("rows x columns", "slices"), *_counted(_size(it.shape) for it in facts)],
        "DICOM windows (centre, width)": [
            ("window", "slices"),
            *_counted(f"{centre:g}, {width:g}" for it in facts for centre, width in it.windows),
        ],
        "DICOM read otherwise than the header says": [
            ("read as", "slices"),
            *_counted(it.repair for it in facts if it.repair),
        ],
        "Groups": _group_rows(facts),
        "Left out": _fault_rows(findings, is_fault=False),
        "Faults": _fault_rows(findings, is_fault=True),
    }


def _tasks(source: Source, reading: Reading) -> Iterator[_Task]:
    for start in range(0, len(source.slices), _CHUNK):
        yield source.root, source.slices[start : start + _CHUNK], reading


def _gather(task: _Task) -> tuple[list[SliceFacts], list[Rejected]]:
    root, slices, reading = task
    facts: list[SliceFacts] = []
    faults: list[Rejected] = []
    for files in slices:
        for source_id, read in read_slices(root, files, reading):
            if isinstance(read, Slice):
                facts.append(_facts(replace(files, source_id=source_id), read))
            else:
                faults.extend(read)
    return facts, faults


def _facts(files: SliceFiles, read: Slice) -> SliceFacts:
    parts = {"mask": files.mask, "overlay": files.overlay}
    kinds = [PurePosixPath(name).suffix.lstrip(".").upper() for name in [files.picture] if name]
    kinds += ["DICOM"] if files.dicom else []
    kinds += [kind for kind, name in parts.items() if name]
    return SliceFacts(
        source_id=files.source_id,
        stage=files.stage or "training",
        label="unlabelled" if read.stroke_type is None else read.stroke_type.name,
        files=tuple(kinds),
        has_mask=read.mask is not None,
        shape=(read.image.shape[0], read.image.shape[1]),
        windows=read.windows,
        patient=read.patient,
        patient_given=files.patient is not None,
        dhash=read.dhash,
        repair=read.repair,
    )


def _slice_rows(facts: tuple[SliceFacts, ...]) -> list[tuple[str, ...]]:
    slices = Counter((it.stage, it.label) for it in facts)
    masks = Counter((it.stage, it.label) for it in facts if it.has_mask)
    rows = [
        (stage, label, str(count), str(masks[stage, label]))
        for (stage, label), count in sorted(slices.items(), reverse=True)
    ]
    return [("set", "class", "slices", "with mask"), *rows]


def _group_rows(facts: tuple[SliceFacts, ...]) -> list[tuple[str, ...]]:
    groups = Counter(
        group_slices(
            [it.source_id for it in facts],
            patients=[it.patient for it in facts],
            hashes=[None if it.patient_given else it.dhash for it in facts],
        )
    )
    near = Counter(
        group_slices(
            [it.source_id for it in facts],
            patients=[None] * len(facts),
            hashes=[it.dhash for it in facts],
        )
    )
    doubled = [count for count in near.values() if count > 1]
    return [
        ("what", "number"),
        ("slices whose patient is known", str(sum(it.patient is not None for it in facts))),
        ("near-duplicate groups of two or more slices", str(len(doubled))),
        ("slices in them", str(sum(doubled))),
        ("groups that clean folds keep together", str(len(groups))),
        ("slices in the largest of these", str(max(groups.values(), default=0))),
    ]


def _fault_rows(findings: Findings, *, is_fault: bool) -> list[tuple[str, ...]]:
    found = [(it.file, it.reason) for it in findings.faults if it.is_fault == is_fault]
    return [("file", "rule"), *found]


def _counted(values: Iterator[str]) -> list[tuple[str, str]]:
    return [(value, str(count)) for value, count in Counter(values).most_common()]


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[0]} x {shape[1]}"


def print_tables(findings: Findings) -> None:
    """Prints the tables to the terminal, of a long one the beginning."""
    console = Console()
    for title, (heading, *rows) in tables(findings).items():
        if rows:
            table = Table(*heading, title=title, title_justify="left")
            for row in rows[:_FAULTS_SHOWN]:
                table.add_row(*map(escape, row))
            console.print(table)
            if len(rows) > _FAULTS_SHOWN:
                console.print(f"... and {len(rows) - _FAULTS_SHOWN} more: see the page")


def write_page(findings: Findings, path: Path, *, title: str) -> None:
    """Writes the tables and a contact sheet of each class as one HTML page."""
    with tempfile.TemporaryDirectory() as folder:
        blocks = [f"# {plain_text(title)}"]
        for name, (heading, *rows) in tables(findings).items():
            if rows:
                cells = [list(map(plain_text, row)) for row in rows]
                blocks += [f"## {name}", markdown_table(heading, cells)]
        blocks += _contact_sheets(findings, Path(folder))
        page = render_page("\n\n".join(blocks) + "\n", Path(folder), title=title)
    write_text(path, page)


def _contact_sheets(findings: Findings, folder: Path) -> Iterator[str]:
    """Draws the sheets into a folder and yields the Markdown that shows them."""
    kinds: dict[tuple[str, str], list[str]] = {}
    for it in findings.facts:
        kinds.setdefault((it.stage, it.label), []).append(it.source_id)
    for number, ((stage, label), ids) in enumerate(sorted(kinds.items(), reverse=True)):
        cv2.imwrite(str(folder / f"{number}.png"), contact_sheet(findings.source, ids))
        caption = plain_text(f"{stage}, {label}: some of {len(ids)} slices")
        yield f"## {caption}\n\n![{caption}]({number}.png)"
