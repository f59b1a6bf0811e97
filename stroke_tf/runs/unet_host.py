"""One process of a U-Net's training over several; train_unet starts it and tests what comes out.

Each process writes the files of a whole run: the first into the run's folder, the others into
temporary copies of it. All must save, or JAX stops; and a resumed training reads these files.

Its flags are those of train_unet. It needs KERAS_BACKEND=jax and Keras' variables, see
`stroke_tf.training.hosts.join_hosts`.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

from stroke_tf import command
from stroke_tf.runs.settings import UnetRun, UnetTraining, small


def main(config: UnetTraining) -> int:
    """Trains with the others; returns the exit code."""
    _train(small(config.run) if config.smoke else config.run)
    return 0


def _train(config: UnetRun) -> None:
    from stroke_tf.manifest import read_hashed_manifest
    from stroke_tf.runs.keep_or_run import OpenRun, Split, defaults_of, folder_of, settings_of
    from stroke_tf.runs.unet import train
    from stroke_tf.training.hosts import is_leader, join_hosts, meet_hosts

    if config.loss == "sm-dice":
        raise ValueError(
            "`loss` must be one of our own for several hosts: that of segmentation_models needs "
            "Keras on TensorFlow. Received: sm-dice"
        )
    folder = folder_of(config)
    _, sha256 = read_hashed_manifest(config.records)
    known: dict[str, Any] = {"data_manifest_sha256": sha256, "defaults": defaults_of(config)}
    if folder.kept(settings_of(config), **known):
        return
    join_hosts()
    split = Split.of(config)
    with tempfile.TemporaryDirectory() as own:
        if not is_leader():
            kept_in, folder = folder.path, dataclasses.replace(folder, out=Path(own))
            shutil.copytree(kept_in, folder.path)
        meet_hosts({"records": sha256})
        train(config, OpenRun(folder, split))


if __name__ == "__main__":
    settings, code = command.parse(UnetTraining, doc=__doc__), 1
    command.quieten_tensorflow()
    try:
        code = command.reported(lambda: main(settings))
    except Exception:
        traceback.print_exc()
        raise
    finally:
        if code:
            sys.stderr.flush()
            os._exit(code)  # an orderly end waits minutes for the others
