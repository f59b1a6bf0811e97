"""Rules chosen on the other parts of a cross-validation, whose networks have not seen their slices.

So no fold is lost to validation, and many more patients than those of one fold decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.keep_or_run import folder_of
from stroke_tf.runs.same_training import TESTING
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import Answered, answered, check_smoothing


def answers_of_parts(
    configs: Sequence[UnetRun], run: Callable[[UnetRun], RunMetrics]
) -> list[Answered]:
    """Returns what the network of each part says of its test slices.

    The networks are trained first, in runs of their own without rules; those that are done are
    kept, and the runs of the parts take their trainings over.

    Args:
        configs: The runs of the parts, which choose on each other.
        run: `run_unet`, or another that leaves a `model.keras` in the run's folder.
    """
    for config in configs:
        check_smoothing(config)  # before any training
    trained = [
        config if folder_of(config).is_done() else without_rules(config) for config in configs
    ]
    for config in trained:
        run(config)
    return [answered(done, like=config) for done, config in zip(trained, configs, strict=True)]


def without_rules(config: UnetRun) -> UnetRun:
    """Returns the same training, tested without anything that is chosen."""
    plain = UnetRun()
    unset = {name: getattr(plain, name) for name in TESTING}
    return replace(config, **unset | {"row": f"{config.row_name}-without-rules"})
