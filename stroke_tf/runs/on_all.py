"""One more U-Net after a cross-validation, for use: it learns from all folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from stroke_tf.run_folder import RunMetrics
from stroke_tf.runs.cross_validation import CrossValidatedMasks
from stroke_tf.runs.keep_or_run import OpenRun, Outcome, keep_or_run
from stroke_tf.runs.settings import UnetRun
from stroke_tf.runs.unet import Answered, choose_rules, kept_rules, train


def run_on_all(
    config: UnetRun, tested: CrossValidatedMasks, chosen_on: Callable[[], Sequence[Answered]]
) -> RunMetrics:
    """Trains a U-Net on all folds, or returns its result if it is done already.

    No slice is left to test it on. So its result is that of the cross-validation, whose networks
    were trained alike, each on fewer patients and tested on the others.

    Args:
        config: The settings of the cross-validated row, which chooses on other parts.
        tested: The cross-validation.
        chosen_on: Gives what its networks say of their test slices: rules are chosen on that.

    Raises:
        ValueError: As `run_unet`.
    """

    def work(run: OpenRun) -> Outcome:
        train(config, run)
        several = chosen_on()
        rule, detector = choose_rules(config, [other.answers for other in several])
        options: dict[str, Any] = {"seed": config.fit.seed}
        detections, metrics = tested.detections(), tested.metrics(**options)
        return Outcome(
            predictions=tested.frame,
            metrics=metrics | (detections.metrics(**options) if detections else {}),
            **kept_rules(rule, detector, several),
        )

    config = replace(config, val_folds=(), test_folds=(), unused_folds=())
    return keep_or_run(config, work)
