"""Settings that have no effect beside the other settings of a run: told before it starts."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator

from stroke_tf.config import FitConfig
from stroke_tf.runs.settings import HEAD_FITTED, HEAD_ONLY, HISTOGRAM, ClassifierRun, UnetRun

_OF_ALL = ("seed", "precision", "jit_compile", "deterministic")
"""Settings of `fit` that hold for heads too."""

_logger = logging.getLogger(__name__)


def warn_of_no_effect(run: ClassifierRun | UnetRun) -> None:
    """Logs what `without_effect` says of a run."""
    for line in without_effect(run):
        _logger.warning("%s", line)


def without_effect(run: ClassifierRun | UnetRun) -> Iterator[str]:
    """Yields a sentence for each setting that differs from its default and has no effect.

    A network with random weights that are never trained has a sentence too.
    """
    yield from _of_classifier(run) if isinstance(run, ClassifierRun) else _of_unet(run)


def _of_classifier(run: ClassifierRun) -> Iterator[str]:
    if run.backbone == HISTOGRAM:
        return
    plain, how = ClassifierRun(), f"--training {run.training}"
    if run.training in HEAD_ONLY:
        if changed := _changed(run.fit, plain.fit, "fit"):
            instead = "--head-fit" if run.training in HEAD_FITTED else "--inverse-penalty"
            yield f"Without effect with {how}: {changed}. Of its head tells {instead}"
        if run.weights is None:
            yield f"{how} and --weights None: the backbone is random and stays so"
    if run.training not in HEAD_FITTED and (
        changed := _changed(run.head_fit, plain.head_fit, "head-fit")
    ):
        yield f"Without effect with {how}: {changed}"
    if run.training == "full" and run.copies:
        yield f"Without effect with {how}: --copies"


def _of_unet(run: UnetRun) -> Iterator[str]:
    if run.architecture == "improved":
        named = {"encoder": run.encoder != UnetRun().encoder, "freeze": run.freeze}
        if changed := ", ".join(f"--{name}" for name, given in named.items() if given):
            yield f"Without effect with --architecture improved, which has no encoder: {changed}"
    elif run.freeze and run.weights is None:
        yield "--freeze and --weights None: the encoder is random and stays so"


def _changed(fit: FitConfig, plain: FitConfig, prefix: str) -> str:
    names = (field.name for field in dataclasses.fields(fit) if field.name not in _OF_ALL)
    return ", ".join(
        f"--{prefix}.{name.replace('_', '-')}"
        for name in names
        if getattr(fit, name) != getattr(plain, name)
    )
