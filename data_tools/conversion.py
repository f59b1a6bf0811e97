"""The conversion of a folder of slices to folds of TFRecords: both passes, resumed where they were.

Owns the output folder: who may write to it, what is kept after a kill, what is refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
import secrets
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from threading import Thread

from data_tools.assemble import Assembly, assemble
from data_tools.options import Conversion
from data_tools.progress import Progress
from data_tools.slices import Reading
from data_tools.sources import Source, find_slices, read_groups, with_patients
from data_tools.spool import (
    CHUNK_SLICES,
    ENCODING_VERSION,
    ChunkTask,
    Encoding,
    SpooledSlice,
    read_index,
    spool_chunk,
)
from data_tools.workers import run_tasks
from stroke_tf.files import locked, read_json, replacing, to_json
from stroke_tf.manifest import MANIFEST_NAME, Manifest, Rejected, read_manifest
from stroke_tf.reading.archives import archive_of

_PARTIAL = ".partial"
_PLAN_NAME = "conversion.json"


class BadInputError(ValueError):
    """More faults in the input than `max_bad`; `faults` holds all of them."""

    def __init__(self, faults: Sequence[Rejected], max_bad: int) -> None:
        super().__init__(
            f"at most {max_bad} faults are allowed (--max-bad). Received: {len(faults)}"
        )
        self.faults = tuple(faults)


def build_tfrecords(config: Conversion, *, progress: Progress | None = None) -> Manifest:
    """Converts a folder of slices to folds of TFRecords.

    Args:
        config: What to convert and how.
        progress: Called as the work goes on.

    Returns:
        The manifest, which is also written, last, to `config.out`.

    Raises:
        BadInputError: If the input has more faults than `config.max_bad`.
        ValueError: If the settings exclude each other, the layout is not recognised, the slices are
            too few for folds, or `config.out` holds something else.
        OSError: If the output cannot be written; what is finished stays, a rerun continues.
    """
    _check(config)
    # For dealing folds: a second and a half that pass while worker processes start.
    Thread(target=import_module, args=("sklearn.model_selection",), daemon=True).start()
    report = progress or (lambda what, done, total: None)
    source = find_slices(config.data, layout=config.layout)
    if config.groups:
        source = with_patients(source, read_groups(config.groups))
    if not source.slices:
        raise BadInputError(
            source.faults or [Rejected(str(config.data), "must hold slices. Received: none")], 0
        )
    with _claimed(config, _plan(config, source)) as partial:
        if not (config.out / MANIFEST_NAME).exists():
            chunks = _spool_all(config, source, partial, report)
            assembly, known = _assembly(config, source, partial), source.faults
            del source  # hundreds of megabytes for a million slices
            slices, faults, sha256 = _read_all(partial, chunks, known)
            _check_faults(faults, config.max_bad)
            _tell_repairs(slices)
            assemble(
                assembly,
                slices,
                faults,
                source_sha256=sha256,
                progress=lambda done, total: report("write shards", done, total),
            )
        shutil.rmtree(partial)
    manifest = read_manifest(config.out)
    _check_faults(manifest.rejected, config.max_bad)  # when it was converted, more were allowed
    return manifest


def _tell_repairs(slices: Sequence[SpooledSlice]) -> None:
    """Warns of DICOM files that were read otherwise than their headers say."""
    for repair, count in sorted(Counter(it.repair for it in slices if it.repair).items()):
        first = next(it.file for it in slices if it.repair == repair)
        logging.warning("%d DICOM files were read as %s, such as %s", count, repair, first)


def _check_faults(rejected: Sequence[Rejected], max_bad: int) -> None:
    faults = [it for it in rejected if it.is_fault]
    if len(faults) > max_bad:
        raise BadInputError(faults, max_bad)


def _check(config: Conversion) -> None:
    for name, least in (("size", 16), ("jobs", 1), ("shard_mb", 1), ("max_bad", 0), ("shards", 0)):
        value = getattr(config, name)
        if value < least:
            raise ValueError(f"--{name.replace('_', '-')} must be >= {least}. Received: {value}")
    if config.augment_before_folding and config.protocol == "clean":
        raise ValueError(
            "--augment-before-folding must come with --protocol as-published: it puts copies of "
            "one slice into several folds. Received: --protocol clean"
        )
    if config.augment_before_folding and config.prefer == "dicom":
        raise ValueError(
            "--augment-before-folding must have 8-bit pictures. Received: --prefer dicom"
        )


@contextlib.contextmanager
def _claimed(config: Conversion, plan: dict[str, object]) -> Iterator[Path]:
    """Yields the folder of unfinished work in `config.out`, held by this process alone."""
    partial = config.out / _PARTIAL
    if config.out.is_dir() and not (config.out / _PLAN_NAME).exists():
        found = sorted(path.name for path in config.out.iterdir() if path != partial)
        if found:
            raise ValueError(f"{config.out} must be new or empty. Received: {found[:5]}")
    with locked(partial):
        _continue_or_start(config, plan, partial)
        yield partial


def _continue_or_start(config: Conversion, plan: dict[str, object], partial: Path) -> None:
    """Keeps what the same conversion finished; starts anew where its input was mended since."""
    path = config.out / _PLAN_NAME
    begun = read_json(path) if path.exists() else plan
    differs = sorted(name for name in plan if plan[name] != begun.get(name))
    if differs == ["listing_sha256"] and not (config.out / MANIFEST_NAME).exists():
        for stale in (*partial.glob("chunk-*"), *config.out.glob("*.tfrecord")):
            stale.unlink()
    elif differs:
        raise ValueError(
            f"{config.out} must be new: it holds another data set, or the same with other settings "
            f"(different: {', '.join(differs)}). Delete it or choose another folder"
        )
    with replacing(path, scratch=partial) as temporary:
        temporary.write_text(to_json(plan), encoding="utf-8")


def _plan(config: Conversion, source: Source) -> dict[str, object]:
    """What must be the same for a rerun to continue: settings, files' names, sizes and times."""
    settings = dataclasses.asdict(config)
    for name in ("data", "out", "jobs", "max_bad", "groups"):
        del settings[name]
    groups = config.groups and hashlib.sha256(config.groups.read_bytes()).hexdigest()
    listing = hashlib.sha256()
    for it in source.slices:
        said = (it.stage, it.stroke_type, it.patient, it.mask_kind)  # by tables and folders
        listing.update(f"{it.source_id}\t{said}\n".encode())
        for file in filter(None, (it.picture, it.dicom, it.mask, it.overlay)):
            listing.update(
                f"{it.source_id}\t{file}\t{_size_and_time(source.root / file)}\n".encode()
            )
    return {
        **settings,
        "encoding_version": ENCODING_VERSION,
        "groups_sha256": groups,
        "listing_sha256": listing.hexdigest(),
    }


def _size_and_time(path: Path) -> str:
    try:
        stat = (archive_of(path) or path).stat()
    except OSError:  # a broken link: a fault of its own when it is read
        return "unreadable"
    return f"{stat.st_size} {stat.st_mtime_ns}"


def _patient_key(partial: Path) -> bytes:
    """A key known to this conversion alone: with it gone, patient hashes cannot be turned back."""
    path = partial / "key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def _assembly(config: Conversion, source: Source, partial: Path) -> Assembly:
    return Assembly(
        out=config.out,
        partial=partial,
        protocol=config.protocol,
        seed=config.seed,
        size=config.size,
        layout=source.layout,
        compression=config.compression,
        copies_for=config.copies,
        shard_bytes=config.shard_mb * 1_000_000,
        shards=config.shards,
        jobs=config.jobs,
    )


def _spool_all(config: Conversion, source: Source, partial: Path, report: Progress) -> int:
    """Spools every slice; returns the number of chunks."""
    encoding = Encoding(
        size=config.size,
        reading=Reading(config.prefer, config.mask_method, _patient_key(partial)),
        copies_for=config.copies,
        seed=config.seed,
    )
    starts = range(0, len(source.slices), CHUNK_SLICES)
    tasks = (
        ChunkTask(
            source.root, partial, number, source.slices[start : start + CHUNK_SLICES], encoding
        )
        for number, start in enumerate(starts)
    )
    done, total = 0, len(source.slices)
    for count in run_tasks(spool_chunk, tasks, jobs=config.jobs):
        done += count
        report("read and check slices", done, total)
    return len(starts)


def _read_all(
    partial: Path, chunks: int, known: Sequence[Rejected]
) -> tuple[list[SpooledSlice], list[Rejected], str]:
    """Returns slices, all faults, and a SHA-256 of the slices' ids and of all their files."""
    slices, faults, digest = [], list(known), hashlib.sha256()
    for number in range(chunks):
        found, wrong = read_index(partial, number, digest)
        slices.extend(found)
        faults.extend(wrong)
    faults.sort(key=lambda fault: (fault.file, fault.reason))
    return slices, faults, digest.hexdigest()
