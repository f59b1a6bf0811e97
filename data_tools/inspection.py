"""Inspection of a folder of slices: facts of every slice, tables of these, and a page."""

from __future__ import annotations

import hashlib
import secrets
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import cv2
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data_tools.contact_sheet import contact_sheet
from data_tools.contradictions import contradictions
from data_tools.faults import fault_rows
from data_tools.folds import check_enough, group_slices
from data_tools.intake import no_labels, no_patients, reading_of, take_in
from data_tools.names import split_name
from data_tools.options import Inspection
from data_tools.scan import SliceFiles
from data_tools.slices import Reading, Slice, read_slices, unlabelled
from data_tools.sources import Source
from data_tools.workers import run_tasks
from stroke_tf.config import Window
from stroke_tf.files import write_text
from stroke_tf.fold_audit import audit_folds, check_clean, relations
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import Rejected
from stroke_tf.near_duplicates import turned_hashes
from stroke_tf.page import markdown_table, plain_text, render_page
from stroke_tf.progress import Progress
from stroke_tf.reading.hu_values import grey_view

_CHUNK = 32
_TRAINING, _UNLABELLED = "training", "unlabelled"
_Task: TypeAlias = tuple[Path, tuple[SliceFiles, ...], Reading]


@dataclass(frozen=True, slots=True)
class SliceFacts:
    """Facts of one slice that has no faults."""

    source_id: str
    stage: str
    label: str
    file: str
    files: tuple[str, ...]
    has_mask: bool
    shape: tuple[int, int]
    windows: tuple[Window, ...]
    patient: str | None
    patient_given: bool
    dhash: bytes
    turned: bytes
    pixels: bytes
    coloured: bool
    repair: str


@dataclass(frozen=True)
class Findings:
    """Findings of one inspection.

    Attributes:
        source: The inspected source.
        facts: Facts of its slices without faults.
        faults: All faults.
        refusals: Reasons, besides faults, why the source cannot be converted.
        warnings: Sentences about doubtful content.
        reading: How slices are read.
    """

    source: Source
    facts: tuple[SliceFacts, ...]
    faults: tuple[Rejected, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]
    reading: Reading


def inspect_folder(config: Inspection, *, progress: Progress | None = None) -> Findings:
    """Reads and checks every slice of a folder.

    Raises:
        ValueError: If the layout is not recognised.
    """
    source = take_in(config)
    facts: list[SliceFacts] = []
    faults = list(source.faults)
    done = 0
    reading = reading_of(config, secrets.token_bytes(32))
    starts = range(0, len(source.slices), _CHUNK)
    tasks = ((source.root, source.slices[start : start + _CHUNK], reading) for start in starts)
    for good, bad in run_tasks(_gather, tasks, jobs=config.jobs):
        facts.extend(good)
        faults.extend(bad)
        done = min(done + _CHUNK, len(source.slices))
        if progress:
            progress("read and check slices", done, len(source.slices))
    facts, found = _without_contradictions(facts)
    faults.extend(found)
    facts.sort(key=lambda slice_: (slice_.stage, slice_.source_id))
    if reason := no_labels(source):
        alike = {unlabelled(slice_) for slice_ in source.slices}
        faults = [fault for fault in faults if fault not in alike]
    return Findings(
        source=source,
        facts=tuple(facts),
        faults=tuple(sorted(faults, key=lambda fault: (fault.file, fault.reason))),
        refusals=(reason,) if reason else tuple(_refusals(config, source, facts)),
        warnings=tuple(_warnings(config, source, facts)),
        reading=reading,
    )


def _refusals(config: Inspection, source: Source, facts: list[SliceFacts]) -> Iterator[str]:
    trained = [
        slice_ for slice_ in facts if slice_.stage == _TRAINING and slice_.label != _UNLABELLED
    ]
    ids, groups = [slice_.source_id for slice_ in trained], _groups(trained)
    try:
        if isinstance(config.folds, int) and not source.folds:
            check_enough(
                [StrokeType[slice_.label] for slice_ in trained],
                groups,
                protocol=config.protocol,
                count=config.folds,
                patients=[slice_.patient for slice_ in trained],
            )
        elif config.protocol == "clean":
            check_clean(ids, source.folds, groups)
    except ValueError as error:
        yield f"cannot be converted: {error}"


def _groups(facts: Sequence[SliceFacts]) -> list[str]:
    """Returns the group of each slice, as the conversion deals them."""
    return group_slices(
        [slice_.source_id for slice_ in facts],
        patients=[slice_.patient for slice_ in facts],
        hashes=[None if slice_.patient_given else slice_.dhash for slice_ in facts],
        turned=[None if slice_.patient_given else slice_.turned for slice_ in facts],
    )


def _warnings(config: Inspection, source: Source, facts: list[SliceFacts]) -> Iterator[str]:
    if coloured := [slice_.source_id for slice_ in facts if slice_.coloured]:
        yield f"{len(coloured)} coloured pictures are read as grey, such as {coloured[0]}"
    if config.protocol == "clean" and all(slice_.patient is None for slice_ in facts):
        yield no_patients(source)


def tables(findings: Findings) -> dict[str, list[tuple[str, ...]]]:
    """Returns the findings as tables: title to rows, the first row the heading."""
    facts = findings.facts
    return {
        "Slices": _slice_rows(facts),
        "Files": [("kind", "files"), *_counted(kind for slice_ in facts for kind in slice_.files)],
        "Sizes": [
            ("rows x columns", "slices"),
            *_counted("{} x {}".format(*slice_.shape) for slice_ in facts),
        ],
        "DICOM windows (centre, width)": [
            ("window", "slices"),
            *_counted(
                f"{centre:g}, {width:g}" for slice_ in facts for centre, width in slice_.windows
            ),
        ],
        "DICOM read otherwise than the header says": [
            ("read as", "slices"),
            *_counted(slice_.repair for slice_ in facts if slice_.repair),
        ],
        "Groups": _group_rows(facts),
        "Leaks between the given folds": _leak_rows(findings),
        "Left out": _fault_rows(findings, is_fault=False),
        "Faults": _fault_rows(findings, is_fault=True),
    }


def _gather(task: _Task) -> tuple[list[SliceFacts], list[Rejected]]:
    root, slices, reading = task
    facts: list[SliceFacts] = []
    faults: list[Rejected] = []
    for files in slices:
        for source_id, read in read_slices(root, files, reading):
            if isinstance(read, Slice):
                facts.append(_facts(replace(files, source_id=source_id), read))
                faults += [unlabelled(files)] if read.stroke_type is None else []
            else:
                faults.extend(read)
    return facts, faults


def _without_contradictions(facts: list[SliceFacts]) -> tuple[list[SliceFacts], list[Rejected]]:
    found = contradictions(
        [slice_.file for slice_ in facts],
        [StrokeType.__members__.get(slice_.label) for slice_ in facts],
        [slice_.dhash for slice_ in facts],
        lambda number: facts[number].pixels,
    )
    return (
        [slice_ for number, slice_ in enumerate(facts) if number not in found],
        list(found.values()),
    )


def _facts(files: SliceFiles, read: Slice) -> SliceFacts:
    parts = {"mask": files.mask, "overlay": files.overlay}
    kinds = [split_name(name)[1].lstrip(".").upper() for name in [files.picture] if name]
    kinds += ["DICOM"] if files.dicom else []
    kinds += [kind for kind, name in parts.items() if name]
    return SliceFacts(
        source_id=files.source_id,
        stage=files.stage or _TRAINING,
        label=_UNLABELLED if read.stroke_type is None else read.stroke_type.name,
        file=files.first,
        files=tuple(kinds),
        has_mask=read.mask is not None,
        shape=(read.image.shape[0], read.image.shape[1]),
        windows=read.windows,
        patient=read.patient,
        patient_given=files.patient is not None,
        dhash=read.dhash,
        turned=read.turned or turned_hashes(grey_view(read.image)),
        pixels=hashlib.sha256(read.image.tobytes()).digest(),
        coloured=read.coloured,
        repair=read.repair,
    )


def _slice_rows(facts: tuple[SliceFacts, ...]) -> list[tuple[str, ...]]:
    slices = Counter((slice_.stage, slice_.label) for slice_ in facts)
    masks = Counter((slice_.stage, slice_.label) for slice_ in facts if slice_.has_mask)
    rows = [
        (stage, label, str(count), str(masks[stage, label]))
        for (stage, label), count in sorted(slices.items(), reverse=True)
    ]
    return [("set", "class", "slices", "with mask"), *rows]


def _group_rows(facts: tuple[SliceFacts, ...]) -> list[tuple[str, ...]]:
    ids, nobody = [slice_.source_id for slice_ in facts], [None] * len(facts)
    hashes = [slice_.dhash for slice_ in facts]
    groups = Counter(_groups(facts))
    near = Counter(group_slices(ids, patients=nobody, hashes=hashes))
    copies = Counter(
        group_slices(
            ids, patients=nobody, hashes=hashes, turned=[slice_.turned for slice_ in facts]
        )
    )
    doubled = [count for count in near.values() if count > 1]
    turns = sum(count for count in copies.values() if count > 1) - sum(doubled)
    return [
        ("what", "number"),
        ("slices whose patient is known", str(sum(slice_.patient is not None for slice_ in facts))),
        ("near-duplicate groups of two or more slices", str(len(doubled))),
        ("slices in them", str(sum(doubled))),
        ("further slices with a flipped or turned copy", str(turns)),
        ("groups that clean folds keep together", str(len(groups))),
        ("slices in the largest of these", str(max(groups.values(), default=0))),
    ]


def _fault_rows(findings: Findings, *, is_fault: bool) -> list[tuple[str, ...]]:
    found = [fault for fault in findings.faults if fault.is_fault == is_fault]
    return [("faults" if is_fault else "left out", "rule", "files"), *fault_rows(found)]


def _leak_rows(findings: Findings) -> list[tuple[str, ...]]:
    heading = ("what", "groups in several folds", "their slices", "such as")
    trained = [slice_ for slice_ in findings.facts if slice_.stage == _TRAINING]
    if not findings.source.folds:
        return [heading]
    ids = [slice_.source_id for slice_ in trained]
    related = relations(
        ids,
        patients=[slice_.patient for slice_ in trained],
        pictures=[slice_.pixels for slice_ in trained],
        hashes=[slice_.dhash for slice_ in trained],
        turned=[slice_.turned for slice_ in trained],
    )
    return [heading, *audit_folds(ids, findings.source.folds, related)]


def _counted(values: Iterator[str]) -> list[tuple[str, str]]:
    return [(value, str(count)) for value, count in Counter(values).most_common()]


def print_tables(findings: Findings) -> None:
    """Prints the tables to the terminal, then the warnings and refusals."""
    console = Console()
    for title, (heading, *rows) in tables(findings).items():
        if rows:
            table = Table(*heading, title=title, title_justify="left")
            for row in rows:
                table.add_row(*map(escape, row))
            console.print(table)
    for text in (*findings.warnings, *findings.refusals):
        console.print(escape(text), soft_wrap=True)


def write_page(findings: Findings, path: Path, *, title: str) -> None:
    """Writes the tables and a contact sheet of each class as one HTML page."""
    with tempfile.TemporaryDirectory() as folder:
        blocks = [f"# {plain_text(title)}"]
        blocks += map(plain_text, (*findings.refusals, *findings.warnings))
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
    for slice_ in findings.facts:
        kinds.setdefault((slice_.stage, slice_.label), []).append(slice_.source_id)
    for number, ((stage, label), ids) in enumerate(sorted(kinds.items(), reverse=True)):
        sheet = contact_sheet(findings.source, ids, findings.reading)
        cv2.imwrite(str(folder / f"{number}.png"), sheet)
        caption = plain_text(f"{stage}, {label}: some of {len(ids)} slices")
        yield f"## {caption}\n\n![{caption}]({number}.png)"
