"""Losses and the one training loop for classifiers and U-Nets."""

from stroke_tf.training.fit import fit, strategy, training_scope
from stroke_tf.training.losses import LOSSES

__all__ = ["LOSSES", "fit", "strategy", "training_scope"]
