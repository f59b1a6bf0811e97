"""Mistakes in a run's settings that can be told before TensorFlow is loaded."""

from __future__ import annotations

from stroke_tf.imagenet_files import BACKBONE_FILES, check_encoder
from stroke_tf.manifest import read_manifest
from stroke_tf.runs.settings import HISTOGRAM, ClassifierRun, UnetRun

OWN_NETWORKS = ("cnn-detect", "cnn-type")
"""The networks of CUSTOM_CNNS."""


def check_start(run: ClassifierRun | UnetRun) -> None:
    """Checks the name of a run's network, then that its records are there.

    Raises:
        FileNotFoundError: If the records are missing.
        ValueError: If the network is unknown, or the manifest is not valid.
    """
    if isinstance(run, ClassifierRun):
        known = sorted([*BACKBONE_FILES, *OWN_NETWORKS, HISTOGRAM])
        if run.backbone not in known:
            raise ValueError(f"`backbone` must be one of {known}. Received: {run.backbone!r}")
    elif run.architecture != "improved":
        check_encoder(run.encoder, architecture=run.architecture)
    read_manifest(run.records)
