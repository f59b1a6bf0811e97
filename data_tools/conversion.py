"""Converts a folder of slices to folds of TFRecords, in two passes that can be resumed.

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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from threading import Thread

from data_tools.assemble import assemble
from data_tools.contradictions import contradictions
from data_tools.faults import FAULTS_NAME
from data_tools.intake import no_labels, no_patients, reading_of, take_in
from data_tools.names import readable
from data_tools.options import Conversion
from data_tools.sources import Source
from data_tools.spool import (
    CHUNK_SLICES,
    ENCODING_VERSION,
    ChunkTask,
    SpooledSlice,
    read_index,
    read_spooled,
    spool_chunk,
)
from data_tools.workers import run_tasks
from stroke_tf.files import locked, plain, read_json, replacing, to_json
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import MANIFEST_NAME, Manifest, Rejected, read_manifest
from stroke_tf.progress import Progress
from stroke_tf.reading.archives import archive_of

_PARTIAL = ".partial"
_PLAN_NAME = "conversion.json"
_LISTING, _TIMES = "listing_sha256", "times_sha256"


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
        config: Settings of the conversion.
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
    # scikit-learn deals the folds. Its import takes 1.5 s, while worker processes start.
    Thread(target=import_module, args=("sklearn.model_selection",), daemon=True).start()
    report = progress or (lambda what, done, total: None)
    source = take_in(config)
    plan = _plan(config, source)
    with _claimed(config, plan) as (partial, stale):
        if stale or not (config.out / MANIFEST_NAME).exists():
            slices, faults, sha256 = _first_pass(config, source, partial, report)
            layout, given_folds = source.layout, source.folds
            del source  # hundreds of megabytes for a million slices
        if stale:
            if read_manifest(config.out).source_sha256 != sha256:
                raise _another(config, ["bytes of files"])
            logging.warning("The files' times have changed, their bytes not: the records stand")
            _write_plan(config.out, partial, plan)
        elif not (config.out / MANIFEST_NAME).exists():
            assemble(
                config,
                partial,
                slices,
                faults,
                layout=layout,
                given_folds=given_folds,
                source_sha256=sha256,
                progress=lambda done, total: report("write shards", done, total),
            )
        else:
            logging.info("%s holds the records of these slices already: kept", config.out)
        shutil.rmtree(partial)
    manifest = read_manifest(config.out)
    _check_faults(manifest.rejected, config.max_bad)  # an earlier run may have allowed more
    return manifest


def _first_pass(
    config: Conversion, source: Source, partial: Path, report: Progress
) -> tuple[list[SpooledSlice], list[Rejected], str]:
    """Reads and checks all slices; returns the same as `_read_all`, and logs warnings.

    Raises:
        ValueError: If there are too many faults or no labels.
    """
    if not source.slices:
        rule = "must hold slices. Received: none"
        raise BadInputError(source.faults or [Rejected(config.name, rule)], 0)
    if reason := no_labels(source):
        raise ValueError(f"{config.name} {reason}")
    chunks = _spool_all(config, source, partial, report)
    slices, faults, sha256 = _read_all(partial, chunks, source.faults)
    slices, faults = _without_contradictions(partial, slices, faults)
    _check_faults(faults, config.max_bad)
    _tell_repairs(slices)
    if coloured := [spooled.file for spooled in slices if spooled.coloured]:
        count = len(coloured)
        logging.warning("%d coloured pictures were read as grey, such as %s", count, coloured[0])
    if config.protocol == "clean" and all(spooled.patient is None for spooled in slices):
        logging.warning(no_patients(source))
    return slices, faults, sha256


def _tell_repairs(slices: Sequence[SpooledSlice]) -> None:
    for repair, count in sorted(
        Counter(spooled.repair for spooled in slices if spooled.repair).items()
    ):
        first = next(spooled.file for spooled in slices if spooled.repair == repair)
        logging.warning("%d DICOM files were read as %s, such as %s", count, repair, first)


def _check_faults(rejected: Sequence[Rejected], max_bad: int) -> None:
    faults = [fault for fault in rejected if fault.is_fault]
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
def _claimed(config: Conversion, plan: Mapping[str, object]) -> Iterator[tuple[Path, bool]]:
    """Locks `config.out` for this process and yields its folder of unfinished work.

    Also yields whether there are finished records of files whose times have changed since. If the
    input is refused, unfinished work is deleted.
    """
    partial = config.out / _PARTIAL
    if config.out.is_dir() and not (config.out / _PLAN_NAME).exists():
        names = sorted(path.name for path in config.out.iterdir())
        if found := [name for name in names if name not in (_PARTIAL, FAULTS_NAME)]:
            raise ValueError(f"{config.out} must be new or empty. Received: {found[:5]}")
    with locked(partial):
        stale = _continue_or_start(config, plan, partial)
        try:
            (config.out / FAULTS_NAME).unlink(missing_ok=True)
            yield partial, stale
        except ValueError:
            _clear(config.out)
            raise


def _clear(out: Path) -> None:
    shutil.rmtree(out / _PARTIAL)
    if not (out / MANIFEST_NAME).exists():
        (out / _PLAN_NAME).unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is in it
            out.rmdir()


def _continue_or_start(config: Conversion, plan: Mapping[str, object], partial: Path) -> bool:
    """Keeps the finished work of the same conversion; starts anew if its input has changed since.

    Returns whether the records are finished and the times of their files have changed since.
    """
    path = config.out / _PLAN_NAME
    begun = read_json(path) if path.exists() else plan
    differs = sorted(name for name in plan if plan[name] != begun.get(name))
    finished = (config.out / MANIFEST_NAME).exists()
    if finished and differs == [_TIMES]:
        _remove(partial.glob("chunk-*"))
        return True
    if differs and not finished and {*differs} <= {_LISTING, _TIMES}:
        _remove((*partial.glob("chunk-*"), *config.out.glob("*.tfrecord")))
    elif differs:
        raise _another(config, differs)
    _write_plan(config.out, partial, plan)
    return False


def _write_plan(out: Path, partial: Path, plan: Mapping[str, object]) -> None:
    with replacing(out / _PLAN_NAME, scratch=partial) as temporary:
        temporary.write_text(to_json(plan), encoding="utf-8")


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink()


def _another(config: Conversion, differs: Sequence[str]) -> ValueError:
    return ValueError(
        f"{config.out} already holds another data set, or the same with other settings: give "
        f"another --out, or delete it. Received: different {', '.join(differs)}"
    )


def _plan(config: Conversion, source: Source) -> dict[str, object]:
    """Returns all that a rerun must share to continue: settings, files' names, sizes and times."""
    settings = dataclasses.asdict(config)
    for name in ("data", "table", "out", "jobs", "max_bad", "groups"):
        del settings[name]
    settings["folds"] = config.folds if isinstance(config.folds, int) else "file"
    listing, times = hashlib.sha256(), hashlib.sha256()
    for files in source.slices:
        fold = source.folds.get(files.source_id)
        said = (
            files.stage,
            files.stroke_type,
            files.patient,
            files.mask_kind,
            files.mask_values,
            fold,
        )
        listing.update(f"{files.source_id}\t{said}\n".encode())
        for file in filter(None, (files.picture, files.dicom, files.mask, files.overlay)):
            size, time = _size_and_time(source.root / file)
            listing.update(f"{files.source_id}\t{readable(file)}\t{size}\n".encode())
            times.update(f"{time}\n".encode())
    return {
        **plain(settings),
        "encoding_version": ENCODING_VERSION,
        _LISTING: listing.hexdigest(),
        _TIMES: times.hexdigest(),
    }


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = (archive_of(path) or path).stat()
    except OSError:  # a broken link: a fault of its own when it is read
        return -1, 0
    return stat.st_size, stat.st_mtime_ns


def _patient_key(partial: Path) -> bytes:
    """Returns this conversion's secret key; once deleted, no hash leads back to a patient."""
    path = partial / "key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_bytes(secrets.token_bytes(32))
    return path.read_bytes()


def _spool_all(config: Conversion, source: Source, partial: Path, report: Progress) -> int:
    """Spools every slice; returns the number of chunks."""
    reading = reading_of(config, _patient_key(partial))
    starts = range(0, len(source.slices), CHUNK_SLICES)
    tasks = (
        ChunkTask(
            source.root,
            partial,
            number,
            source.slices[start : start + CHUNK_SLICES],
            reading,
            config,
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
    return slices, faults, digest.hexdigest()


def _without_contradictions(
    partial: Path, slices: list[SpooledSlice], faults: list[Rejected]
) -> tuple[list[SpooledSlice], list[Rejected]]:
    """Moves the slices whose picture is in two classes to the faults, and sorts these."""
    found = contradictions(
        [spooled.file for spooled in slices],
        [StrokeType(spooled.stroke_type) for spooled in slices],
        [spooled.dhash for spooled in slices],
        lambda number: read_spooled(partial, slices[number].records[0])[0],
    )
    kept = [spooled for number, spooled in enumerate(slices) if number not in found]
    faults = sorted([*faults, *found.values()], key=lambda fault: (fault.file, fault.reason))
    return kept, faults
