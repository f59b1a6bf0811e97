"""Audits of records or of a run: what leaks, what tells the class without the brain, what fails.

    stroke-tf audit records --table slices.csv --out audit
    stroke-tf audit results/classifier/mobilenetv2-s0 --records records --out audit

Writes audit.html, AUDIT.md, and for each audit a JSON file and figures. An audit done with the same
settings is kept. Findings are no errors: the exit code is 0.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import importlib.metadata
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stroke_tf import command
from stroke_tf.audits.audit import Subject
from stroke_tf.audits.entries import AUDITS, Audit
from stroke_tf.audits.page import keep, read_kept, write_page
from stroke_tf.audits.settings import AuditConfig
from stroke_tf.audits.tested_runs import PREDICTIONS, check_records, runs_of
from stroke_tf.files import locked, plain
from stroke_tf.manifest import MANIFEST_NAME
from stroke_tf.zoo.learned_from import check_not_learned_from

_RESULTS = ("metrics.json", "operating_point.json", "outside-*.json")
_NEEDED = {"records": "records", "run": "a trained run"}
_logger = logging.getLogger(__name__)


def run_audits(config: AuditConfig) -> Path:
    """Does the audits that are not done yet and writes the page; returns the path of audit.html.

    Raises:
        FileNotFoundError: If a file or folder is missing.
        OSError: If ImageNet weights cannot be downloaded, which is found out first.
        ValueError: If an audit is unknown or lacks what it looks at, a file is not valid, or the
            weights have learned from these patients.
    """
    subject = subject_of(config)
    chosen = _chosen(config, subject)
    settings = _settings(subject)
    if subject.records is not None and subject.run is None:
        check_not_learned_from(subject.weights, subject.records)
    with locked(config.out):
        if any(
            entry.network and read_kept(config.out, name, settings) is None
            for name, entry in chosen.items()
        ):
            _logger.info("Loading %s, weights %s …", subject.backbone, subject.weights)
            importlib.import_module("stroke_tf.audits.slices").load_backbone(subject)
        for name, entry in chosen.items():
            if read_kept(config.out, name, settings) is None:
                start = time.monotonic()
                _logger.info("%s: %s …", name, entry.about)
                audited = importlib.import_module(entry.module).audit(subject)
                seconds = time.monotonic() - start
                keep(config.out, name, audited, settings=settings, seconds=seconds)
            page = write_page(config.out, config.subject.resolve().name, settings)
    return page


def subject_of(config: AuditConfig) -> Subject:
    """Returns the subject that the settings ask for.

    Raises:
        FileNotFoundError: If the folder holds neither records nor predictions.
        ValueError: If it holds records, which have no row to choose; or the run's predictions are
            of other records than those given.
    """
    holds = {name: (config.subject / name).is_file() for name in (MANIFEST_NAME, PREDICTIONS)}
    if not any(holds.values()):
        raise FileNotFoundError(
            f"{config.subject} must be a folder of records, with {MANIFEST_NAME}, or of a run, "
            f"with {PREDICTIONS}. Received: neither"
        )
    shared = {field.name: getattr(config, field.name) for field in dataclasses.fields(Subject)[2:]}
    if holds[PREDICTIONS]:
        if config.records is not None:
            check_records(config.records, config.subject, row=config.row)
        return Subject(config.records, config.subject, **shared)
    if config.row is not None:
        raise ValueError(f"`row` must be that of a cross-validation. Received: {config.row}")
    return Subject(config.subject, None, **shared)


def _chosen(config: AuditConfig, subject: Subject) -> dict[str, Audit]:
    wrong = [name for name in config.only if name not in AUDITS]
    if wrong:
        raise ValueError(f"`only` must be of {', '.join(AUDITS)}. Received: {', '.join(wrong)}")
    given = {"records": subject.records, "run": subject.run}
    lacking = {
        name: [kind for kind in given if entry.needs in (kind, "both") and given[kind] is None]
        for name, entry in AUDITS.items()
    }
    for name in config.only:
        if lacking[name]:
            needed = " and ".join(_NEEDED[kind] for kind in lacking[name])
            raise ValueError(f"{name} needs {needed}. Received: none")
    for name in () if config.only else (name for name in AUDITS if lacking[name]):
        needed = " and ".join(_NEEDED[kind] for kind in lacking[name])
        _logger.info("skipped `%s`: it needs %s", name, needed)
    return {
        name: entry
        for name, entry in AUDITS.items()
        if not lacking[name] and name in (config.only or AUDITS)
    }


def _settings(subject: Subject) -> dict[str, Any]:
    """Returns all that the audits depend on, with fingerprints for files and folders."""
    files = {
        "records": subject.records and subject.records / MANIFEST_NAME,
        "run": subject.run and subject.run / PREDICTIONS,
        "split": subject.split,
        "table": subject.table,
    }
    settings = {
        name: value for name, value in dataclasses.asdict(subject).items() if name not in files
    }
    for name, path in files.items():
        settings[f"{name}_sha256"] = _sha256_of([path]) if path else None
    settings["results_sha256"] = _sha256_of(_results(subject)) if subject.run else None
    settings["weights_sha256"] = _sha256_of(_weights(subject))
    return plain(settings | {"stroke_tf": importlib.metadata.version("stroke_tf")})


def _results(subject: Subject) -> list[Path]:
    """Returns the files of results beside the predictions, such as those on outside data."""
    runs = runs_of(subject.run, row=subject.row) if subject.run else ()
    return [path for run in runs for pattern in _RESULTS for path in sorted(run.glob(pattern))]


def _weights(subject: Subject) -> list[Path]:
    """Returns the file of the weights, if it is one."""
    if subject.weights in (None, "imagenet"):
        return []
    from stroke_tf.models.weights import resolve_weights  # seconds, which other audits need not

    path = resolve_weights(subject.weights)
    return [path] if isinstance(path, Path) else []


def _sha256_of(paths: Sequence[Path]) -> str | None:
    """Returns the SHA-256 of one file, or one of several files and names; None without files."""
    found = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths]
    if len(found) < 2:
        return found[0][1] if found else None
    return hashlib.sha256(repr(found).encode()).hexdigest()


def main(config: AuditConfig) -> int:
    """Does the audits and prints what they warn of; returns the exit code of success."""
    page, settings = run_audits(config), _settings(subject_of(config))
    warnings = [
        finding["text"]
        for name in AUDITS
        if (kept := read_kept(config.out, name, settings))
        for finding in kept["findings"]
        if finding["level"] == "warning"
    ]
    for text in warnings:
        print(f"warning: {text}")
    print(f"{len(warnings)} warning{'s' * (len(warnings) != 1)}: {page}")
    return 0


if __name__ == "__main__":
    command.run(main, AuditConfig, doc=__doc__)
