"""Trains one U-Net that draws ischaemia and haemorrhage, and tests it.

    python -m experiments.train_unet --records records --out results [--config FILE]

Scores count the pixels of the lesion classes over all test slices, never background. Everything is
kept in OUT/EXPERIMENT/ROW-sSEED/; a run that was killed continues, one that is done is skipped.
FILE holds defaults for all other flags, such as best.json of a search.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import tyro

from stroke_tf.command import parse_settings
from stroke_tf.processes import host_number, run_hosts
from stroke_tf.runs.settings import UnetRun

_HOST_MODULE = "stroke_tf.runs.unet_host"


@dataclass(frozen=True)
class UnetTraining:
    """A training of a U-Net, and who does it.

    Attributes:
        run: The settings of the run.
        hosts: Processes on this machine that share the training, with Keras on JAX; 1 trains in
            this one, with TensorFlow. For several hosts see the README.
    """

    run: Annotated[UnetRun, tyro.conf.arg(name="")] = UnetRun()
    hosts: int = 1


def main(config: UnetRun, *, hosts: int = 1, args: Sequence[str] = ()) -> int:
    """Trains and tests, prints the result; returns the exit code.

    Args:
        config: The run's settings.
        hosts: Processes that share the training. The test is this one's, on host 0.
        args: The command line, for them.
    """
    try:
        number = host_number()
        if number:
            run_hosts(_HOST_MODULE, args, hosts=hosts)
            return 0
    except (ValueError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    from stroke_tf.runs.keep_or_run import run_command
    from stroke_tf.runs.unet import run_unet

    def train_on_hosts() -> None:
        run_hosts(_HOST_MODULE, args, hosts=hosts)

    shared = hosts > 1 or number is not None
    return run_command(
        lambda: run_unet(config, train_elsewhere=train_on_hosts if shared else None),
        out=config.out,
    )


if __name__ == "__main__":
    settings = parse_settings(
        UnetTraining, prog="python -m experiments.train_unet", description=__doc__
    )
    sys.exit(main(settings.run, hosts=settings.hosts, args=sys.argv[1:]))
