"""The second pass of a conversion: deals folds and writes shards, `folds.csv` and the manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from data_tools.folds import assign_folds, group_slices
from data_tools.options import Conversion
from data_tools.shards import describe_shard, write_shard
from data_tools.spool import SpooledSlice, read_spooled
from data_tools.workers import run_tasks
from stroke_tf.files import write_text
from stroke_tf.fold_audit import check_clean
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import (
    FOLDS,
    FOLDS_NAME,
    MANIFEST_NAME,
    Compression,
    Fold,
    FoldName,
    FoldRow,
    Manifest,
    Rejected,
    Shard,
    fold_number,
    folds_text,
)
from stroke_tf.records import STAGE_FOLDS, Pixels, Record, encode_record


def assemble(
    config: Conversion,
    partial: Path,
    slices: list[SpooledSlice],
    rejected: list[Rejected],
    *,
    layout: str,
    given_folds: Mapping[str, int],
    source_sha256: str,
    progress: Callable[[int, int], None],
) -> Manifest:
    """Deals folds, writes every shard, then `folds.csv` and last the manifest.

    Shards that are there already are kept: names and contents follow from the spool alone.

    Args:
        config: Settings of the conversion.
        partial: Folder of the spool.
        slices: The spooled slices.
        rejected: The files left out, with reasons.
        layout: Name of the source's layout.
        given_folds: The fold of each slice by id; empty where folds are to be dealt.
        source_sha256: Fingerprint of the source.
        progress: Called with how many shards are done and how many there are.
    """
    folds = _place(config, slices, given_folds)
    start = _ShardTask(config.out, partial, layout, config.compression)
    tasks = {
        name: list(_shard_tasks(config, start, name, placed)) for name, placed in folds.items()
    }
    total = sum(map(len, tasks.values()))
    shards: dict[str, Shard] = {}
    flat = (task for fold in tasks.values() for task in fold)
    for shard in run_tasks(_write_task, flat, jobs=config.jobs):
        shards[shard.name] = shard
        progress(len(shards), total)
    everything = [record for placed in folds.values() for record in placed]
    manifest = Manifest(
        protocol=config.protocol,
        seed=config.seed,
        size=config.size,
        layout=layout,
        compression=config.compression,
        pixels=_pixels(slices),
        grouping=_grouping(slices),
        augmented=config.copies,
        source_sha256=source_sha256,
        records=len(everything),
        classes=_count_classes(everything),
        folds=tuple(
            Fold(
                fold=name,
                records=len(placed),
                classes=_count_classes(placed),
                shards=tuple(shards[task.path.name] for task in tasks[name]),
            )
            for name, placed in folds.items()
        ),
        rejected=tuple(rejected),
    )
    write_text(config.out / FOLDS_NAME, folds_text(map(_fold_row, everything)))
    write_text(config.out / MANIFEST_NAME, manifest.to_json())
    return manifest


@dataclass(frozen=True, slots=True)
class _Placed:
    """One record and its place; `copy` counts the records of its slice from 0."""

    spooled: SpooledSlice
    copy: int
    group_id: str
    fold: FoldName


@dataclass(frozen=True)
class _ShardTask:
    path: Path
    partial: Path
    source: str
    compression: Compression
    placed: tuple[_Placed, ...] = ()


def _place(
    config: Conversion, slices: list[SpooledSlice], given_folds: Mapping[str, int]
) -> dict[FoldName, list[_Placed]]:
    group_ids = group_slices(
        [spooled.source_id for spooled in slices],
        patients=[spooled.patient for spooled in slices],
        hashes=[None if spooled.patient_given else spooled.dhash for spooled in slices],
        turned=[spooled.turned for spooled in slices],
    )
    records = [
        (spooled, copy, group_id)
        for spooled, group_id in zip(slices, group_ids, strict=True)
        for copy in range(len(spooled.records))
    ]
    trained = [record for record in records if record[0].stage is None]
    numbers = _fold_numbers(config, trained, given_folds)
    folds: dict[FoldName, list[_Placed]] = {name: [] for name in (*range(FOLDS), *STAGE_FOLDS)}
    for (spooled, copy, group_id), number in zip(trained, numbers, strict=True):
        folds[int(number)].append(_Placed(spooled, copy, group_id, int(number)))
    for spooled, copy, group_id in records:
        if spooled.stage is not None and copy == 0:
            folds[spooled.stage].append(_Placed(spooled, copy, group_id, spooled.stage))
    return {
        name: sorted(placed, key=lambda record: (record.spooled.source_id, record.copy))
        for name, placed in folds.items()
        if placed or isinstance(name, int)
    }


def _fold_numbers(
    config: Conversion, trained: list[tuple[SpooledSlice, int, str]], given_folds: Mapping[str, int]
) -> Sequence[int] | np.ndarray:
    """Returns the fold of each record, given or dealt; `clean` keeps every group in one fold."""
    ids = [spooled.source_id for spooled, _, _ in trained]
    groups = [group_id for _, _, group_id in trained]
    if isinstance(config.folds, Path) or given_folds:
        if config.protocol == "clean":
            check_clean(ids, given_folds, groups)
        return [given_folds[source_id] for source_id in ids]
    return assign_folds(
        [spooled.stroke_type for spooled, _, _ in trained],
        groups,
        protocol=config.protocol,
        seed=config.seed,
        count=config.folds,
        patients=[spooled.patient for spooled, _, _ in trained],
    )


def _shard_tasks(
    config: Conversion, begun: _ShardTask, name: FoldName, placed: list[_Placed]
) -> Iterator[_ShardTask]:
    """Cuts one fold into shards of nearly equal bytes; `begun` has their common fields."""
    if not placed:
        return
    sizes = [_stored_bytes(record) for record in placed]
    total = sum(sizes)
    count = config.shards or -(-total // (config.shard_mb * 1_000_000))
    count = min(count, len(placed))
    stem = f"fold-{name:02d}" if isinstance(name, int) else name
    start, written = 0, 0
    for number in range(count):
        stop = start + 1
        written += sizes[start]
        most = len(placed) - (count - number - 1)
        while stop < most and written + sizes[stop] / 2 < total * (number + 1) / count:
            written += sizes[stop]
            stop += 1
        stop = most if number == count - 1 else stop
        path = begun.path / f"{stem}-{number:05d}-of-{count:05d}.tfrecord"
        yield replace(begun, path=path, placed=tuple(placed[start:stop]))
        start = stop


def _stored_bytes(placed: _Placed) -> int:
    record = placed.spooled.records[placed.copy]
    return record.image_bytes + record.mask_bytes


def _write_task(task: _ShardTask) -> Shard:
    if task.path.exists():
        return describe_shard(task.path, records=len(task.placed))
    records = (encode_record(_record(task, placed)) for placed in task.placed)
    return write_shard(task.path, records, compression=task.compression, scratch=task.partial)


def _record(task: _ShardTask, placed: _Placed) -> Record:
    spooled = placed.spooled
    image, mask = read_spooled(task.partial, spooled.records[placed.copy])
    return Record(
        image=image,
        mask=mask,
        stroke_type=spooled.stroke_type,
        source_id=spooled.source_id,
        group_id=placed.group_id,
        fold=fold_number(placed.fold),
        copy=placed.copy,
        source=task.source,
        pixels=spooled.pixels,
        height=spooled.height,
        width=spooled.width,
    )


def _count_classes(placed: Iterable[_Placed]) -> dict[str, int]:
    counts = Counter(record.spooled.stroke_type for record in placed)
    always = StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE
    return {kind.name: counts[kind] for kind in StrokeType if kind in always or counts[kind]}


def _pixels(slices: Iterable[SpooledSlice]) -> Pixels | Literal["mixed"]:
    kinds = {spooled.pixels for spooled in slices}
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _grouping(slices: Iterable[SpooledSlice]) -> str:
    """Returns how groups were found: from named patients, from near-duplicates, or from both."""
    if all(spooled.patient_given for spooled in slices):
        return "patient"
    if any(spooled.patient is not None for spooled in slices):
        return "patient and near-duplicate"
    return "near-duplicate"


def _fold_row(placed: _Placed) -> FoldRow:
    spooled = placed.spooled
    return FoldRow(
        source_id=spooled.source_id,
        group_id=placed.group_id,
        stroke_type=StrokeType(spooled.stroke_type).name,
        fold=str(placed.fold),
        has_mask=int(spooled.records[placed.copy].mask_bytes > 0),
        width=spooled.width,
        height=spooled.height,
        file=spooled.file,
        copy=placed.copy,
        spacing_mm=spooled.spacing_mm,
    )
